//! Tests that reach a mutant, and their results.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::points::Mutant;
use fewbit_device::process;

/// Address space of a test, in KiB: a mutant may request any amount.
const MEMORY_KIB: u32 = 6 << 20;

/// Tests that take long and have no part in it: they run kernels over the longest lines that fit an arena.
const LEFT_OUT: &str = "::extremes::";

/// A test that takes longer alone runs alone, after the others.
const SHORT: Duration = Duration::from_millis(150);

/// Result of a mutant.
#[derive(Debug)]
pub(super) enum Fate {
    /// These tests, or one of them, failed.
    Caught { by: String },
    /// These tests did not end.
    Timeout { by: String },
    /// None of so many tests that come to its place failed.
    Alive { tests: usize },
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Caught { by } => write!(f, "caught by {by}"),
            Fate::Timeout { by } => write!(f, "no end of {by}"),
            Fate::Alive { tests: 0 } => f.write_str("alive, no test comes to it"),
            Fate::Alive { tests } => write!(f, "alive after {tests} tests"),
        }
    }
}

/// A test, what it takes and where it comes.
struct Test {
    name: String,
    time: Duration,
    reached: BTreeSet<u32>,
}

/// The tests of a program.
pub(super) struct Suite {
    program: PathBuf,
    tests: Vec<Test>,
}

impl Suite {
    /// Runs each test alone without any mutant on.
    pub(super) fn record(program: &Path) -> Result<Self> {
        let mut list = Command::new(program);
        list.arg("--list");
        let list = process::output(&mut list, Duration::from_secs(60))?;
        let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
        let names = names.filter(|name| !name.contains(LEFT_OUT));
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        let path = folder.path().join("reached");
        let mut tests = Vec::new();
        for name in names {
            fs::write(&path, "").context("cannot write a temporary file")?;
            let start = Instant::now();
            let mut command = command(program, &[name]);
            command.env("MUTANTS_REACHED", &path);
            let time = Duration::from_secs(600);
            process::run(&mut command, time)
                .with_context(|| format!("{name} fails without a mutant"))?;
            let text = fs::read_to_string(&path).context("cannot read a temporary file")?;
            tests.push(Test {
                name: name.to_owned(),
                time: start.elapsed(),
                reached: text.lines().filter_map(|line| line.parse().ok()).collect(),
            });
        }
        if tests.is_empty() {
            bail!("{} has no tests", program.display());
        }
        tests.sort_by_key(|test| test.time);
        Ok(Suite {
            program: program.to_owned(),
            tests,
        })
    }

    /// Turns on each mutant and runs the tests that come to it, until one fails.
    pub(super) fn try_all(&self, mutants: Vec<Mutant>, jobs: usize) -> Result<Vec<(Mutant, Fate)>> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut fates = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(mutant) = mutants.get(at) else {
                    return Ok(fates);
                };
                if at.is_multiple_of(200) {
                    note!("mutants: {at} of {}", mutants.len());
                }
                let fate = self.try_one(mutant)?;
                if matches!(fate, Fate::Alive { .. }) {
                    note!("mutants: {fate}: {}", mutant.name);
                }
                fates.push((at, fate));
            }
        };
        let fates = thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
            let mut fates = Vec::new();
            for worker in workers {
                let found: Result<Vec<(usize, Fate)>> = match worker.join() {
                    Ok(found) => found,
                    Err(_) => bail!("a thread ended early"),
                };
                fates.extend(found?);
            }
            Ok(fates)
        });
        let mut fates = fates?;
        fates.sort_by_key(|(at, _)| *at);
        let fates = fates.into_iter().map(|(_, fate)| fate);
        Ok(mutants.into_iter().zip(fates).collect())
    }

    fn try_one(&self, mutant: &Mutant) -> Result<Fate> {
        let tests: Vec<&Test> = self.coming(mutant).collect();
        let short = tests.partition_point(|test| test.time < SHORT);
        let (together, alone) = tests.split_at(short);
        let groups = (!together.is_empty()).then_some(together);
        for group in groups.into_iter().chain(alone.chunks(1)) {
            if let Some(fate) = self.meet(mutant, group)? {
                return Ok(fate);
            }
        }
        Ok(Fate::Alive { tests: tests.len() })
    }

    /// Whether one of these tests fails with a mutant.
    pub(super) fn notices(&self, mutant: &Mutant, names: &[String]) -> Result<bool> {
        let tests: Vec<&Test> = self
            .coming(mutant)
            .filter(|test| names.contains(&test.name))
            .collect();
        Ok(!tests.is_empty() && self.meet(mutant, &tests)?.is_some())
    }

    /// The tests that come to a mutant's place, the shortest first.
    fn coming(&self, mutant: &Mutant) -> impl Iterator<Item = &Test> {
        let point = mutant.point;
        let tests = self.tests.iter();
        tests.filter(move |test| test.reached.contains(&point))
    }

    /// Runs tests with a mutant; `None` if none fails.
    fn meet(&self, mutant: &Mutant, tests: &[&Test]) -> Result<Option<Fate>> {
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        let by = match names.as_slice() {
            [name] => (*name).to_owned(),
            [name, ..] => format!("{name} or {} others", names.len() - 1),
            [] => return Ok(None),
        };
        let time: Duration = tests.iter().map(|test| test.time).sum();
        let mut command = command(&self.program, &names);
        command.env("MUTANT", mutant.number.to_string());
        let mut child = command.spawn().context("cannot start a test")?;
        Ok(
            match process::wait(&mut child, 10 * time + Duration::from_secs(5)) {
                Ok(status) if status.success() => None,
                Ok(_) => Some(Fate::Caught { by }),
                Err(_) => Some(Fate::Timeout { by }),
            },
        )
    }
}

/// Runs tests of a program one after the other, in little memory and without a word.
fn command(program: &Path, names: &[&str]) -> Command {
    let mut command = if cfg!(unix) {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -v {MEMORY_KIB}; exec \"$@\"");
        shell.args(["-c", &limited, "sh"]).arg(program);
        shell
    } else {
        Command::new(program)
    };
    command
        .args(["--exact", "--quiet", "--test-threads", "1"])
        .args(names)
        .env_remove("MUTANT")
        .env_remove("MUTANTS_REACHED")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
