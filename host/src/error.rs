//! The library's top-level error: which stage failed, and why.

use std::error::Error as StdError;
use std::fmt;

/// A step of the way from a model file to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
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
#[error("{stage} failed: {source}")]
pub struct Error {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub source: Box<dyn StdError + Send + Sync>,
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
