//! The whole way: from a float graph and samples to a blob and a report.
//!
//! fold, fuse and equalize, calibrate, choose encodings and integers, lower, plan, pack; then the float network, the fake-quantized one and the integer engine
//! run over the evaluation set side by side. Same graph, samples and recipe: same blob, byte for byte.

pub mod calibrate;
mod choose;
pub mod correct_bias;
pub(crate) mod doubts;
mod ends;
mod equalization;
mod evidence;
mod gradient;
pub mod layerwise;
mod memory;
pub mod passes;
pub mod rounding;
mod softmax;
pub mod statistics;
mod synthetic;

pub use crate::measure::evaluate;
use crate::measure::evaluate::logits;
use choose::choose_encodings;
pub use doubts::doubtful_samples;
pub use ends::propose_first_and_last;
use evidence::Evidence;
pub use memory::check_memory;

use crate::compile::lower::{self, Lowered};
use crate::compile::pack;
use crate::compile::plan::{self, Plan};
use crate::dataset::Dataset;
use crate::graph::{Graph, Input};
use crate::progress::Progress;
use crate::ptq::calibrate::{MinMax, Observer};
use crate::ptq::passes::AbsorbHighBias;
use crate::quantize::{Encodings, NetworkWeights};
use crate::range::Range;
use crate::recipe::Equalize;
use crate::recipe::{BiasCorrection, DataFreeMethod, Recipe};
use crate::{Error, Stage};
use fewbit_runtime::AlignedBlob;

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
    /// What makes the calibration doubtful.
    pub warnings: Vec<String>,
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

/// Quantizes a float graph. The order of samples does not matter.
///
/// # Errors
/// The stage that failed and why.
pub fn quantize(
    float: &Graph,
    calibration: Calibration<'_>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Quantized, Error> {
    let ordered;
    let calibration = match calibration {
        Calibration::Samples(samples) => {
            ordered = samples.in_canonical_order();
            Calibration::Samples(&ordered)
        }
        Calibration::Statistics(_) => calibration,
    };
    let warnings = match calibration {
        Calibration::Samples(samples) => doubtful_samples(float, samples)?,
        Calibration::Statistics(_) => Vec::new(),
    };
    let mut graph = float.clone();
    let inputs = reachable_inputs(&graph, calibration, recipe);
    let reports = passes::run(&passes::float_passes_within(recipe, inputs), &mut graph)
        .map_err(|e| Error::new(Stage::Passes, e))?;
    let mut notes: Vec<String> = reports
        .into_iter()
        .flat_map(|report| report.notes)
        .collect();
    let recipe = &*recipe.with_ends_of(&graph);
    let samples = match calibration {
        Calibration::Samples(samples) => memory::Samples::Given(samples.samples),
        Calibration::Statistics(_) => memory::Samples::Synthetic,
    };
    memory::check(&graph, samples, recipe).map_err(|e| Error::new(Stage::Memory, e))?;
    let mut evidence = Evidence::new(&graph, calibration, recipe)?;
    let recipe = &*evidence.decided(recipe, &mut notes);
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

    let elements = sensitivity.into_elements();
    evidence.renew(&graph, recipe)?;
    let encodings = choose_encodings(
        &graph,
        calibration,
        &evidence,
        &elements,
        recipe,
        &mut notes,
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
        warnings,
        calibration_samples: match calibration {
            Calibration::Samples(samples) => samples.samples,
            Calibration::Statistics(_) => 0,
        },
    })
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
    (samples.by_input(graph).into_iter())
        .map(|(_, values)| {
            let mut observer = MinMax::default();
            observer.observe(&values);
            observer.range()
        })
        .collect()
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
