//! The command line: argument types and what each command does.
//!
//! The doc comments of the argument types are the help texts. The same commands serve the `fewbit` binary and `cargo xtask`.

mod eval;
mod inspect;
mod places;
mod quantize;
mod run;
mod show;
mod source;

pub use eval::{EvalArgs, eval};
pub use inspect::{InspectArgs, inspect};
pub use quantize::{Outcome, QuantizeArgs, quantize};
pub use run::{RunArgs, run};
pub use show::{error_text, note, show, show_error, show_usage};
pub use source::{AnyModel, ModelSource};

use crate::output::Outputs;
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::path::Path;

/// Quantize a trained network after training, and run it with integers as a microcontroller would.
#[derive(Debug, Parser)]
#[command(name = "fewbit", version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Quantize a model into a blob, and say what it cost.
    Quantize(Box<QuantizeArgs>),
    /// Measure the accuracy of a model or a blob on data.
    Eval(EvalArgs),
    /// Run a model or a blob over inputs and write its outputs.
    Run(RunArgs),
    /// Show what is in a model or a blob.
    Inspect(InspectArgs),
}

/// Executes a command.
///
/// # Errors
/// Whatever went wrong, with the file and the way out.
pub fn execute(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Quantize(args) => quantize(args).map(|_| ()),
        Command::Eval(args) => eval(args),
        Command::Run(args) => run(args),
        Command::Inspect(args) => inspect(args),
    }
}

/// Exit code for an error: 3 for operators that are not supported, 1 for everything else.
///
/// 0 is success, 2 a wrong command line; `cargo xtask verify` adds 4 for outputs that differ.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<crate::import::ImportError>() {
        Some(error) if error.is_unsupported() => 3,
        _ => 1,
    }
}

/// Writes a report as JSON, if a file was asked for.
///
/// # Errors
/// A file that cannot be written.
pub fn write_json(path: Option<&Path>, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut outputs = Outputs::default();
    add_json(&mut outputs, path, report)?;
    outputs.commit().map_err(Into::into)
}

/// As [`write_json`], as one of several outputs that appear together.
///
/// # Errors
/// A file that cannot be written.
fn add_json(
    outputs: &mut Outputs,
    path: Option<&Path>,
    report: &impl serde::Serialize,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut text =
        serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    text.push('\n');
    outputs.add(path, text.as_bytes()).map_err(Into::into)
}
