//! Cross-crate test support: the oracle, random layers, where models are.
//!
//! What a suite under `tests/` needs and what is not a test itself.

pub mod layer;
pub mod models;
pub mod networks;
pub mod oracle;
pub mod random_layer;
