//! Errors of calibration.

use crate::executor::ExecutorError;
use crate::graph::GraphError;
use crate::ptq::statistics::StatisticsError;

/// Reason why ranges could not be found.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// There is no sample.
    #[error("the calibration set is empty; give at least one sample")]
    Empty,
    /// The percentile is not valid, or would cut off half of the values.
    #[error(
        "a percentile of {found} cannot be used; give one above 50 and at most 100, such as 99.99"
    )]
    Percentile {
        /// Requested percentile.
        found: f64,
    },
    /// A value is infinite or not a number.
    #[error(
        "tensor `{tensor}` takes values that are not finite on the calibration set; check the input's preprocessing and the model's weights"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// The number of standard deviations is not valid.
    #[error("a range cannot reach {found} standard deviations; give a number above 0, such as 6")]
    Deviations {
        /// Requested number.
        found: f32,
    },
    /// Statistics do not tell ranges.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The executor refused.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}
