//! The whole way of post-training quantization, step after step.

use super::choose::{choose_encodings, choose_weights};
use super::doubts::doubtful_samples;
use super::evidence::{Calibration, Evidence, reachable_inputs};
use super::passes::{self, When, passes_of};
use super::{equalization, memory};
use crate::graph::Graph;
use crate::progress::Progress;
use crate::quantize::Network;
use crate::recipe::{Equalize, Recipe};
use crate::{Error, Stage};

/// A network that was quantized, and what a user should know of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The network, folded, fused and equalized.
    pub network: Network,
    /// Sentences for the user on what was done.
    pub notes: Vec<String>,
    /// Doubts about the calibration, one sentence each.
    pub warnings: Vec<String>,
    /// Samples that ranges were found on; 0 without data.
    pub calibration_samples: usize,
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
) -> Result<Outcome, Error> {
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
    let reports = passes::run(&passes_of(recipe, When::Imported, &inputs), &mut graph)
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
    let reports = passes::run(&passes_of(recipe, When::Equalized, &inputs), &mut graph)
        .map_err(|e| Error::new(Stage::Passes, e))?;
    notes.extend(reports.into_iter().flat_map(|report| report.notes));
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
    let network =
        Network::new(graph, encodings, weights).map_err(|e| Error::new(Stage::Weights, e))?;
    Ok(Outcome {
        network,
        notes,
        warnings,
        calibration_samples: match calibration {
            Calibration::Samples(samples) => samples.samples,
            Calibration::Statistics(_) => 0,
        },
    })
}

/// An override names a layer that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "no layer is called `{0}`, as an override of the recipe says; `--layers` lists their names, and `*` stands for any characters"
)]
struct NoSuchLayer(String);
