//! The runtime's own tests in Miri, which stops at undefined behaviour.
//!
//! The runtime forbids itself unsafe code; what it uses does not: views of bytes as words, lists without an allocator. Miri sees each
//! access of these, its bounds, its alignment and whose it is. It comes with nightly toolchains only, which nothing else here
//! needs, so the check is skipped if there is none. Tests that load hundreds of blobs are marked as ignored there.

use std::{env, process::Command, time::Duration};

use anyhow::Result;

use fewbit_device::{process, toolchain::HOST};

use crate::root;

/// Miri runs programs of any target on any machine: one with a `usize` of 32 bits, as on the boards.
const TARGET_32_BITS: &str = "i686-unknown-linux-gnu";

/// Time for all tests on one target, some of it for building Miri's own standard library.
const LIMIT: Duration = Duration::from_secs(1800);

/// Command to install it.
const HOW: &str = "rustup toolchain install nightly --component miri --component rust-src";

/// Runs them, with a `usize` of this machine and with one of 32 bits as on the boards.
///
/// # Errors
///
/// If a test fails or Miri stops, or with `CI` set there is no Miri.
pub(crate) fn check() -> Result<()> {
    if let Err(error) = process::output(miri().arg("--version"), Duration::from_secs(60)) {
        let error = error.context(format!("there is no Miri; get it with: {HOW}"));
        // With `CI` set, what is missing is a failure.
        if env::var_os("CI").is_some() {
            return Err(error);
        }
        say!("left out: {}", fewbit_cli::error_text(&error))?;
        return Ok(());
    }
    for target in [HOST, TARGET_32_BITS] {
        let mut command = miri();
        command
            .args(["test", "--package", "fewbit-runtime", "--lib", "--locked"])
            .args(["--target", target, "--target-dir", "target/miri"]);
        process::run(&mut command, LIMIT)?;
    }
    Ok(())
}

/// `cargo miri` of the nightly toolchain, to which the caller adds a subcommand and its arguments.
fn miri() -> Command {
    let mut command = Command::new("rustup");
    process::clean_cargo_environment(&mut command);
    command
        .current_dir(root())
        .args(["run", "nightly", "cargo", "miri"]);
    command
}
