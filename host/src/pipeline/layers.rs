//! Layer by layer: where float, simulation and engine part.
//!
//! Each operator is compared twice: in its network, where differences of the layers before it come along, and alone, where the
//! simulation gets the very integers that the engine's operator read. What differs alone is the operator's own arithmetic.

use super::Quantized;
use super::evaluate::dequantized;
use crate::dataset::Dataset;
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, Op, TensorId};
use crate::layerwise::SingleNode;
use crate::lower;
use crate::metrics::Sqnr;
use crate::quantize::Encoding;
use crate::report::LayerReport;
use crate::simulate::Simulator;
use crate::{Error, Stage};

/// Samples that are compared.
const SAMPLES: usize = 8;

/// Compares float, simulation and engine operator by operator on a few samples.
pub(super) fn layer_reports(
    quantized: &Quantized,
    simulated: &Graph,
    simulator: &Simulator,
    evaluation: &Dataset,
) -> Result<Vec<LayerReport>, Error> {
    let failed = |e: ExecutorError| Error::new(Stage::Evaluate, e);
    let graph = &quantized.graph;
    let float = Executor::new(graph).map_err(|e| Error::new(Stage::Evaluate, e))?;
    let fake = Executor::new(simulated).map_err(|e| Error::new(Stage::Evaluate, e))?;
    let ops = &quantized.lowered.ops;
    let mut comparisons = vec![LayerComparison::default(); ops.len()];
    let mut arena = vec![0_i8; simulator.model().arena_bytes()];
    // What the engine computed, all samples of a tensor one after the other.
    let mut computed = vec![Vec::new(); graph.tensors.len()];
    let mut samples = 0;
    for input in evaluation
        .inputs
        .chunks(evaluation.elements())
        .take(SAMPLES)
    {
        let mut reference = vec![Vec::new(); graph.tensors.len()];
        float
            .run(input, 1, &mut |tensor: TensorId, values: &mut [f32]| {
                reference[tensor] = values.to_vec()
            })
            .map_err(failed)?;
        let mut rounded = vec![Vec::new(); graph.tensors.len()];
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            quantized.encodings.fake_quantize(tensor, values);
            rounded[tensor] = values.to_vec();
        };
        fake.run(input, 1, &mut hook).map_err(failed)?;
        let inputs = simulator.quantize_inputs(input);
        samples += 1;
        computed[graph.inputs[0].tensor].extend(dequantized(&inputs, simulator.input_encoding()));
        let observe = |op: usize, bytes: &[i8]| {
            let tensor = &quantized.lowered.tensors[usize::from(ops[op].op.output())];
            let encoding = quantized.encodings.of(tensor.source);
            // A part of a long concat has no counterpart in the float graph.
            if reference[tensor.source].len() == bytes.len() {
                computed[tensor.source].extend(dequantized(bytes, encoding));
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
    }
    for node in &graph.nodes {
        // The device has no operator for it: the same bytes under another shape.
        if matches!(node.op, Op::Reshape) && computed[node.output].is_empty() {
            computed[node.output] = computed[node.inputs[0]].clone();
        }
    }
    for (op, comparison) in ops.iter().zip(&mut comparisons) {
        let source = quantized.lowered.tensors[usize::from(op.op.output())].source;
        let Some(node) = graph.producer(source).map(|id| &simulated.nodes[id]) else {
            continue;
        };
        let known = node.inputs.iter().all(|&input| !computed[input].is_empty());
        if known && !computed[source].is_empty() {
            let found = SingleNode::new(simulated, node)
                .run(samples, |tensor| &computed[tensor])
                .map_err(|e| Error::new(Stage::Evaluate, e))?;
            comparison.alone(&found, &computed[source], quantized.encodings.of(source));
        }
    }
    let report = |(op, comparison): (&lower::LoweredOp, &LayerComparison)| {
        let tensor = &quantized.lowered.tensors[usize::from(op.op.output())];
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
            differing_alone: comparison.differing_alone,
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
    differing_alone: f64,
    largest_step_alone: u32,
}

impl LayerComparison {
    fn add(&mut self, reference: &[f32], rounded: &[f32], bytes: &[i8], encoding: Encoding) {
        self.simulated.add(reference, rounded);
        self.integer.add(reference, &dequantized(bytes, encoding));
        for (&rounded, &byte) in rounded.iter().zip(bytes) {
            let step = u32::from(encoding.quantize(rounded).abs_diff(byte));
            self.differing += usize::from(step != 0);
            self.largest_step = self.largest_step.max(step);
            self.values += 1;
        }
    }
    /// Compares what the simulated operator makes of the engine's integers with what the engine made of them.
    fn alone(&mut self, found: &[f32], computed: &[f32], encoding: Encoding) {
        let mut differing = 0;
        for (&found, &computed) in found.iter().zip(computed) {
            let step = encoding
                .quantize(found)
                .abs_diff(encoding.quantize(computed));
            differing += usize::from(step != 0);
            self.largest_step_alone = self.largest_step_alone.max(u32::from(step));
        }
        self.differing_alone = differing as f64 / computed.len().max(1) as f64;
    }
}
