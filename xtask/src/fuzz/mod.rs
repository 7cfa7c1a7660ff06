//! `cargo xtask fuzz`: damaged input for everything that reads untrusted bytes.
//!
//! Builds the command of `fuzz/` and runs it. Its profile is the usual one of the workspace: optimized where it matters, with debug assertions and
//! overflow checks.

mod coverage;
mod program;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    cargo::{DEVICE_SUITES, LIMIT, cargo},
    root,
};
use fewbit_device::process;
use program::{PROGRAM, executable};

/// Seconds of each target in CI, and in its long form.
const SHORT: u64 = 60;
const LONG: u64 = 300;

/// Time for everything around the campaigns, such as making a failure small.
const MORE: u64 = 600;

/// Targets of a run beyond which the time limit would be too short.
const MOST_TARGETS: u64 = 10;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The target; all of them, one after the other, if none is given.
    #[arg(long)]
    target: Option<String>,
    /// Seconds per target.
    #[arg(long, default_value_t = SHORT)]
    seconds: u64,
    /// Seed of the mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the slowest input to this file.
    #[arg(long, requires = "target")]
    slowest: Option<PathBuf>,
    /// Run one file through the target, instead of mutations.
    #[arg(long, requires = "target")]
    replay: Option<PathBuf>,
    /// List the targets.
    #[arg(long)]
    list: bool,
    /// Count which lines of the readers the inputs come to, and print the table; builds once more, and needs rustup's `llvm-tools`.
    #[arg(long, conflicts_with_all = ["replay", "list"])]
    coverage: bool,
}

/// Runs the targets.
///
/// # Errors
///
/// If an input fails, which is written to `fuzz/crashes/`, or the command does not build.
pub fn task(args: &Args) -> Result<()> {
    let mut words: Vec<String> = vec![
        "--seconds".to_owned(),
        args.seconds.to_string(),
        "--seed".to_owned(),
        args.seed.to_string(),
    ];
    if let Some(target) = &args.target {
        words.extend(["--target".to_owned(), target.clone()]);
    }
    for (name, path) in [
        ("--json", &args.json),
        ("--slowest", &args.slowest),
        ("--replay", &args.replay),
    ] {
        if let Some(path) = path {
            // The command runs in the repository's root.
            let path = std::path::absolute(path)
                .with_context(|| format!("cannot find the folder of {}", path.display()))?;
            words.extend([name.to_owned(), path.display().to_string()]);
        }
    }
    if args.list {
        words.push("--list".to_owned());
    }
    let limit = args
        .seconds
        .saturating_mul(MOST_TARGETS)
        .saturating_add(MORE);
    let limit = Duration::from_secs(limit);
    let run = |mut command: Command, limit: Duration| {
        process::run(command.current_dir(root()).args(&words), limit)
    };
    if args.coverage {
        let counters = coverage::Counters::build()?;
        run(counters.command(), coverage::limit(limit))?;
        return counters.show();
    }
    run(Command::new(build()?), limit)
}

/// Builds the command as the workspace's tests are built, so that what both need is compiled once; returns its file.
fn build() -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo
        .args(["build", "--quiet", "--workspace", "--locked"])
        .args(["--bin", PROGRAM, "--features", DEVICE_SUITES])
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null());
    let messages = process::output(&mut cargo, LIMIT)?;
    executable(&messages).with_context(|| format!("cargo names no program {PROGRAM}"))
}

/// Every target for a short time, as CI runs them.
///
/// # Errors
///
/// As [`task`].
pub(crate) fn short() -> Result<()> {
    all_for(SHORT)
}

/// Every target for a minute.
///
/// # Errors
///
/// As [`task`].
pub(crate) fn long() -> Result<()> {
    all_for(LONG)
}

fn all_for(seconds: u64) -> Result<()> {
    task(&Args {
        target: None,
        seconds,
        seed: 1,
        json: None,
        slowest: None,
        replay: None,
        list: false,
        coverage: false,
    })
}
