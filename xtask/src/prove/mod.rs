//! `cargo xtask prove`: the evidence of every promise of SECURITY.md.
//!
//! The promises are one list, in `promises.rs`. Their evidence is built first, then run side by side; what fails is
//! shown whole.

mod promises;
mod table;

use std::{
    path::{Path, PathBuf},
    process::Command as Process,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use fewbit_cli::write_json;
use fewbit_device::setup;
use serde::Serialize;

use crate::{
    cargo::{LIMIT, own_program},
    pool::{self, Ended, Job, Lock},
    suites::{self, Program},
};
use promises::{Command, Figure, PROMISES, Promise};

pub(crate) use table::{bless, problems};

/// Cores beyond which nothing more is run side by side: evidence uses several itself.
const MOST_CORES: usize = 4;

/// Arguments of `cargo xtask prove`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only promises with this in their name, as `signed`.
    #[arg(long)]
    only: Option<String>,
    /// Write what came of each promise as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Result of a promise; the keys are an interface.
#[derive(Debug, Serialize)]
struct Proof {
    name: &'static str,
    promise: &'static str,
    evidence: &'static str,
    command: String,
    kept: bool,
    /// Figure of the evidence, or the reason why there is none.
    figure: String,
    seconds: f64,
    /// CPU seconds of all processes of the evidence, if the system counts them.
    cpu_seconds: Option<f64>,
}

/// Runs the evidence of all promises, or of some, and prints what came of each.
///
/// # Errors
///
/// If one is not kept, or its evidence cannot be run.
pub fn task(args: &Args) -> Result<()> {
    let chosen = |promise: &&Promise| {
        let only = args.only.as_ref();
        only.is_none_or(|part| promise.name.contains(part.as_str()))
    };
    let promises: Vec<&Promise> = PROMISES.iter().filter(chosen).collect();
    if promises.is_empty() {
        let names: Vec<&str> = PROMISES.iter().map(|promise| promise.name).collect();
        bail!(
            "no promise has `{}` in its name; there are {}",
            args.only.as_deref().unwrap_or_default(),
            names.join(", ")
        );
    }
    let start = Instant::now();
    let proofs = run(&promises)?;
    for proof in &proofs {
        let verdict = if proof.kept { "" } else { "NOT KEPT: " };
        say!("\n{}: {}", proof.name, proof.promise)?;
        say!("  evidence: {}", proof.evidence)?;
        say!("  shown by: {}", proof.command)?;
        say!("  {verdict}{}", proof.figure)?;
    }
    say!("")?;
    write_json(args.json.as_deref(), &proofs)?;
    let broken: Vec<&str> = proofs
        .iter()
        .filter(|proof| !proof.kept)
        .map(|proof| proof.name)
        .collect();
    let cpu: f64 = proofs.iter().filter_map(|proof| proof.cpu_seconds).sum();
    say!(
        "{} promises kept, {} not, {:.0} s, {cpu:.0} CPU s",
        proofs.len() - broken.len(),
        broken.len(),
        start.elapsed().as_secs_f64()
    )?;
    if !broken.is_empty() {
        bail!("not shown to be kept: {}", broken.join(", "));
    }
    Ok(())
}

fn run(promises: &[&Promise]) -> Result<Vec<Proof>> {
    setup::ensure()?;
    setup::ensure_emulators()?;
    let tests = |promise: &&Promise| matches!(promise.command, Command::Tests(..));
    // As `cargo xtask test` builds them, so that nothing is compiled twice.
    let tests = if promises.iter().any(tests) {
        suites::build_programs(false)?
    } else {
        Vec::new()
    };
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let program = own_program(folder.path())?;
    let mut jobs = Vec::new();
    for promise in promises {
        jobs.push(job(promise, &program, &tests)?);
    }
    let mut found: Vec<Proof> = Vec::new();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    pool::run(jobs, cores.min(MOST_CORES) + 1, LIMIT, |ended| {
        let promise = promises.iter().find(|promise| promise.name == ended.name);
        let proof = judge(promise.context("a job is a promise's")?, &ended)?;
        if !proof.kept {
            say!("== {}\n{}", proof.name, ended.output.trim_end())?;
        }
        note!(
            "{}: {}, {:.0} s",
            proof.name,
            proof.figure,
            ended.time.as_secs_f64()
        );
        found.push(proof);
        Ok(())
    })?;
    // As they are listed, whichever ended first.
    found.sort_by_key(|proof| PROMISES.iter().position(|other| other.name == proof.name));
    Ok(found)
}

/// Command of a promise's evidence: this program, or one of the test programs.
fn job(promise: &Promise, xtask: &Path, programs: &[Program]) -> Result<Job> {
    let mut job = match promise.command {
        Command::Xtask(arguments) => {
            let mut command = Process::new(xtask);
            command.args(arguments);
            Job {
                name: String::new(),
                command,
                seconds: 0,
                lock: match arguments {
                    ["ci", ..] => Lock::Boards,
                    _ => Lock::None,
                },
            }
        }
        Command::Tests(source, tests) => {
            let main = main_file(source);
            let program = programs.iter().find(|program| program.source == main);
            let program = program.with_context(|| format!("no test program is built of {main}"))?;
            let mut job = suites::job(program, suites::Cases::All);
            job.command.arg("--nocapture").args(tests);
            job
        }
    };
    job.name = promise.name.to_owned();
    job.seconds = promise.seconds;
    // What cannot be run is a failure and not passed over.
    job.command.env("CI", "1").env("RUST_BACKTRACE", "0");
    Ok(job)
}

/// The main file of the program that a file's tests are in.
fn main_file(source: &str) -> String {
    match source.split_once("/src/") {
        Some((package, _)) => format!("{package}/src/lib.rs"),
        None => source.to_owned(),
    }
}

/// Whether the tests in a file need the emulator.
fn needs_boards(source: &str) -> bool {
    suites::OF_BOARDS.contains(&source)
}

/// The arguments of cargo for the program that the tests of a file are in.
fn test_program(source: &str) -> Result<Vec<String>> {
    let packages = [
        ("boards/signed/", "fewbit-signed"),
        ("boards/slots/", "fewbit-slots"),
        // Folders within others come first.
        ("host/cli/", "fewbit-cli"),
        ("host/device/", "fewbit-device"),
        ("host/", "fewbit"),
        ("runtime/", "fewbit-runtime"),
        ("tests/", "fewbit-tests"),
    ];
    let mut found = packages
        .iter()
        .filter_map(|(folder, package)| Some((source.strip_prefix(folder)?, *package)));
    let (rest, package) = found
        .next()
        .with_context(|| format!("{source} is in no package that has tests of promises"))?;
    let mut arguments = vec!["test", "-p", package];
    if needs_boards(source) {
        arguments.extend(["--features", "device"]);
    }
    // A suite, or the library's own tests.
    match rest
        .strip_prefix("tests/")
        .and_then(|name| name.strip_suffix(".rs"))
    {
        Some(name) => arguments.extend(["--test", name]),
        None => arguments.push("--lib"),
    }
    Ok(arguments.into_iter().map(str::to_owned).collect())
}

/// The command as one types it.
fn shown(command: &Command) -> Result<String> {
    let quoted = |words: &[&str]| -> String {
        let words = words.iter().map(|word| {
            if word.contains(' ') {
                format!("\"{word}\"")
            } else {
                (*word).to_owned()
            }
        });
        words.collect::<Vec<String>>().join(" ")
    };
    Ok(match command {
        Command::Xtask(arguments) => format!("cargo xtask {}", quoted(arguments)),
        Command::Tests(source, tests) => {
            let program = test_program(source)?.join(" ");
            let tests = if tests.is_empty() {
                String::new()
            } else {
                format!(" -- {}", tests.join(" "))
            };
            format!("cargo {program}{tests}")
        }
    })
}

/// Figure in the output of a promise's evidence.
fn judge(promise: &Promise, ended: &Ended) -> Result<Proof> {
    let verdict = verdict(promise, ended);
    Ok(Proof {
        name: promise.name,
        promise: promise.promise,
        evidence: promise.evidence,
        command: shown(&promise.command)?,
        kept: verdict.is_ok(),
        figure: verdict.unwrap_or_else(|error| error),
        seconds: ended.time.as_secs_f64(),
        cpu_seconds: ended.cpu_seconds,
    })
}

/// The figure of evidence that has run well, or what is wrong.
fn verdict(promise: &Promise, ended: &Ended) -> Result<String, String> {
    match &ended.status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("failed ({status})")),
        Err(error) => return Err(fewbit_cli::error_text(error)),
    }
    let passed = suites::results(&ended.output, &ended.status).passed;
    if let Command::Tests(_, tests) = promise.command
        && passed < tests.len().max(1)
    {
        // A name that matches nothing is no failure to the harness.
        return Err(format!("{passed} tests ran"));
    }
    match promise.figure {
        Figure::Passed if passed == 0 => Err("no test ran".to_owned()),
        Figure::Passed => Ok(format!("{passed} tests passed")),
        Figure::Line(words) => {
            let mut lines = ended.output.lines().rev();
            let line = lines.find(|line| line.contains(words));
            let line = line.ok_or_else(|| format!("no line of its output has `{words}`"))?;
            // What the harness puts in front of a test's own words.
            Ok(line.trim_start_matches('.').trim().to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
