//! All stages: from a float graph and samples to a blob and a report.
//!
//! [`ptq`] makes the quantized network, [`compile`] the blob; then [`measure`] runs the float network, the
//! fake-quantized one and the integer engine over the evaluation set. The same graph, samples and recipe give the same blob, byte for byte.

pub use crate::ptq::{Calibration, check_memory, doubtful_samples, propose_first_and_last};

use crate::Error;
use crate::compile::lower::Lowered;
use crate::compile::plan::Plan;
use crate::compile::{self, Compiled};
use crate::dataset::Dataset;
use crate::graph::Graph;
use crate::measure::report::QuantizeReport;
use crate::measure::{self, Subject};
use crate::progress::Progress;
use crate::ptq::{self, Outcome};
use crate::quantize::Network;
use crate::recipe::Recipe;
use fewbit_runtime::AlignedBlob;
use std::time::Instant;

/// A quantized network and its blob.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The quantized network, folded, fused and equalized.
    pub network: Network,
    /// Device operators of the network.
    pub lowered: Lowered,
    /// Places of its tensors in memory.
    pub plan: Plan,
    /// The packed result.
    pub blob: AlignedBlob,
    /// Notes for the user about the run, one sentence each.
    pub notes: Vec<String>,
    /// Doubts about the calibration samples, one sentence each.
    pub warnings: Vec<String>,
    /// Number of calibration samples; 0 without data.
    pub calibration_samples: usize,
}

/// Quantizes a float graph and compiles it. The order of samples does not matter.
///
/// # Errors
/// The stage that failed, and the reason.
pub fn quantize(
    float: &Graph,
    calibration: Calibration<'_>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Quantized, Error> {
    let Outcome {
        network,
        mut notes,
        warnings,
        calibration_samples,
    } = ptq::quantize(float, calibration, recipe, progress)?;
    let Compiled {
        lowered,
        plan,
        blob,
    } = compile::compile(&network, &compile::Options::from(recipe))?;
    notes.extend(lowered.notes.iter().cloned());
    Ok(Quantized {
        network,
        lowered,
        plan,
        blob,
        notes,
        warnings,
        calibration_samples,
    })
}

/// Measures a quantized network against the float one it came from; `started` is the start of the reported run.
///
/// # Errors
/// If the samples do not match the network.
pub fn evaluate(
    float: &Graph,
    quantized: &Quantized,
    evaluation: &Dataset,
    recipe: &Recipe,
    started: Instant,
    progress: &mut dyn Progress,
) -> Result<QuantizeReport, Error> {
    let subject = Subject {
        network: &quantized.network,
        lowered: &quantized.lowered,
        plan: &quantized.plan,
        blob: quantized.blob.as_bytes(),
    };
    let mut report = measure::evaluate(float, subject, evaluation, recipe, started, progress)?;
    let doubts = std::mem::take(&mut report.warnings);
    report.warnings = quantized.warnings.iter().cloned().chain(doubts).collect();
    report.notes.clone_from(&quantized.notes);
    report.calibration_samples = quantized.calibration_samples;
    Ok(report)
}
