//! The command behind `cargo xtask fuzz`.
//!
//! Each target runs in a process of its own, so that one that is ended by the system, for its stack or its memory, is a failure like any other.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use fewbit_cli::{note, show};
use fewbit_fuzz::campaign::{self, Figures, NO_END, Options};
use fewbit_fuzz::minimize::minimize;
use fewbit_fuzz::{TARGETS, Target, crashes, report, target};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Bytes that a target's process may allocate.
#[cfg(unix)]
const MEMORY: u64 = 3 << 30;

/// Number of attempts to make an input that ends its process smaller.
const ATTEMPTS: usize = 150;

/// Feeds damaged input to everything that reads any.
#[derive(Parser, Debug)]
struct Args {
    /// The target; all of them, one after the other, if none is given.
    #[arg(long)]
    target: Option<String>,
    /// Seconds per target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Folder of inputs that fail.
    #[arg(long)]
    crashes: Option<PathBuf>,
    /// Write the slowest input to this file.
    #[arg(long, requires = "target")]
    slowest: Option<PathBuf>,
    /// Run one file through the target.
    #[arg(long, requires = "target")]
    replay: Option<PathBuf>,
    /// List the targets.
    #[arg(long)]
    list: bool,
    /// Run the target in this process, and write each input to this file first: how the others are run.
    #[arg(long, hide = true, requires = "target")]
    worker: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing failed.
fn run(args: &Args) -> Result<bool> {
    let targets: Vec<Target> = match &args.target {
        None => TARGETS.to_vec(),
        Some(name) => vec![target(name).with_context(|| {
            let names = TARGETS.map(|target| target.name);
            format!(
                "no target is called `{name}`; there are {}",
                names.join(", ")
            )
        })?],
    };
    if args.list {
        for target in targets {
            show(&format!("{:<8} {}", target.name, target.about))?;
        }
        return Ok(true);
    }
    if let Some(file) = &args.replay {
        let input = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        limit_memory()?;
        let start = Instant::now();
        return match campaign::attempt(&targets[0], &input) {
            Ok(outcome) => {
                let seconds = start.elapsed().as_secs_f64();
                show(&format!("{outcome:?} after {seconds:.3} s")).map(|()| true)
            }
            Err(failure) => {
                note(&failure);
                Ok(false)
            }
        };
    }
    if let Some(current) = &args.worker {
        return worker(args, &targets[0], current);
    }
    let mut all = Vec::new();
    for target in &targets {
        all.push(supervise(args, target)?);
    }
    show(report::table(&all).trim_end())?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&all).context("figures as JSON")?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let failed: Vec<_> = all.iter().flat_map(|figures| &figures.crashes).collect();
    if !failed.is_empty() {
        bail!(
            "{} inputs failed; they were written to {failed:?}",
            failed.len()
        );
    }
    Ok(true)
}

fn folder(args: &Args) -> PathBuf {
    args.crashes.clone().unwrap_or_else(crashes::folder)
}

/// Runs a campaign here, and prints its figures as JSON.
fn worker(args: &Args, target: &Target, current: &std::path::Path) -> Result<bool> {
    limit_memory()?;
    let options = Options {
        time: Duration::from_secs(args.seconds),
        seed: args.seed,
        crashes: folder(args),
        current: Some(current.to_owned()),
        slowest: args.slowest.clone(),
    };
    let figures = campaign::run(target, &options, |path, failure| {
        note(&format!("{}: {failure}\n  {}", target.name, path.display()));
    })?;
    show(&serde_json::to_string(&figures).context("figures as JSON")?)?;
    Ok(true)
}

#[cfg(unix)]
fn limit_memory() -> Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY).context("cannot limit the memory")
}

#[cfg(not(unix))]
fn limit_memory() -> Result<()> {
    Ok(())
}

/// This program again, for one target.
fn again(target: &Target) -> Result<Command> {
    let own = std::env::current_exe().context("cannot find this program's file")?;
    let mut command = Command::new(own);
    command.args(["--target", target.name]);
    Ok(command)
}

/// Runs a campaign in another process, and takes its place where the system ends it.
fn supervise(args: &Args, target: &Target) -> Result<Figures> {
    note(&format!(
        "{}: {} s, seed {}",
        target.name, args.seconds, args.seed
    ));
    let scratch = tempfile::tempdir().context("cannot create a temporary folder")?;
    let current = scratch.path().join("current");
    let mut command = again(target)?;
    if let Some(path) = &args.slowest {
        command.arg("--slowest").arg(path);
    }
    let output = command
        .args(["--seconds", &args.seconds.to_string()])
        .args(["--seed", &args.seed.to_string()])
        .arg("--crashes")
        .arg(folder(args))
        .arg("--worker")
        .arg(&current)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the target's process")?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).context("the target's figures");
    }
    if output.status.code() == Some(1) {
        bail!("the campaign of {} could not go on", target.name);
    }
    let file = fs::read(&current).context("the target ended before its first input")?;
    let input = campaign::current(&file).context("the target ended before its first input")?;
    let no_end = output.status.code() == Some(NO_END.into());
    let reason = if no_end {
        format!("no end after {} s", campaign::LIMIT.as_secs())
    } else {
        format!("the process ended ({})", output.status)
    };
    let path = crashes::save(&folder(args), target, input)?;
    note(&format!("{}: {reason}\n  {}", target.name, path.display()));
    let mut paths = vec![path];
    if !no_end && ended(target, input, scratch.path())? {
        let mut problem = None;
        let smaller = minimize(input, ATTEMPTS, |bytes| {
            let mut bytes = bytes.to_vec();
            (target.mend)(&mut bytes);
            ended(target, &bytes, scratch.path()).unwrap_or_else(|error| {
                problem = Some(error);
                false
            })
        });
        if let Some(problem) = problem {
            return Err(problem);
        }
        let mut smaller = smaller;
        (target.mend)(&mut smaller);
        fs::remove_file(&paths[0]).context("cannot replace the larger input")?;
        paths = vec![crashes::save(&folder(args), target, &smaller)?];
        note(&format!("  smaller: {}", paths[0].display()));
    }
    Ok(Figures {
        target: target.name.to_owned(),
        crashes: paths,
        ..Figures::default()
    })
}

/// Whether the system ends a process that reads this input.
fn ended(target: &Target, input: &[u8], scratch: &std::path::Path) -> Result<bool> {
    let file = scratch.join("input");
    fs::write(&file, input).context("cannot write an input")?;
    let mut command = again(target)?;
    command.arg("--replay").arg(&file);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("cannot replay an input")?;
    // A failure that is caught ends with 1.
    Ok(!matches!(status.code(), Some(0 | 1)))
}
