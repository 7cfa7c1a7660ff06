//! Test programs of the workspace, and their output.
//!
//! cargo builds them and would run one after the other; [`crate::pool`] runs several at a time.

use std::{
    collections::BTreeMap,
    env,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{
    cargo::{DEVICE_SUITES, LIMIT, cargo},
    pool::{Job, Lock},
    root,
};
use fewbit_device::process;
use fewbit_tests::sampled;

/// CPU seconds of those that take long, by their main file, so that they start first; a wrong figure costs only time.
const SECONDS: [(&str, u32); 23] = [
    ("tests/tests/emulated.rs", 360),
    ("tests/tests/random_on_boards.rs", 250),
    ("tests/tests/serial.rs", 330),
    ("tests/tests/device.rs", 170),
    ("tests/tests/new_project.rs", 160),
    ("tests/tests/packing.rs", 60),
    ("tests/tests/accuracy.rs", 120),
    ("tests/tests/rtt.rs", 60),
    ("tests/tests/size.rs", 45),
    ("tests/tests/edges_on_boards.rs", 40),
    ("tests/tests/examples.rs", 40),
    ("tests/tests/updates.rs", 60),
    ("host/cli/tests/cli.rs", 60),
    ("host/cli/tests/hostile.rs", 60),
    ("tests/tests/kernels.rs", 50),
    ("tests/tests/constant_channels.rs", 50),
    ("tests/tests/slots.rs", 30),
    ("host/src/lib.rs", 30),
    ("tests/tests/mlperf.rs", 22),
    ("tests/tests/narrow_words.rs", 12),
    ("tests/tests/edges.rs", 6),
    ("fuzz/tests/corpus.rs", 15),
    ("fuzz/tests/campaign.rs", 10),
];

/// Those that build firmware.
pub(crate) const OF_BOARDS: [&str; 12] = [
    "tests/tests/device.rs",
    "tests/tests/edges_on_boards.rs",
    "tests/tests/emulated.rs",
    "tests/tests/examples.rs",
    "tests/tests/mlperf.rs",
    "tests/tests/packing.rs",
    "tests/tests/random_on_boards.rs",
    "tests/tests/rtt.rs",
    "tests/tests/serial.rs",
    "tests/tests/size.rs",
    "tests/tests/slots.rs",
    "tests/tests/updates.rs",
];

/// The suite of which few cases are run beside all. It needs no board and takes four CPU seconds; the function that
/// chooses is the same everywhere.
const SAMPLE: &str = "tests/tests/kernels.rs";

/// Cases to run of the suites that use [`sampled::sampled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cases {
    /// Few of them.
    Few,
    /// All of them.
    All,
    /// All of them, and few of one suite's, so that the way of a sample is gone too.
    AllAndOneSample,
}

/// The name of the examples in documentation.
const EXAMPLES: &str = "examples in the documentation";

/// Cargo's message about a built artefact, as far as it is needed here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its main file, from the repository's root.
    pub source: String,
    manifest: PathBuf,
    executable: PathBuf,
}

/// Builds all test programs, and the commands that some of them start.
///
/// # Errors
///
/// If they do not compile.
pub(crate) fn build(host_only: bool, cases: Cases) -> Result<Vec<Job>> {
    let programs = build_programs(host_only)?;
    let mut jobs: Vec<Job> = programs.iter().map(|program| job(program, cases)).collect();
    if cases == Cases::AllAndOneSample {
        let sample = programs.iter().find(|program| program.source == SAMPLE);
        let sample = sample.with_context(|| format!("there is no {SAMPLE}"))?;
        let mut sample = job(sample, Cases::Few);
        sample.name += ", a sample of it";
        jobs.push(sample);
    }
    let mut examples = test_command(host_only);
    examples.args(["--doc", "--no-fail-fast"]);
    jobs.push(Job {
        name: EXAMPLES.to_owned(),
        command: examples,
        seconds: 10,
        lock: Lock::Host,
    });
    Ok(jobs)
}

/// Builds all test programs.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn build_programs(host_only: bool) -> Result<Vec<Program>> {
    let mut cargo = test_command(host_only);
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let shown = process::shown(&cargo);
    note!("== {shown}");
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut messages = String::new();
    let mut output = child.stdout.take().context("cargo's output is not piped")?;
    // Ends when cargo does.
    output
        .read_to_string(&mut messages)
        .context("cargo's messages are not text")?;
    let status = process::wait(&mut child, LIMIT).context("cargo")?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    let programs = programs(&messages, root())?;
    if programs.is_empty() {
        bail!("`{shown}` names no test program");
    }
    Ok(programs)
}

fn test_command(host_only: bool) -> Command {
    let mut cargo = cargo();
    cargo.args(["test", "--workspace", "--locked"]);
    if !host_only {
        cargo.args(["--features", DEVICE_SUITES]);
    }
    cargo
}

/// The test programs that cargo's messages name.
fn programs(messages: &str, root: &Path) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("cargo's message {line}"))?;
        if message.reason != "compiler-artifact" || !message.profile.is_some_and(|it| it.test) {
            continue;
        }
        let (Some(target), Some(manifest), Some(executable)) =
            (message.target, message.manifest_path, message.executable)
        else {
            continue;
        };
        let source = target.src_path;
        let source = source.strip_prefix(root).unwrap_or(&source);
        found.push(Program {
            source: source.display().to_string().replace('\\', "/"),
            manifest,
            executable,
        });
    }
    Ok(found)
}

/// Starts the program as cargo would: in its package's folder, with the variables by which it finds that.
pub(crate) fn job(program: &Program, cases: Cases) -> Job {
    let folder = program.manifest.parent().unwrap_or(Path::new("."));
    let mut command = Command::new(&program.executable);
    command
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder)
        .env("CARGO_MANIFEST_PATH", &program.manifest)
        .env(
            sampled::VARIABLE,
            if cases == Cases::Few { "1" } else { "0" },
        );
    // Of the package of this task.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_"))
        {
            command.env_remove(name);
        }
    }
    let seconds: BTreeMap<&str, u32> = SECONDS.into();
    let source = &*program.source;
    Job {
        name: source.to_owned(),
        command,
        seconds: seconds.get(source).copied().unwrap_or(0),
        lock: if OF_BOARDS.contains(&source) {
            Lock::Boards
        } else if source == "tests/tests/new_project.rs" {
            Lock::Host
        } else {
            Lock::None
        },
    }
}

/// Result in a test program's output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Results {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed, or 1 for a program that failed in another way.
    pub failed: usize,
    /// Their names, or what else went wrong.
    pub failures: Vec<String>,
}

/// Reads the output of a test program that ended in this way.
pub(crate) fn results(output: &str, status: &Result<ExitStatus>) -> Results {
    let (mut results, complete) = read(output);
    let reason = match status {
        Err(error) => fewbit_cli::error_text(error),
        Ok(status) if !status.success() && results.failed == 0 => status.to_string(),
        Ok(_) if !complete => "ended without a result".to_owned(),
        Ok(_) => return results,
    };
    results.failed += 1;
    results.failures.push(reason);
    results
}

/// Adds up the results in the output of one or more harnesses; false if one began and gave none.
fn read(output: &str) -> (Results, bool) {
    let mut results = Results::default();
    let (mut begun, mut ended) = (0, 0);
    // The last list before a result is that of names.
    let mut names: Vec<String> = Vec::new();
    for line in output.lines() {
        if line == "failures:" {
            names.clear();
        } else if let Some(name) = line.strip_prefix("    ") {
            names.push(name.to_owned());
        } else if let Some((passed, failed)) = test_result(line) {
            ended += 1;
            results.passed += passed;
            results.failed += failed;
            let unnamed = names.len().saturating_sub(failed);
            results.failures.extend(names.drain(..).skip(unnamed));
            names.clear();
        } else if is_begin(line) {
            begun += 1;
        }
    }
    (results, ended > 0 && ended >= begun)
}

/// `running 3 tests`, with which a harness begins.
fn is_begin(line: &str) -> bool {
    let count = line.strip_prefix("running ").and_then(|line| {
        line.strip_suffix(" tests")
            .or_else(|| line.strip_suffix(" test"))
    });
    count.is_some_and(|count| count.parse::<usize>().is_ok())
}

/// Passed and failed of `test result: ok. 3 passed; 0 failed; ...`.
fn test_result(line: &str) -> Option<(usize, usize)> {
    let (_, figures) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let figure = |kind: &str| {
        let part = figures
            .split("; ")
            .find_map(|part| part.strip_suffix(kind))?;
        part.trim().parse().ok()
    };
    Some((figure("passed")?, figure("failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
    const FAILED: &str = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";

    /// Exit status of `sh` for this code.
    #[cfg(unix)]
    fn ended(code: i32) -> Result<ExitStatus> {
        use std::os::unix::process::ExitStatusExt as _;
        Ok(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn results_of_a_harness_are_read() {
        assert_eq!(test_result(OK), Some((12, 0)));
        assert_eq!(test_result(FAILED), Some((3, 2)));
        assert_eq!(test_result("test device::tests::a_job ... ok"), None);
    }

    #[test]
    fn tests_that_failed_are_named() {
        let output = format!(
            "\nrunning 5 tests\ntest a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\n    indented\nfailures:\n    not a name\n\n\
             failures:\n    a::b\n    c - should panic\n\n{FAILED}\n\nrunning 12 tests\n{OK}\n"
        );
        let expected = Results {
            passed: 15,
            failed: 2,
            failures: vec!["a::b".to_owned(), "c - should panic".to_owned()],
        };
        assert_eq!(read(&output), (expected, true));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_ends_without_a_result_has_failed() {
        // It crashed in its second test.
        let output = "\nrunning 3 tests\ntest a ... ok\n";
        for status in [ended(101), ended(0)] {
            let results = results(output, &status);
            assert_eq!((results.passed, results.failed), (0, 1));
            assert_eq!(results.failures.len(), 1);
        }
        // The examples of one crate ran, those of the next did not.
        let output = format!("running 12 tests\n{OK}\nrunning 3 tests\n");
        let results = super::results(&output, &ended(0));
        assert_eq!((results.passed, results.failed), (12, 1));
        assert_eq!(super::results("", &ended(0)).failed, 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_fails_is_counted_once() {
        let output = format!("running 5 tests\nfailures:\n    a\n    b\n\n{FAILED}\n");
        assert_eq!(results(&output, &ended(101)).failed, 2);
        let output = format!("running 12 tests\n{OK}\n");
        assert_eq!(results(&output, &ended(0)).failed, 0);
        // All passed, and it still did not end well.
        let results = results(&output, &ended(3));
        assert_eq!((results.passed, results.failed), (12, 1));
        let stopped = super::results(&output, &Err(anyhow::anyhow!("no end")));
        assert_eq!(stopped.failures, ["no end"]);
    }

    #[test]
    fn test_programs_are_found_in_cargos_messages() {
        let artifact = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/r/tests/Cargo.toml","target":{{"kind":["test"],"name":"serial","src_path":"/r/tests/tests/serial.rs","test":true}},"profile":{{"opt_level":"2","test":{test}}},"features":[],"filenames":[],"executable":{executable},"fresh":true}}"#
            )
        };
        let messages = [
            r#"{"reason":"build-script-executed","package_id":"p","out_dir":"/o"}"#.to_owned(),
            artifact(false, r#""/t/debug/fewbit""#),
            artifact(true, "null"),
            artifact(true, r#""/t/debug/deps/serial-1""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = programs(&messages.join("\n"), Path::new("/r")).expect("well formed");
        let expected = Program {
            source: "tests/tests/serial.rs".to_owned(),
            manifest: "/r/tests/Cargo.toml".into(),
            executable: "/t/debug/deps/serial-1".into(),
        };
        assert_eq!(found, [expected]);
        let all = job(&found[0], Cases::All);
        let few = job(&found[0], Cases::Few);
        let variable = |job: &Job| {
            let mut variables = job.command.get_envs();
            let found = variables.find(|(name, _)| *name == sampled::VARIABLE);
            found.and_then(|(_, value)| Some(value?.to_string_lossy().into_owned()))
        };
        assert_eq!(
            variable(&all).as_deref(),
            Some("0"),
            "whatever the caller has"
        );
        assert_eq!(variable(&few).as_deref(), Some("1"));
        let job = all;
        assert_eq!(job.command.get_current_dir(), Some(Path::new("/r/tests")));
        assert_eq!((job.seconds, job.lock), (330, Lock::Boards));
    }

    #[test]
    fn the_listed_suites_exist() {
        let listed = SECONDS.map(|(source, _)| source);
        for source in listed.into_iter().chain(OF_BOARDS).chain([SAMPLE]) {
            assert!(root().join(source).is_file(), "{source}");
        }
    }
}
