//! The `fewbit` command.

use clap::Parser;
use fewbit_cli::{Cli, Environment, execute, exit_code, show_error, show_log, show_usage};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return ExitCode::from(show_usage(&message)),
    };
    // This thread is one of those that work: one that only waits would keep what it has freed from them. There is no other pool yet.
    let _ = rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .build_global();
    show_log();
    match execute(&cli.command, &Environment::new(cli.repository)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}
