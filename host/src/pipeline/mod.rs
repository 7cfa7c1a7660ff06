//! The whole way: from a float graph and samples to a blob and a report.
//!
//! fold, fuse and equalize, calibrate, choose encodings and integers, lower, plan, pack; then the float network, the fake-quantized one and the integer engine
//! run over the evaluation set side by side. Same graph, samples and recipe: same blob, byte for byte.

mod equalization;
mod evaluate;
mod layers;
mod synthetic;

pub use evaluate::evaluate;
use evaluate::logits;

use crate::calibrate::{self, MinMax, Observer, Range, Ranges};
use crate::correct_bias;
use crate::dataset::Dataset;
use crate::gradient::Sensitivity;
use crate::graph::{Graph, Input, Op};
use crate::layerwise::{self, Adjustments};
use crate::lower::{self, Lowered};
use crate::pack;
use crate::passes::{self, AbsorbHighBias, Equalize};
use crate::plan::{self, Plan};
use crate::progress::Progress;
use crate::quantize::{Encodings, NetworkWeights};
use crate::recipe::{BiasCorrection, DataFreeMethod, Recipe};
use crate::statistics;
use crate::{Error, Stage};
use fewbit_runtime::AlignedBlob;
use std::borrow::Cow;

/// A quantized network.
pub struct Quantized {
    /// The network before quantization, folded and fused.
    pub graph: Graph,
    /// Encoding of each of its tensors.
    pub encodings: Encodings,
    /// The integers of its layers.
    pub weights: NetworkWeights,
    /// Its device operators.
    pub lowered: Lowered,
    /// Their memory.
    pub plan: Plan,
    /// The packed result.
    pub blob: AlignedBlob,
    /// What a user should know.
    pub notes: Vec<String>,
    /// Samples that ranges were found on.
    pub calibration_samples: usize,
}

/// What ranges are found on.
#[derive(Clone, Copy, Debug)]
pub enum Calibration<'a> {
    /// Samples.
    Samples(&'a Dataset),
    /// No data: the ranges of the network's inputs, and BatchNorm statistics for everything behind them.
    Statistics(&'a [Range]),
}

/// Quantizes a float graph.
///
/// # Errors
/// The stage that failed and why.
pub fn quantize(
    float: &Graph,
    calibration: Calibration<'_>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Quantized, Error> {
    let mut graph = float.clone();
    let inputs = reachable_inputs(&graph, calibration, recipe);
    let reports = passes::run(&passes::float_passes_within(recipe, inputs), &mut graph)
        .map_err(|e| Error::new(Stage::Passes, e))?;
    let mut notes: Vec<String> = reports
        .into_iter()
        .flat_map(|report| report.notes)
        .collect();
    let mut evidence = Evidence::new(&graph, calibration, recipe)?;
    let mut sensitivity = equalization::sensitivity(&graph, &evidence, recipe)?;
    if recipe.passes.equalize == Equalize::Full {
        equalization::equalize(&mut graph, &evidence, &mut sensitivity, recipe, &mut notes)?;
    }
    if recipe.passes.absorb_high_bias {
        let absorbed = passes::run(&[Box::new(AbsorbHighBias)], &mut graph)
            .map_err(|e| Error::new(Stage::Passes, e))?;
        notes.extend(absorbed.into_iter().flat_map(|report| report.notes));
    }
    if let Some(idle) = recipe.idle_override(&graph) {
        return Err(Error::new(Stage::Passes, NoSuchLayer(idle.layers.clone())));
    }

    evidence.adjust_to(&graph)?;
    let encodings = choose_encodings(
        &graph,
        calibration,
        &evidence,
        &sensitivity,
        recipe,
        progress,
    )?;
    let weights = choose_weights(&graph, &encodings, calibration, &evidence, recipe, progress)?;
    let mut lowered =
        lower::lower(&graph, &encodings, &weights).map_err(|e| Error::new(Stage::Lower, e))?;
    lowered.pack_for(recipe.target.packing());
    let plan = plan::plan(&lowered, recipe.target.packing());
    let blob = pack::pack(&graph, lowered.clone(), &plan, recipe)
        .map_err(|e| Error::new(Stage::Pack, e))?;
    notes.extend(lowered.notes.iter().cloned());
    Ok(Quantized {
        graph,
        encodings,
        weights,
        lowered,
        plan,
        blob,
        notes,
        calibration_samples: match calibration {
            Calibration::Samples(samples) => samples.samples,
            Calibration::Statistics(_) => 0,
        },
    })
}

/// Elements that one tensor of all synthetic samples may have (128 MiB), and samples that there are in any case.
const SYNTHETIC_ELEMENTS: usize = 32 << 20;
const LEAST_SYNTHETIC: usize = 16;

/// Synthetic samples that a network's largest tensor leaves room for.
fn affordable(graph: &Graph) -> usize {
    let largest = graph.tensors.iter().map(|tensor| tensor.elements()).max();
    (SYNTHETIC_ELEMENTS / largest.unwrap_or(1).max(1)).max(LEAST_SYNTHETIC)
}

/// What is known of the network's activations: samples, and without data what has to be done to them.
struct Evidence<'a> {
    samples: Cow<'a, Dataset>,
    /// Of synthetic samples only.
    adjustments: Option<Adjustments>,
}

impl<'a> Evidence<'a> {
    fn new(
        graph: &Graph,
        calibration: Calibration<'a>,
        recipe: &Recipe,
    ) -> Result<Evidence<'a>, Error> {
        match calibration {
            Calibration::Samples(samples) => Ok(Evidence {
                samples: Cow::Borrowed(samples),
                adjustments: None,
            }),
            Calibration::Statistics(ranges) => {
                // Refuses ranges that make no sense.
                statistics::propagate(graph, ranges)
                    .map_err(|e| Error::new(Stage::Calibrate, e))?;
                let count = recipe.data_free.samples.min(affordable(graph));
                let mut evidence = Evidence {
                    samples: Cow::Owned(synthetic::noise(graph, ranges, count, recipe.seed)),
                    adjustments: Some(Vec::new()),
                };
                evidence.adjust_to(graph)?;
                Ok(evidence)
            }
        }
    }

    /// Finds the adjustments of synthetic samples anew, after the graph has changed.
    fn adjust_to(&mut self, graph: &Graph) -> Result<(), Error> {
        if let Some(adjustments) = &mut self.adjustments {
            *adjustments = synthetic::adjustments(graph, &self.samples)
                .map_err(|e| Error::new(Stage::Calibrate, e))?;
        }
        Ok(())
    }

    /// The graph to run the samples through.
    fn graph<'g>(&self, graph: &'g Graph) -> Cow<'g, Graph> {
        match &self.adjustments {
            Some(adjustments) => Cow::Owned(synthetic::adjusted(graph, adjustments)),
            None => Cow::Borrowed(graph),
        }
    }
}

/// The encodings of all tensors.
fn choose_encodings(
    graph: &Graph,
    calibration: Calibration<'_>,
    evidence: &Evidence<'_>,
    sensitivity: &Sensitivity,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Encodings, Error> {
    let options = &recipe.activations;
    let mut ranges = match calibration {
        Calibration::Statistics(inputs)
            if recipe.data_free.method == DataFreeMethod::Statistics =>
        {
            calibrate::ranges_from_statistics(graph, inputs, options.deviations)
        }
        _ => calibrate::observe_by_importance(
            &evidence.graph(graph),
            &evidence.samples,
            options.range_options(),
            &sensitivity.elements,
            &[logits(graph)],
            progress,
        ),
    }
    .map_err(|e| Error::new(Stage::Calibrate, e))?;
    if let Calibration::Statistics(inputs) = calibration {
        widen(graph, &mut ranges, inputs, options.deviations)?;
        for (input, &range) in graph.inputs.iter().zip(inputs) {
            ranges.set(input.tensor, range);
        }
    }
    // Known exactly: bytes of an image then are the network's own.
    if let (Some(range), [input]) = (recipe.input.real_range(), &graph.inputs[..]) {
        ranges.set(input.tensor, range);
    }
    Encodings::choose(graph, &ranges).map_err(|e| Error::new(Stage::Calibrate, e))
}

/// Part of a range that is added at either end where only noise tells it.
const NOISE_ROOM: f32 = 0.25;

/// Widens what noise told: behind it tensors reach less far than behind what networks see.
///
/// Where moments were recorded, and in sums and pools of such tensors, they say how far that may be; behind other layers some room is left.
fn widen(
    graph: &Graph,
    ranges: &mut Ranges,
    inputs: &[Range],
    deviations: f32,
) -> Result<(), Error> {
    let likely = calibrate::ranges_from_statistics(graph, inputs, deviations)
        .map_err(|e| Error::new(Stage::Calibrate, e))?;
    let mut known = vec![false; graph.tensors.len()];
    for input in &graph.inputs {
        known[input.tensor] = true;
    }
    for node in &graph.nodes {
        let tensor = node.output;
        known[tensor] = match node.op.linear() {
            Some(linear) => linear.folded.is_some(),
            None => {
                !matches!(node.op, Op::Softmax) && node.inputs.iter().all(|&input| known[input])
            }
        };
        let found = ranges.of(tensor);
        let wider = if known[tensor] {
            found.union(likely.of(tensor))
        } else if node.op.linear().is_some() || matches!(node.op, Op::Add | Op::Sub | Op::Mul) {
            let room = NOISE_ROOM * (found.max - found.min);
            let clamp = (node.activation.as_ref())
                .and_then(|activation| activation.clamp_bounds(0))
                .unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            Range {
                min: (found.min - room).max(clamp.0.min(found.min)),
                max: (found.max + room).min(clamp.1.max(found.max)),
            }
        } else {
            found
        };
        ranges.set(tensor, wider);
    }
    Ok(())
}

/// The integers of all weights, and their biases.
fn choose_weights(
    graph: &Graph,
    encodings: &Encodings,
    calibration: Calibration<'_>,
    evidence: &Evidence<'_>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<NetworkWeights, Error> {
    let mut weights = NetworkWeights::nearest(graph, encodings, recipe)
        .map_err(|e| Error::new(Stage::Weights, e))?;
    let walks = match calibration {
        Calibration::Samples(_) => true,
        Calibration::Statistics(_) => recipe.data_free.method == DataFreeMethod::Synthetic,
    };
    if walks {
        layerwise::optimize(
            graph,
            encodings,
            &mut weights,
            &evidence.samples,
            evidence.adjustments.as_ref(),
            recipe,
            progress,
        )
        .map_err(|e| Error::new(Stage::Weights, e))?;
    }
    let correction = if walks {
        recipe.passes.bias_correction.with_data()
    } else {
        recipe.passes.bias_correction.without_data()
    };
    match correction {
        BiasCorrection::Analytic => {
            let inputs = match calibration {
                Calibration::Statistics(inputs) => inputs.to_vec(),
                Calibration::Samples(samples) => input_ranges(graph, samples),
            };
            let statistics =
                statistics::propagate(graph, &inputs).map_err(|e| Error::new(Stage::Weights, e))?;
            correct_bias::correct_analytically(
                graph,
                &mut weights,
                |tensor| &statistics[tensor].mean,
                recipe,
            );
        }
        BiasCorrection::Empirical if !walks => {
            return Err(Error::new(Stage::Weights, NeedsSamples));
        }
        _ => {}
    }
    Ok(weights)
}

/// How many times as far as in the samples inputs may reach; the device saturates them at about once.
const UNSEEN: f32 = 16.0;

/// Ranges that the network's inputs do not leave; empty where that is not known.
fn reachable_inputs(graph: &Graph, calibration: Calibration<'_>, recipe: &Recipe) -> Vec<Range> {
    if let (Some(range), [_]) = (recipe.input.real_range(), &graph.inputs[..]) {
        return vec![range];
    }
    let samples = match calibration {
        Calibration::Statistics(inputs) => return inputs.to_vec(),
        Calibration::Samples(samples) => samples,
    };
    let elements = |input: &Input| graph.tensors[input.tensor].elements();
    if samples.elements() != graph.inputs.iter().map(elements).sum::<usize>() {
        return Vec::new();
    }
    let reach = |range: Range| UNSEEN * range.min.abs().max(range.max.abs());
    let reaches: Vec<f32> = (input_ranges(graph, samples).into_iter().map(reach)).collect();
    // Blank samples tell nothing.
    if reaches.contains(&0.0) {
        return Vec::new();
    }
    let around = |reach: f32| Range {
        min: -reach,
        max: reach,
    };
    reaches.into_iter().map(around).collect()
}

/// Ranges of the network's inputs over samples.
fn input_ranges(graph: &Graph, samples: &Dataset) -> Vec<Range> {
    let mut offset = 0;
    let mut ranges = Vec::new();
    for input in &graph.inputs {
        let elements = graph.tensors[input.tensor].elements();
        let mut observer = MinMax::default();
        for sample in samples.inputs.chunks_exact(samples.elements()) {
            observer.observe(&sample[offset..][..elements]);
        }
        offset += elements;
        ranges.push(observer.range());
    }
    ranges
}

/// An override names a layer that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "no layer is called `{0}`, as an override of the recipe says; `--layers` lists their names, and `*` stands for any characters"
)]
struct NoSuchLayer(String);

/// Empirical correction without data.
#[derive(Debug, thiserror::Error)]
#[error(
    "empirical bias correction needs samples; give some with --calibration, or choose `analytic`"
)]
struct NeedsSamples;
