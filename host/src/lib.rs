//! Post-training quantization of neural networks for microcontrollers.
//!
//! A model file is imported into a float [`graph`], rewritten by passes, calibrated, lowered to integers and packed into a blob that
//! `fewbit-runtime` executes; the same runtime is the integer simulator here.

pub mod dataset;
pub mod executor;
pub mod files;
pub mod graph;
pub mod import;
