//! The library's top-level error: which stage failed, and why.

use std::error::Error as StdError;
use std::fmt;

/// A step of the way from a model file to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The estimate of what a run takes, before it begins.
    Memory,
    /// Float passes.
    Passes,
    /// Calibration and the choice of encodings.
    Calibrate,
    /// The choice of integer weights.
    Weights,
    /// Lowering to device operators.
    Lower,
    /// Family into a blob.
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

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[error("{}{source}", prefix(*.stage))]
pub struct Error {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub source: Box<dyn StdError + Send + Sync>,
}

/// What comes before the reason. Where nothing has begun, nothing has failed.
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

/// An error with its causes, from the outermost inwards, on one line. Many errors hold the text of their cause; what has been said is
/// not said again.
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
