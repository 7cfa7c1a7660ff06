//! The `fewbit` command: argument types, and one function per command.
//!
#![doc = include_str!("../README.md")]
//!
//! The doc comments of the argument types are the help texts. The same commands serve the `fewbit` binary and `cargo xtask`, which
//! differ in their [`Environment`].

#![forbid(unsafe_code)]
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

/// Prints a line on standard output, formatted as by `println`, and returns the error of writing; a reader that
/// closed the pipe is not an error.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::show(&format!($($words)*))
    };
}

/// Prints a line on standard error, formatted as by `eprintln`, if it can be written.
macro_rules! note {
    ($($words:tt)*) => {
        $crate::note(&format!($($words)*))
    };
}

mod bar;
pub mod boards;
mod choice;
mod command;
pub mod emulate;
mod environment;
mod eval;
pub mod flash;
mod inspect;
mod json;
mod log_lines;
pub mod mlperf;
pub mod new;
mod packing;
mod places;
mod quantize;
mod run;
mod show;
pub mod size;
mod source;
mod sources;
mod tables;
pub mod update;
pub mod update_key;
pub mod verify;

pub use bar::Bar;
pub use choice::choice;
pub use command::{Cli, Command, execute, exit_code};
pub use environment::Environment;
pub use eval::{EvalArgs, eval};
pub use inspect::{InspectArgs, inspect};
pub use json::write_json;
pub use log_lines::show_log;
pub use quantize::{Outcome, QuantizeArgs, quantize};
pub use run::{RunArgs, run};
pub use show::{error_text, note, show, show_error, show_usage};
pub use source::{AnyModel, ModelSource};
pub use tables::{decibels, number, percent, summary, table};
