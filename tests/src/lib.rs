//! Cross-crate test support: the oracle, random layers, and running both.
//!
//! What a suite under `tests/` needs and what is not a test itself.

pub mod layer;
pub mod oracle;
pub mod random_layer;
