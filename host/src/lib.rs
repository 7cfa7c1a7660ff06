//! Post-training quantization of neural networks for microcontrollers.
//!
#![doc = include_str!("../README.md")]
//!
//! A model file is imported into a float [`graph`], rewritten by [`passes`], calibrated ([`calibrate`], [`quantize`]), lowered to integers ([`lower`]), given memory
//! ([`plan`]) and packed into a blob ([`pack`]) that `fewbit-runtime` executes; the same runtime is the integer simulator here ([`simulate`]).
//! [`pipeline`] is the whole way. The library prints nothing and knows no command line: that is the crate `fewbit-cli`.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a closed pipe or a full disk must not end in a panic"
)]
#![cfg_attr(
    test,
    allow(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "the harness prints"
    )
)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests may compare with the system's functions"
    )
)]

pub mod calibrate;
pub mod correct_bias;
pub mod dataset;
pub mod default_model;
mod error;
pub mod executor;
mod gradient;
pub mod graph;
pub mod import;
pub mod layerwise;
pub mod lower;
pub mod metrics;
pub mod output;
pub mod pack;
pub mod passes;
pub mod pipeline;
pub mod plan;
pub mod progress;
pub mod quantize;
pub mod random;
pub mod recipe;
pub mod repack;
pub mod report;
pub mod rounding;
pub mod simulate;
pub mod statistics;
#[cfg(test)]
mod testing;

pub use error::{Error, Stage, text as error_text};
