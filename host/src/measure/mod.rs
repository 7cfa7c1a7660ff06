//! Comparison of a quantized network with the float one that it came from.

mod chance;
mod evaluate;
mod layers;
pub mod report;
pub mod simulate;
mod subject;

pub use evaluate::evaluate;
pub use subject::Subject;
