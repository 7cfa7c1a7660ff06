//! The `fewbit` command.

use clap::Parser;
use fewbit::cli::{Cli, execute, exit_code, show_error};
use std::io::ErrorKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return usage(&message),
    };
    match execute(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Prints help, or what is wrong with the command line.
fn usage(message: &clap::Error) -> ExitCode {
    match (message.print(), message.exit_code()) {
        (Err(error), 0) if error.kind() != ErrorKind::BrokenPipe => {
            show_error(&anyhow::Error::new(error).context("cannot write to standard output"));
            ExitCode::FAILURE
        }
        (_, 0) => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}
