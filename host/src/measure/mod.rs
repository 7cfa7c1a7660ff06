//! Measuring a quantized network against the float one that it came from.

pub(crate) mod evaluate;
mod layers;
pub mod report;
pub mod simulate;

pub use evaluate::evaluate;
