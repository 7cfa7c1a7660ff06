//! The project's own tasks, and the product's commands as tasks.
//!
//! Commands that a user types belong to `fewbit` (crate `fewbit-cli`); `cargo xtask quantize` and similar tasks call the same
//! functions with another [`environment`].

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

/// Prints a line on standard output, formatted as by `println`, and returns what kept it from being written; a reader that
/// closed the pipe is not an error.
macro_rules! say {
    ($($words:tt)*) => {
        fewbit_cli::show(&format!($($words)*))
    };
}

/// Prints a line on standard error, formatted as by `eprintln`, if it can be written.
macro_rules! note {
    ($($words:tt)*) => {
        fewbit_cli::note(&format!($($words)*))
    };
}

pub mod bench;
pub mod bounds;
mod cargo;
pub mod ci;
pub mod deny;
pub mod fuzz;
pub mod matrix;
mod miri;
pub mod mutants;
mod pool;
mod processors;
pub mod prove;
mod publish;
pub mod setup;
mod suites;
pub mod tidy;

use std::path::Path;
use std::sync::LazyLock;

use fewbit_cli::Environment;
use fewbit_device::repository::Repository;

/// The repository whose tasks these are: that of the package which cargo runs, otherwise the one around the current folder.
pub fn repository() -> &'static Repository {
    static FOUND: LazyLock<Repository> =
        LazyLock::new(|| Repository::of_cargo().unwrap_or_default());
    &FOUND
}

/// Its folder.
pub(crate) fn root() -> &'static Path {
    repository().root()
}

/// Environment of the product's commands when they are called as tasks: blobs go to `target/fewbit`.
pub fn environment() -> &'static Environment {
    static MADE: LazyLock<Environment> = LazyLock::new(|| Environment {
        program: "cargo xtask",
        repository: Some(root().to_owned()),
        blobs: Some(root().join("target").join("fewbit")),
    });
    &MADE
}
