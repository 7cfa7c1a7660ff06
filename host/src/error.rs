//! The library's top-level error: the stage that failed, and the reason.

use std::error::Error as StdError;
use std::fmt;

/// Stage of a run, from a model file to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Estimate of the run's memory, before it begins.
    Memory,
    /// Float passes.
    Passes,
    /// Calibration and the choice of encodings.
    Calibrate,
    /// The choice of integer weights.
    Weights,
    /// Lowering to device operators.
    Lower,
    /// Packing into a blob.
    Pack,
    /// Measuring accuracy.
    Evaluate,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Memory => "estimating memory",
            Stage::Passes => "rewriting the float network",
            Stage::Calibrate => "calibrating",
            Stage::Weights => "choosing weights",
            Stage::Lower => "lowering to integers",
            Stage::Pack => "packing",
            Stage::Evaluate => "evaluating",
        })
    }
}

/// Error of a run.
#[derive(Debug, thiserror::Error)]
#[error("{}{source}", prefix(*.stage))]
pub struct Error {
    /// Stage that failed.
    pub stage: Stage,
    /// Reason of the failure.
    pub source: Box<dyn StdError + Send + Sync>,
}

/// Text before the reason. A run that has not begun has not failed.
fn prefix(stage: Stage) -> String {
    match stage {
        Stage::Memory => String::new(),
        _ => format!("{stage} failed: "),
    }
}

impl Error {
    /// An error of a stage.
    pub fn new(stage: Stage, source: impl StdError + Send + Sync + 'static) -> Self {
        Error {
            stage,
            source: Box::new(source),
        }
    }
}

/// An error with its causes, from the outermost inwards, on one line. Many errors contain the text of their cause, which is
/// then not repeated.
pub fn text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string().trim_end().to_owned();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(cause_text.trim_end()) {
            text = format!("{text}: {}", cause_text.trim_end());
        }
        next = cause.source();
    }
    text
}
