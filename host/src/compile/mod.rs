//! Compiling: from a quantized network to a blob.

pub mod lower;
pub mod pack;
pub mod plan;
