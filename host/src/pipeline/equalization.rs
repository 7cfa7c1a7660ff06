//! The choice among equalizations: by weights alone, or with the ranges of activations.
//!
//! How far activations should decide depends on the network: equal channels waste no steps of an activation, but what they
//! gain there the weights of the next layer pay. So each candidate is tried: scaled, rounded to nearest and simulated on some samples,
//! and the one with the least noise at the logits is taken. Without samples there is nothing to try on; ranges come from
//! BatchNorm statistics then, and they and weights decide alike.

use super::{Calibration, logits};
use crate::calibrate::{self, Range, Ranges};
use crate::dataset::Dataset;
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, TensorId};
use crate::layerwise;
use crate::metrics::Sqnr;
use crate::passes::{Weighting, equalize as scale};
use crate::progress::Silent;
use crate::quantize::{Encodings, NetworkWeights, simulation_graph};
use crate::recipe::{Granularity, Recipe};
use crate::rounding::RoundingMethod;
use crate::statistics;
use crate::{Error, Stage};

/// Samples that candidates are tried on.
const SAMPLES: usize = 64;

/// Candidates. What suits most networks comes first; later ones have to be better by [`MARGIN`], as a trial is a noisy measure.
const CANDIDATES: [Weighting; 5] = [
    weighting(true, 0.5),
    weighting(true, 0.25),
    weighting(true, 0.75),
    weighting(true, 0.0),
    weighting(true, 1.0),
];

/// More candidates for rows that have scales of their own: only columns count.
const COLUMNS: [Weighting; 4] = [
    weighting(false, 0.5),
    weighting(false, 0.25),
    weighting(false, 0.75),
    weighting(false, 0.9),
];

/// Decibels that a later candidate has to be better by.
const MARGIN: f64 = 0.3;

/// Taken without samples: what suits most networks.
const WITHOUT_SAMPLES: Weighting = weighting(true, 0.5);

const fn weighting(rows: bool, activations: f64) -> Weighting {
    Weighting { rows, activations }
}

/// Equalizes `graph` in place, and notes what was chosen.
pub(super) fn equalize(
    graph: &mut Graph,
    calibration: Calibration<'_>,
    recipe: &Recipe,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let samples = match calibration {
        Calibration::Samples(samples) => samples,
        Calibration::Statistics(inputs) => {
            let deviations = f64::from(recipe.activations.deviations);
            let magnitudes = statistics::magnitudes(graph, inputs, deviations)
                .map_err(|e| Error::new(Stage::Passes, e))?;
            let channels = scale(graph, &magnitudes, WITHOUT_SAMPLES);
            notes.push(format!("equalized {channels} channels by their statistics"));
            return Ok(());
        }
    };
    let trial = Trial::new(graph, samples, recipe)?;
    let mut candidates = CANDIDATES.to_vec();
    if recipe.weights.granularity == Granularity::PerChannel {
        candidates.extend(COLUMNS);
    }
    let mut best: Option<(f64, Graph, Weighting)> = None;
    for weighting in candidates {
        let mut scaled = graph.clone();
        scale(&mut scaled, &trial.magnitudes, weighting);
        let db = trial.measure(&scaled)?;
        if best.as_ref().is_none_or(|(found, ..)| db > *found + MARGIN) {
            best = Some((db, scaled, weighting));
        }
    }
    let unscaled = trial.measure(graph)?;
    if let Some((db, scaled, weighting)) = best.filter(|(db, ..)| *db > unscaled) {
        notes.push(format!(
            "equalized: activations decide {:.0} % of the scales{}; {db:.1} dB with weights rounded to nearest on {} samples, {unscaled:.1} dB before",
            100.0 * weighting.activations,
            if weighting.rows { "" } else { ", of weights only columns count" },
            trial.samples.samples,
        ));
        *graph = scaled;
    } else {
        notes.push("not equalized: it would not have helped".to_owned());
    }
    Ok(())
}

/// What candidates are tried with.
struct Trial<'a> {
    recipe: Recipe,
    original: &'a Recipe,
    samples: Dataset,
    /// Logits of the float network.
    reference: Vec<f32>,
    /// Largest magnitude of each channel of each tensor before scaling.
    magnitudes: Vec<Vec<f32>>,
}

impl<'a> Trial<'a> {
    fn new(graph: &Graph, samples: &Dataset, recipe: &'a Recipe) -> Result<Self, Error> {
        let samples = samples.thinned(SAMPLES);
        let mut magnitudes: Vec<Vec<f32>> = graph
            .tensors
            .iter()
            .map(|tensor| vec![0.0; tensor.channels()])
            .collect();
        let mut reference = Vec::new();
        let logits = logits(graph);
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            let channels = &mut magnitudes[tensor];
            for pixel in values.chunks_exact(channels.len().max(1)) {
                for (largest, value) in channels.iter_mut().zip(pixel) {
                    *largest = largest.max(value.abs());
                }
            }
            if tensor == logits {
                reference.extend_from_slice(values);
            }
        };
        run(graph, &samples, &mut hook)?;
        let mut trial_recipe = recipe.clone();
        trial_recipe.rounding.method = RoundingMethod::Nearest;
        trial_recipe.weights.scale_search = false;
        trial_recipe.overrides.iter_mut().for_each(|other| {
            other.rounding = None;
            other.scale_search = None;
        });
        Ok(Trial {
            recipe: trial_recipe,
            original: recipe,
            samples,
            reference,
            magnitudes,
        })
    }

    /// Ratio of signal to noise of a graph, simulated.
    fn measure(&self, graph: &Graph) -> Result<f64, Error> {
        let failed = |e: calibrate::CalibrationError| Error::new(Stage::Passes, e);
        let mut ranges: Ranges = calibrate::observe(
            graph,
            &self.samples,
            self.original.activations.range_options(),
            &mut Silent,
        )
        .map_err(failed)?;
        let known: Option<Range> = self.recipe.input.real_range();
        if let (Some(range), [input]) = (known, &graph.inputs[..]) {
            ranges.set(input.tensor, range);
        }
        let encodings = Encodings::choose(graph, &ranges).map_err(|e| Error::new(Stage::Passes, e))?;
        let mut weights = NetworkWeights::nearest(graph, &encodings, &self.recipe)
            .map_err(|e| Error::new(Stage::Passes, e))?;
        layerwise::optimize(graph, &encodings, &mut weights, &self.samples, &self.recipe, &mut Silent)
            .map_err(|e| Error::new(Stage::Passes, e))?;
        let simulated = simulation_graph(graph, &weights);
        let logits = logits(graph);
        let mut found = Vec::new();
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            encodings.fake_quantize(tensor, values);
            if tensor == logits {
                found.extend_from_slice(values);
            }
        };
        run(&simulated, &self.samples, &mut hook)?;
        let mut sqnr = Sqnr::default();
        sqnr.add(&self.reference, &found);
        Ok(sqnr.db().unwrap_or(f64::INFINITY))
    }
}

fn run(
    graph: &Graph,
    samples: &Dataset,
    hook: &mut dyn crate::executor::Hook,
) -> Result<(), Error> {
    let executor = Executor::new(graph).map_err(|e| Error::new(Stage::Passes, e))?;
    executor
        .run(&samples.inputs, samples.samples, hook)
        .map_err(|e: ExecutorError| Error::new(Stage::Passes, e))?;
    Ok(())
}
