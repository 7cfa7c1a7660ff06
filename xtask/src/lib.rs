//! The project's tasks as functions, for the command line and the suites.
//!
//! [`device::run`] is the entry for everything that compares a host with a board: it builds the firmware around a
//! blob, runs it in the emulator and returns what the board reported.

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

use std::path::PathBuf;

/// Prints a line on standard output, formatted as by `println`, and returns what kept it from being written; a reader that
/// went away is no error.
macro_rules! say {
    ($($words:tt)*) => {
        fewbit::cli::show(&format!($($words)*))
    };
}

/// Prints a line on standard error, formatted as by `eprintln`, if it can be written.
macro_rules! note {
    ($($words:tt)*) => {
        fewbit::cli::note(&format!($($words)*))
    };
}

pub mod bench;
pub mod board;
pub mod boards;
pub mod bounds;
pub mod ci;
pub mod cpu_wrapper;
pub mod deny;
pub mod device;
pub mod elf;
pub mod emulate;
pub mod firmware;
pub mod flash;
pub mod fuzz;
mod install;
pub mod link;
mod miri;
pub mod mlperf;
pub mod models;
pub mod mutants;
pub mod networks;
pub mod new;
mod pool;
mod probe;
mod process;
mod processors;
pub mod prove;
pub mod qemu;
pub mod quantize;
pub mod random;
mod report;
pub mod sample;
pub mod setup;
pub mod size;
mod suites;
pub mod tidy;
pub mod toolchain;
pub mod update;
pub mod update_key;
pub mod verify;

/// The root of the repository, wherever the task was called from.
pub fn repository() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// Where the tasks keep what they build for devices: `target/device` of the repository, whatever the caller's target
/// directory is, so that all callers share one cache.
pub fn device_dir() -> PathBuf {
    repository().join("target").join("device")
}
