//! Post-training quantization: from a float graph to a quantized network.
//!
//! Fold, fuse and equalize, calibrate, choose encodings and integers ([`quantize`]). What comes out is a [`Network`](crate::quantize::Network), as an importer
//! of quantized models makes one too. Same graph, samples and recipe: same network, bit for bit.

pub mod calibrate;
mod choose;
pub mod correct_bias;
mod doubts;
mod ends;
mod equalization;
mod evidence;
mod gradient;
pub mod layerwise;
mod memory;
pub mod passes;
pub mod rounding;
mod run;
mod samples;
mod softmax;
pub mod statistics;
mod synthetic;
pub mod trial;

pub use doubts::doubtful_samples;
pub use ends::propose_first_and_last;
pub use evidence::Calibration;
pub use memory::check_memory;
pub use run::{Outcome, quantize};
