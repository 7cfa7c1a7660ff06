//! What is known of activations: samples, or what takes their place.

use super::{Calibration, synthetic};
use crate::dataset::Dataset;
use crate::graph::Graph;
use crate::layerwise::Adjustments;
use crate::recipe::Recipe;
use crate::statistics;
use crate::{Error, Stage};
use std::borrow::Cow;

/// Elements that one tensor of all synthetic samples may have (128 MiB), and samples that there are in any case.
const SYNTHETIC_ELEMENTS: usize = 32 << 20;
const LEAST_SYNTHETIC: usize = 16;

/// Synthetic samples that a network's largest tensor leaves room for.
fn affordable(graph: &Graph) -> usize {
    let largest = graph.tensors.iter().map(|tensor| tensor.elements()).max();
    (SYNTHETIC_ELEMENTS / largest.unwrap_or(1).max(1)).max(LEAST_SYNTHETIC)
}

/// What is known of the network's activations: samples, and without data what has to be done to them.
pub(super) struct Evidence<'a> {
    pub(super) samples: Cow<'a, Dataset>,
    /// Of synthetic samples only.
    pub(super) adjustments: Option<Adjustments>,
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
    pub(super) fn adjust_to(&mut self, graph: &Graph) -> Result<(), Error> {
        if let Some(adjustments) = &mut self.adjustments {
            *adjustments = synthetic::adjustments(graph, &self.samples)
                .map_err(|e| Error::new(Stage::Calibrate, e))?;
        }
        Ok(())
    }

    /// The graph to run the samples through.
    pub(super) fn graph<'g>(&self, graph: &'g Graph) -> Cow<'g, Graph> {
        match &self.adjustments {
            Some(adjustments) => Cow::Owned(synthetic::adjusted(graph, adjustments)),
            None => Cow::Borrowed(graph),
        }
    }
}
