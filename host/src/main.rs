//! The `fewbit` command.

use clap::Parser;
use fewbit::cli::{Cli, execute, exit_code};
use std::process::ExitCode;

fn main() -> ExitCode {
    match execute(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}
