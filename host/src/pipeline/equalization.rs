//! The choice among equalizations, by trial.
//!
//! How far activations should decide depends on the network: equal channels waste no steps of an activation, but what they
//! gain there the weights of the next layer pay. So each candidate is tried: scaled, rounded to nearest and simulated on some samples,
//! and the one with the least noise at the logits is taken. Without samples, uniform noise takes their place and
//! BatchNorm statistics give the ranges.

use super::{Calibration, choose_encodings, choose_weights, logits};
use crate::calibrate::Range;
use crate::dataset::Dataset;
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, TensorId};
use crate::metrics::Sqnr;
use crate::passes::{Weighting, equalize as scale};
use crate::progress::Silent;
use crate::quantize::simulation_graph;
use crate::random::Sequence;
use crate::recipe::{Granularity, Recipe};
use crate::rounding::RoundingMethod;
use crate::statistics;
use crate::{Error, Stage};

/// Samples that candidates are tried on, of a small and of a large network.
const MOST_SAMPLES: usize = 64;
const LEAST_SAMPLES: usize = 16;

/// Multiply-accumulates of the float network that a trial may take.
const TRIAL_MACS: u64 = 2_000_000_000;

/// Candidates. What suits most networks comes first; later ones have to be better by [`MARGIN`], as a trial is a noisy measure.
const CANDIDATES: [Weighting; 6] = [
    weighting(true, 0.5),
    Weighting {
        sums: false,
        ..weighting(true, 0.5)
    },
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

/// Candidates for networks so large that even the fewest samples take long.
const FEW: usize = 3;

/// Decibels that a later candidate has to be better by.
const MARGIN: f64 = 0.3;

const fn weighting(rows: bool, activations: f64) -> Weighting {
    Weighting {
        rows,
        activations,
        sums: true,
    }
}

/// Equalizes `graph` in place, and notes what was chosen.
pub(super) fn equalize(
    graph: &mut Graph,
    calibration: Calibration<'_>,
    recipe: &Recipe,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let affordable = usize::try_from(TRIAL_MACS / graph.macs().max(1)).unwrap_or(MOST_SAMPLES);
    let count = affordable.clamp(LEAST_SAMPLES, MOST_SAMPLES);
    let samples = match calibration {
        Calibration::Samples(samples) => samples.thinned(count),
        Calibration::Statistics(inputs) => noise(graph, inputs, count, recipe.seed),
    };
    let calibration = match calibration {
        Calibration::Samples(_) => Calibration::Samples(&samples),
        statistics @ Calibration::Statistics(_) => statistics,
    };
    let trial = Trial::new(graph, &samples, calibration, recipe)?;
    let mut candidates = CANDIDATES.to_vec();
    if recipe.weights.granularity == Granularity::PerChannel {
        candidates.extend(COLUMNS);
    }
    if affordable < LEAST_SAMPLES {
        candidates.truncate(FEW);
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
            "equalized: activations decide {:.0} % of the scales{}{}; {db:.1} dB with weights rounded to nearest on {} samples, {unscaled:.1} dB before",
            100.0 * weighting.activations,
            if weighting.rows { "" } else { ", of weights only columns count" },
            if weighting.sums { "" } else { ", what meets in sums keeps its own" },
            trial.samples.samples,
        ));
        *graph = scaled;
    } else {
        notes.push("not equalized: it would not have helped".to_owned());
    }
    Ok(())
}

/// Uniform noise in the ranges of the network's inputs: what candidates are tried on where there is nothing better.
fn noise(graph: &Graph, ranges: &[Range], samples: usize, seed: u64) -> Dataset {
    let mut random = Sequence::new(seed);
    let mut inputs = Vec::new();
    for _ in 0..samples {
        for (input, range) in graph.inputs.iter().zip(ranges) {
            let elements = graph.tensors[input.tensor].elements();
            inputs.extend(random.values(elements, range.min, range.max));
        }
    }
    Dataset {
        inputs,
        samples,
        labels: None,
    }
}

/// What candidates are tried with.
struct Trial<'a> {
    samples: &'a Dataset,
    calibration: Calibration<'a>,
    recipe: Recipe,
    /// Logits of the float network.
    reference: Vec<f32>,
    /// Largest magnitude of each channel of each tensor before scaling.
    magnitudes: Vec<Vec<f32>>,
}

impl<'a> Trial<'a> {
    fn new(
        graph: &Graph,
        samples: &'a Dataset,
        calibration: Calibration<'a>,
        recipe: &Recipe,
    ) -> Result<Self, Error> {
        let mut seen: Vec<Vec<f32>> = graph
            .tensors
            .iter()
            .map(|tensor| vec![0.0; tensor.channels()])
            .collect();
        let mut reference = Vec::new();
        let logits = logits(graph);
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            let channels = &mut seen[tensor];
            for pixel in values.chunks_exact(channels.len().max(1)) {
                for (largest, value) in channels.iter_mut().zip(pixel) {
                    *largest = largest.max(value.abs());
                }
            }
            if tensor == logits {
                reference.extend_from_slice(values);
            }
        };
        run(graph, samples, &mut hook)?;
        let magnitudes = match calibration {
            Calibration::Samples(_) => seen,
            Calibration::Statistics(inputs) => {
                let deviations = f64::from(recipe.activations.deviations);
                statistics::magnitudes(graph, inputs, deviations)
                    .map_err(|e| Error::new(Stage::Passes, e))?
            }
        };
        // What only rounding decides is left out: it would fit the few samples.
        let mut recipe = recipe.clone();
        recipe.rounding.method = RoundingMethod::Nearest;
        recipe.weights.scale_search = false;
        recipe.overrides.iter_mut().for_each(|other| {
            other.rounding = None;
            other.scale_search = None;
        });
        Ok(Trial {
            samples,
            calibration,
            recipe,
            reference,
            magnitudes,
        })
    }

    /// Ratio of signal to noise of a graph, simulated.
    fn measure(&self, graph: &Graph) -> Result<f64, Error> {
        let encodings = choose_encodings(graph, self.calibration, &self.recipe, &mut Silent)?;
        let weights = choose_weights(
            graph,
            &encodings,
            self.calibration,
            &self.recipe,
            &mut Silent,
        )?;
        let simulated = simulation_graph(graph, &weights);
        let logits = logits(graph);
        let mut found = Vec::new();
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            encodings.fake_quantize(tensor, values);
            if tensor == logits {
                found.extend_from_slice(values);
            }
        };
        run(&simulated, self.samples, &mut hook)?;
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
