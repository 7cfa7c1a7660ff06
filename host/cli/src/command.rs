//! All commands: their arguments and their functions.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    Environment, EvalArgs, InspectArgs, QuantizeArgs, RunArgs, boards, emulate, eval, flash,
    inspect, mlperf, new, quantize, run, size, update, update_key, verify,
};

/// Quantize a trained network after training, run it with integers only as a microcontroller does, and put it on a board.
#[derive(Debug, Parser)]
#[command(name = "fewbit", version, about, long_about = None)]
pub struct Cli {
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
    /// Repository of fewbit from which firmware is built; default: $FEWBIT_REPOSITORY, otherwise the one around the current folder, otherwise the sources in this program
    #[arg(long, global = true, value_name = "DIR")]
    pub repository: Option<PathBuf>,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Quantize a model into a blob, and show the loss of accuracy; without a model, the built-in digits network.
    Quantize(Box<QuantizeArgs>),
    /// Measure the accuracy of a model or a blob on data.
    Eval(EvalArgs),
    /// Run a model or a blob over inputs and write its outputs.
    Run(RunArgs),
    /// Show the contents of a model or a blob.
    Inspect(InspectArgs),
    /// Run a blob on a board and on the host, and compare every output byte.
    Verify(verify::Args),
    /// Create a firmware project with a model, for a board.
    New(new::Args),
    /// List the boards, and the reasons why blobs do not run on them.
    Boards(boards::Args),
    /// Show the flash and RAM that a model takes on a board, and compare with another revision.
    Size(size::Args),
    /// Write firmware with a blob to a real board.
    Flash(flash::Args),
    /// Replace the model in the slots of a board whose firmware runs.
    Update(update::Args),
    /// Make a key for signed updates; existing files are never overwritten.
    UpdateKey(update_key::Args),
    /// Run a blob on an emulated board with seeded random inputs; print outputs and cost.
    Emulate(emulate::Args),
    /// Send a board the commands of MLPerf Tiny's runner, and compare its results with the host's.
    Mlperf(mlperf::Args),
}

/// Executes a command.
///
/// # Errors
/// Returns the command's error, which names the file and a way out.
pub fn execute(command: &Command, environment: &Environment) -> anyhow::Result<()> {
    match command {
        Command::Quantize(args) => quantize(args, environment).map(|_| ()),
        Command::Eval(args) => eval(args),
        Command::Run(args) => run(args),
        Command::Inspect(args) => inspect(args),
        Command::Verify(args) => verify::task(args, environment),
        Command::New(args) => new::task(args, environment),
        Command::Boards(args) => boards::task(args, environment),
        Command::Size(args) => size::task(args, environment),
        Command::Flash(args) => flash::task(args, environment),
        Command::Update(args) => update::task(args, environment),
        Command::UpdateKey(args) => update_key::task(args, environment),
        Command::Emulate(args) => emulate::task(args, environment),
        Command::Mlperf(args) => mlperf::task(args, environment),
    }
}

/// Exit code for an error: 3 for unsupported operators, 4 for outputs that differ between host and board, 1 for all other
/// errors.
///
/// 0 is success, 2 a wrong command line.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<verify::Mismatch>().is_some() {
        return verify::MISMATCH_CODE;
    }
    match error.downcast_ref::<fewbit::import::ImportError>() {
        Some(error) if error.is_unsupported() => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn no_argument_of_any_command_contradicts_another() {
        Cli::command().debug_assert();
    }
}
