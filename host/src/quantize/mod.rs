//! The quantized network: encodings, integer weights, fixed-point multipliers.
//!
//! A [`Network`] is what post-training quantization chooses ([`ptq`](crate::ptq)), or what an importer of a quantized model is given, and what compilation reads.
//! [`Encodings`] holds one encoding for every tensor of the graph; tensors between which a device operator only moves bytes share
//! theirs. [`NetworkWeights`] holds the quantized weights of all layers. Both serve the fake-quantized simulation and the lowering, so that the
//! two differ only in their arithmetic.

mod bits;
mod encoding;
mod encodings;
mod error;
mod fake;
mod multiplier;
mod network;
mod network_weights;
#[cfg(test)]
mod tests;
mod weight_range;
mod weights;

pub use bits::Bits;
pub use encoding::Encoding;
pub use encodings::Encodings;
pub(crate) use encodings::{encoding_groups, moves_bytes};
pub use error::{NetworkError, QuantizeError};
pub use fake::simulation_graph;
pub use multiplier::{AddMultipliers, Multipliers};
pub use network::Network;
pub use network_weights::NetworkWeights;
pub use weight_range::symmetric_scale;
pub use weights::{LayerWeights, Requantization};
