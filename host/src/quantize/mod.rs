//! From ranges to encodings, and from real factors to fixed-point multipliers.
//!
//! [`Encodings`] holds one encoding for every tensor of the graph; tensors between which a device operator only moves bytes share
//! theirs. [`NetworkWeights`] holds the quantized weights of all layers. Both serve the fake-quantized simulation and the lowering, so that the
//! two differ only in their arithmetic.

mod encoding;
mod encodings;
mod fake;
mod multiplier;
mod network;
mod weight_range;
mod weights;

pub use encoding::Encoding;
pub use encodings::Encodings;
pub(crate) use encodings::{encoding_groups, moves_bytes};
pub use fake::simulation_graph;
pub use multiplier::{AddMultipliers, Multipliers};
pub use network::{Network, NetworkWeights};
pub use weight_range::symmetric_scale;
pub use weights::{LayerWeights, Requantization};

/// What a node cannot be quantized for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("node `{node}`: {problem}")]
pub struct QuantizeError {
    /// Name of the node.
    pub node: String,
    /// What was found, what was expected, what to do.
    pub problem: String,
}
