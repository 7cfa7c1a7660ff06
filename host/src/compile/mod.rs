//! Compiling: from a quantized network to a blob.
//!
//! [`lower`] makes device operators of the graph's, [`plan`] assigns their tensors places in memory, and [`pack`] writes the bytes.

mod host_model;
pub mod lower;
mod options;
pub mod pack;
pub mod plan;
pub mod repack;
mod run;
#[cfg(test)]
mod tests;

pub use host_model::HostModel;
pub(crate) use host_model::MAX_AXES;
pub use options::Options;
pub use run::{Compiled, compile};
