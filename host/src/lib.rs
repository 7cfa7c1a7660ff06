//! Post-training quantization of neural networks for microcontrollers.
//!
#![doc = include_str!("../README.md")]
//!
//! A model file is imported into a float [`graph`], quantized after training ([`ptq`], [`quantize`]) and compiled into a blob ([`compile`]) that `fewbit-runtime` executes;
//! the same runtime is the integer simulator here ([`measure`]).
//! [`pipeline`] runs all stages. The library prints nothing and has no command line: that is the crate `fewbit-cli`.

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

mod choice;
pub mod compile;
pub mod dataset;
pub mod default_model;
mod disjoint;
mod error;
pub mod executor;
pub mod graph;
pub mod import;
pub mod measure;
pub mod metrics;
pub mod output;
mod parallel;
pub mod pipeline;
pub mod progress;
pub mod ptq;
pub mod quantize;
pub mod random;
pub mod range;
pub mod recipe;
#[cfg(test)]
mod testing;

pub use error::{Error, Stage, text as error_text};
