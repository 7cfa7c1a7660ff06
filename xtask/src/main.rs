//! `cargo xtask`: the project's tasks.
//!
//! Dispatch only; each task is a file of the library half of this crate, which the test suites call too.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fewbit_cli::{Command, execute, exit_code, show_error, show_log, show_usage};
use fewbit_cli::{
    EvalArgs, InspectArgs, QuantizeArgs, RunArgs, emulate, flash, mlperf, new, size, update,
    update_key, verify,
};
use xtask::{bench, bounds, ci, deny, environment, fuzz, matrix, mutants, prove, setup, tidy};

/// Tasks of the fewbit project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what device builds and the emulated boards need.
    Setup,
    /// Quantize a model into a blob, and show the loss of accuracy; without arguments, the built-in digits network.
    Quantize(Box<QuantizeArgs>),
    /// Measure the accuracy of a model or a blob on data.
    Eval(EvalArgs),
    /// Run a model or a blob over inputs and write its outputs.
    Run(RunArgs),
    /// Show the contents of a model or a blob.
    Inspect(InspectArgs),
    /// Create a firmware project with a model, for a board.
    New(new::Args),
    /// Measure accuracy and speed.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// List the boards, and the reasons why blobs do not run on them.
    Boards(matrix::Args),
    /// Prove of firmware that it cannot panic or recurse, and bound its stack.
    Bounds(bounds::Args),
    /// Write firmware with a blob to a real board.
    Flash(flash::Args),
    /// Replace the model in the slots of a board whose firmware runs.
    Update(update::Args),
    /// Make a key for signed updates; existing files are never overwritten.
    UpdateKey(update_key::Args),
    /// Run a blob on a board and on the host, and compare every output byte.
    Verify(verify::Args),
    /// Send a board the commands of MLPerf Tiny's runner, and compare its results with the host's.
    Mlperf(mlperf::Args),
    /// Show the flash and RAM that a model takes on a board, and compare with another revision.
    Size(size::Args),
    /// Run a blob on an emulated board with seeded random inputs; print outputs and cost.
    Emulate(emulate::Args),
    /// Change the loader in every small way, and report the changes that no test notices.
    Mutants(mutants::Args),
    /// Pass damaged input to everything that reads untrusted bytes, and check the required properties.
    Fuzz(fuzz::Args),
    /// Run the evidence of each promise of SECURITY.md.
    Prove(prove::Args),
    /// Install what is needed and run all tests, those on emulated boards included.
    Test(ci::TestArgs),
    /// Run every check that a change must pass.
    Ci(ci::CiArgs),
    /// Check licences, sources and versions of all dependencies; works offline.
    Deny,
    /// Check conventions: module docs, white space, links between pages, indexes, the format's hash.
    Tidy(tidy::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return ExitCode::from(show_usage(&message)),
    };
    show_log();
    let product = |command: Command| execute(&command, environment());
    let result = match cli.task {
        Task::Setup => setup::task(),
        Task::Quantize(args) => product(Command::Quantize(args)),
        Task::Eval(args) => product(Command::Eval(args)),
        Task::Run(args) => product(Command::Run(args)),
        Task::Inspect(args) => product(Command::Inspect(args)),
        Task::New(args) => product(Command::New(args)),
        Task::Flash(args) => product(Command::Flash(args)),
        Task::Update(args) => product(Command::Update(args)),
        Task::UpdateKey(args) => product(Command::UpdateKey(args)),
        Task::Verify(args) => product(Command::Verify(args)),
        Task::Mlperf(args) => product(Command::Mlperf(args)),
        Task::Size(args) => product(Command::Size(args)),
        Task::Emulate(args) => product(Command::Emulate(args)),
        Task::Boards(args) => matrix::task(&args),
        Task::Bench(bench) => bench::task(&bench),
        Task::Bounds(args) => bounds::task(&args),
        Task::Mutants(args) => mutants::task(&args),
        Task::Fuzz(args) => fuzz::task(&args),
        Task::Prove(args) => prove::task(&args),
        Task::Test(args) => ci::test_task(&args),
        Task::Ci(args) => ci::task(&args),
        Task::Deny => deny::task(),
        Task::Tidy(args) => tidy::task(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn no_argument_of_any_task_contradicts_another() {
        Cli::command().debug_assert();
    }
}
