//! Calibration data: samples, or their replacement.

use super::synthetic;
use crate::dataset::Dataset;
use crate::graph::{Graph, Input};
use crate::ptq::calibrate::{MinMax, Observer};
use crate::ptq::layerwise::{Adjustments, Origin};
use crate::ptq::statistics;
use crate::range::Range;
use crate::recipe::{BiasCorrection, Recipe, WeightBits};
use crate::{Error, Stage};
use std::borrow::Cow;

/// Source of ranges.
#[derive(Clone, Copy, Debug)]
pub enum Calibration<'a> {
    /// Samples.
    Samples(&'a Dataset),
    /// No data: the ranges of the network's inputs, and BatchNorm statistics for everything behind them.
    Statistics(&'a [Range]),
}

/// Elements that one tensor of all synthetic samples may have, and samples that there are in any case.
const SYNTHETIC_ELEMENTS: usize = 128 << 20;
const LEAST_SYNTHETIC: usize = 16;

/// Synthetic samples that a network's largest tensor leaves room for.
fn affordable(graph: &Graph) -> usize {
    let largest = graph.tensors.iter().map(|tensor| tensor.elements()).max();
    (SYNTHETIC_ELEMENTS / largest.unwrap_or(1).max(1)).max(LEAST_SYNTHETIC)
}

/// Synthetic samples for networks without others.
pub(super) fn synthetic_samples(graph: &Graph, recipe: &Recipe) -> usize {
    recipe.data_free.samples.min(affordable(graph))
}

/// Data about the network's activations: samples, and the corrections that synthetic ones need.
pub(super) struct Evidence<'a> {
    pub(super) samples: Cow<'a, Dataset>,
    /// For synthetic samples only.
    pub(super) adjustments: Option<Adjustments>,
    /// Ranges of the network's inputs, for which synthetic samples are made.
    ranges: &'a [Range],
}

impl<'a> Evidence<'a> {
    pub(super) fn new(
        graph: &Graph,
        calibration: Calibration<'a>,
        recipe: &Recipe,
    ) -> Result<Evidence<'a>, Error> {
        match calibration {
            Calibration::Samples(samples) => Ok(Evidence {
                samples: Cow::Borrowed(samples),
                adjustments: None,
                ranges: &[],
            }),
            Calibration::Statistics(ranges) => {
                // Refuses ranges that make no sense.
                statistics::propagate(graph, ranges)
                    .map_err(|e| Error::new(Stage::Calibrate, e))?;
                let count = synthetic_samples(graph, recipe);
                let noise = synthetic::noise(graph, ranges, count, recipe.seed)
                    .map_err(|e| Error::new(Stage::Calibrate, e))?;
                let adjustments = synthetic::adjustments(graph, &noise)
                    .map_err(|e| Error::new(Stage::Calibrate, e))?;
                Ok(Evidence {
                    samples: Cow::Owned(noise),
                    adjustments: Some(adjustments),
                    ranges,
                })
            }
        }
    }

    /// Makes synthetic samples anew, after the graph has been equalized, and lets their contrast differ. Equalization looks at the extremes of every channel, and
    /// goes without: a few images of much contrast would decide it.
    pub(super) fn renew(&mut self, graph: &Graph, recipe: &Recipe) -> Result<(), Error> {
        if let Some(adjustments) = &mut self.adjustments {
            let count = self.samples.samples;
            let noise = synthetic::varied_noise(graph, self.ranges, count, recipe.seed)
                .map_err(|e| Error::new(Stage::Calibrate, e))?;
            *adjustments = synthetic::adjustments(graph, &noise)
                .map_err(|e| Error::new(Stage::Calibrate, e))?;
            self.samples = Cow::Owned(noise);
        }
        Ok(())
    }

    /// The recipe with what it leaves open decided by what is known, and a note on that.
    ///
    /// Mean errors of 4-bit weights are large, and behind samples that look like no real ones they are others: corrected biases then do harm.
    pub(super) fn decided<'r>(
        &self,
        recipe: &'r Recipe,
        notes: &mut Vec<String>,
    ) -> Cow<'r, Recipe> {
        let open = recipe.passes.bias_correction == BiasCorrection::Auto;
        let unknown = Origin::of(self.adjustments.as_ref()) == Origin::Unknown;
        if !(open && unknown && recipe.weights.bits == WeightBits::Int4) {
            return Cow::Borrowed(recipe);
        }
        notes.push(
            "biases are not corrected: the network holds no BatchNorm statistics to make samples from; calibrate with data for better INT4".to_owned(),
        );
        let mut recipe = recipe.clone();
        recipe.passes.bias_correction = BiasCorrection::Off;
        Cow::Owned(recipe)
    }

    /// The graph to run the samples through.
    pub(super) fn graph<'g>(&self, graph: &'g Graph) -> Cow<'g, Graph> {
        match &self.adjustments {
            Some(adjustments) => Cow::Owned(synthetic::adjusted(graph, adjustments)),
            None => Cow::Borrowed(graph),
        }
    }
}

/// Ratio by which inputs may exceed the samples' range; the device saturates them at about 1.
const UNSEEN: f32 = 16.0;

/// Ranges that the network's inputs do not leave; empty where that is not known.
pub(super) fn reachable_inputs(
    graph: &Graph,
    calibration: Calibration<'_>,
    recipe: &Recipe,
) -> Vec<Range> {
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
pub(super) fn input_ranges(graph: &Graph, samples: &Dataset) -> Vec<Range> {
    (samples.by_input(graph).into_iter())
        .map(|(_, values)| {
            let mut observer = MinMax::default();
            observer.observe(&values);
            observer.range()
        })
        .collect()
}
