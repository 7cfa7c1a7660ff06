//! `cargo xtask fuzz`: damaged input for everything that reads any.
//!
//! Builds the command of `fuzz/` and runs it. Its profile is the usual one of the workspace: optimized where it matters, with debug assertions and
//! overflow checks.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{ci::cargo, process};

/// Seconds of each target in CI, and in its long form.
const SHORT: u64 = 20;
const LONG: u64 = 60;

/// Time for the build and everything around the campaigns.
const MORE: u64 = 1500;

/// Targets of a run beyond which the time limit would be too short.
const MOST_TARGETS: u64 = 10;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The target; all of them, one after the other, if none is given.
    #[arg(long)]
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = LONG)]
    seconds: u64,
    /// What the mutations follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Run one file through the target, instead of mutations.
    #[arg(long, requires = "target")]
    replay: Option<PathBuf>,
    /// List the targets.
    #[arg(long)]
    list: bool,
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
    for (name, path) in [("--json", &args.json), ("--replay", &args.replay)] {
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
    let mut cargo = cargo();
    cargo
        .args(["run", "--quiet", "--locked", "--package", "fewbit-fuzz"])
        .args(["--bin", "fewbit-fuzz", "--"])
        .args(&words);
    let limit = args
        .seconds
        .saturating_mul(MOST_TARGETS)
        .saturating_add(MORE);
    process::run(&mut cargo, Duration::from_secs(limit))
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
        replay: None,
        list: false,
    })
}
