//! Layer by layer: where float, simulation and engine part.
//!
//! Each operator is compared twice: in its network, where differences of the layers before it come along, and alone, where the
//! simulation gets the very integers that the engine's operator read. What differs alone is the operator's own arithmetic.

use super::report::LayerReport;
use super::simulate::Simulator;
use super::subject::Subject;
use crate::compile::lower;
use crate::dataset::Dataset;
use crate::executor::{Executor, ExecutorError, SingleNode};
use crate::graph::{Graph, Op, TensorId};
use crate::metrics::Sqnr;
use crate::quantize::Encoding;
use crate::{Error, Stage};

/// Samples that are compared, of a large and of a small network.
const LEAST_SAMPLES: usize = 8;
const MOST_SAMPLES: usize = 64;

/// Multiply-accumulates that they may take.
const MACS: u64 = 1_000_000_000;

/// Compares float, simulation and engine operator by operator on some samples.
pub(super) fn layer_reports(
    subject: Subject<'_>,
    simulated: &Graph,
    simulator: &Simulator,
    evaluation: &Dataset,
) -> Result<Vec<LayerReport>, Error> {
    let failed = |e: ExecutorError| Error::new(Stage::Evaluate, e);
    let graph = subject.network.graph();
    let float = Executor::new(graph).map_err(|e| Error::new(Stage::Evaluate, e))?;
    let fake = Executor::new(simulated).map_err(|e| Error::new(Stage::Evaluate, e))?;
    let ops = &subject.lowered.ops;
    let mut comparisons = vec![LayerComparison::default(); ops.len()];
    let mut arena = vec![0_i8; simulator.model().arena_bytes()];
    let affordable = usize::try_from(MACS / graph.macs().max(1)).unwrap_or(MOST_SAMPLES);
    for input in evaluation
        .inputs
        .chunks(evaluation.elements())
        .take(affordable.clamp(LEAST_SAMPLES, MOST_SAMPLES))
    {
        let mut reference = graph.tensors.map(|_| Vec::new());
        float
            .run(input, 1, &mut |tensor: TensorId, values: &mut [f32]| {
                reference[tensor] = values.to_vec()
            })
            .map_err(failed)?;
        let mut rounded = graph.tensors.map(|_| Vec::new());
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            subject.network.encodings().fake_quantize(tensor, values);
            rounded[tensor] = values.to_vec();
        };
        fake.run(input, 1, &mut hook).map_err(failed)?;
        let inputs = simulator.quantize_inputs(input);
        // What the engine computed.
        let mut computed = graph.tensors.map(|_| Vec::new());
        computed[graph.inputs[0].tensor] = simulator.input_encoding().dequantize_all(&inputs);
        let observe = |op: usize, bytes: &[i8]| {
            let tensor = &subject.lowered.tensors[usize::from(ops[op].op.output())];
            let encoding = subject.network.encodings().of(tensor.source);
            // A part of a long concat has no counterpart in the float graph.
            if reference[tensor.source].len() == bytes.len() {
                computed[tensor.source] = encoding.dequantize_all(bytes);
                comparisons[op].add(
                    &reference[tensor.source],
                    &rounded[tensor.source],
                    bytes,
                    encoding,
                );
            }
        };
        simulator
            .run_observed(&inputs, &mut arena, observe)
            .map_err(|e| Error::new(Stage::Evaluate, e))?;
        for node in &graph.nodes {
            // The device has no operator for it: the same bytes under another shape.
            if matches!(node.op, Op::Reshape) && computed[node.output].is_empty() {
                computed[node.output] = computed[node.inputs[0]].clone();
            }
        }
        for (op, comparison) in ops.iter().zip(&mut comparisons) {
            let source = subject.lowered.tensors[usize::from(op.op.output())].source;
            let Some(node) = graph.producer(source).map(|id| &simulated.nodes[id]) else {
                continue;
            };
            let known = node.inputs.iter().all(|&input| !computed[input].is_empty());
            if known && !computed[source].is_empty() {
                let found = SingleNode::new(simulated, node)
                    .run(1, |tensor| &computed[tensor])
                    .map_err(|e| Error::new(Stage::Evaluate, e))?;
                comparison.alone(
                    &found,
                    &computed[source],
                    subject.network.encodings().of(source),
                );
            }
        }
    }
    let report = |(op, comparison): (&lower::LoweredOp, &LayerComparison)| {
        let tensor = &subject.lowered.tensors[usize::from(op.op.output())];
        LayerReport {
            name: op.name.clone(),
            op: op.op.kind(),
            shape: tensor.tensor.shape(),
            macs: op.macs,
            scale: tensor.scale,
            zero_point: i32::from(tensor.tensor.zero_point),
            simulated_sqnr_db: comparison.simulated.db(),
            integer_sqnr_db: comparison.integer.db(),
            differing: comparison.differing as f64 / comparison.values.max(1) as f64,
            largest_step: comparison.largest_step,
            differing_alone: comparison.differing_alone as f64
                / comparison.values_alone.max(1) as f64,
            largest_step_alone: comparison.largest_step_alone,
        }
    };
    Ok(ops.iter().zip(&comparisons).map(report).collect())
}

/// Differences of one operator's output between float, simulation and engine.
#[derive(Clone, Default)]
struct LayerComparison {
    simulated: Sqnr,
    integer: Sqnr,
    values: usize,
    differing: usize,
    largest_step: u32,
    values_alone: usize,
    differing_alone: usize,
    largest_step_alone: u32,
}

impl LayerComparison {
    fn add(&mut self, reference: &[f32], rounded: &[f32], bytes: &[i8], encoding: Encoding) {
        self.simulated.add(reference, rounded);
        self.integer.add(reference, &encoding.dequantize_all(bytes));
        for (&rounded, &byte) in rounded.iter().zip(bytes) {
            let step = u32::from(encoding.quantize(rounded).abs_diff(byte));
            self.differing += usize::from(step != 0);
            self.largest_step = self.largest_step.max(step);
            self.values += 1;
        }
    }
    /// Compares what the simulated operator makes of the engine's integers with what the engine made of them.
    fn alone(&mut self, found: &[f32], computed: &[f32], encoding: Encoding) {
        for (&found, &computed) in found.iter().zip(computed) {
            let step = encoding
                .quantize(found)
                .abs_diff(encoding.quantize(computed));
            self.differing_alone += usize::from(step != 0);
            self.largest_step_alone = self.largest_step_alone.max(u32::from(step));
        }
        self.values_alone += computed.len();
    }
}
