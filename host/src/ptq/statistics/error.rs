//! Errors of statistics.

use crate::graph::GraphError;

/// Reason why the statistics of a network's tensors could not be found.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// An input of the network has no usable range.
    #[error("input `{tensor}` has no range that could be used: {problem}")]
    InputRange {
        /// Name of the tensor.
        tensor: String,
        /// Found and expected values.
        problem: String,
    },
    /// Statistics or weights are not finite, or lead to what is not.
    #[error(
        "tensor `{tensor}` has statistics that are not finite; the model's BatchNorms or weights are damaged, calibrate with samples instead"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
}
