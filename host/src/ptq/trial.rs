//! Trials: what a recipe would make of a network, measured on some samples.
//!
//! The measure is the error at the network's result (the input of its final softmax, if it ends in one) that rounding leaves, in the
//! fake-quantized simulation.

use super::evidence::Calibration;
use super::run::{Outcome, quantize};
use super::samples::affordable;
use crate::dataset::Dataset;
use crate::executor::Executor;
use crate::graph::{Graph, logits};
use crate::metrics::Sqnr;
use crate::progress::Progress;
use crate::quantize::{Encodings, Network, simulation_graph};
use crate::recipe::Recipe;
use crate::{Error, Stage};

/// A float network and some samples of its calibration set, on which candidates are measured.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    float: &'a Graph,
    calibration: &'a Dataset,
    some: Dataset,
    /// Results of the float network.
    wanted: Vec<f32>,
}

/// A candidate that was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The quantized network.
    pub outcome: Outcome,
    /// Signal-to-quantization-noise ratio at its output in dB; `None` if it equals the float network, or there is no signal.
    pub sqnr_db: Option<f64>,
}

impl<'a> Trial<'a> {
    /// A trial of candidates for `float`, quantized on `calibration` and measured on the first of its samples in their canonical order, as many as
    /// `folded`, the network without its BatchNorms, is small enough for.
    ///
    /// # Errors
    /// If the samples do not match the network.
    pub fn new(
        float: &'a Graph,
        folded: &Graph,
        calibration: &'a Dataset,
    ) -> Result<Trial<'a>, Error> {
        let some = (calibration.in_canonical_order()).first(affordable(folded));
        let wanted = results(float, &some, None)?;
        Ok(Trial {
            float,
            calibration,
            some,
            wanted,
        })
    }

    /// Signal-to-quantization-noise ratio at the output of `network` in dB; `None` if it equals the float network, or there is no signal.
    ///
    /// # Errors
    /// A network of another input.
    pub fn sqnr_db(&self, network: &Network) -> Result<Option<f64>, Error> {
        let simulated = simulation_graph(network.graph(), network.weights());
        let found = results(&simulated, &self.some, Some(network.encodings()))?;
        let mut sqnr = Sqnr::default();
        sqnr.add(&self.wanted, &found);
        Ok(sqnr.db())
    }

    /// Quantizes with `recipe` and measures the result.
    ///
    /// # Errors
    /// As [`quantize`].
    pub fn run(&self, recipe: &Recipe, progress: &mut dyn Progress) -> Result<Measured, Error> {
        let calibration = Calibration::Samples(self.calibration);
        let outcome = quantize(self.float, calibration, recipe, progress)?;
        let sqnr_db = self.sqnr_db(&outcome.network)?;
        Ok(Measured { outcome, sqnr_db })
    }
}

/// The network's result for every sample, with activations rounded where encodings are given.
fn results(
    graph: &Graph,
    samples: &Dataset,
    encodings: Option<&Encodings>,
) -> Result<Vec<f32>, Error> {
    let result = logits(graph);
    let executor = Executor::new(graph).map_err(|e| Error::new(Stage::Weights, e))?;
    let mut found = Vec::new();
    let mut hook = |tensor, values: &mut [f32]| {
        if let Some(encodings) = encodings {
            encodings.fake_quantize(tensor, values);
        }
        if tensor == result {
            found.extend_from_slice(values);
        }
    };
    executor
        .run(&samples.inputs, samples.samples, &mut hook)
        .map_err(|e| Error::new(Stage::Weights, e))?;
    Ok(found)
}
