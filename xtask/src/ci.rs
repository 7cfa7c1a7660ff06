//! `cargo xtask test` and `cargo xtask ci`: all checks that a change must pass.
//!
//! Checks and test programs run in parallel. One that fails does not stop the others; failures are listed again at the end,
//! and the last line is the sum of checks and tests. A new check is one entry in `CHECKS`.

use std::{env, fs, process::Command, thread, time::Instant};

use anyhow::{Context as _, Result, bail};

use fewbit_cli::error_text;
use fewbit_device::{
    board, firmware, process, sample, setup,
    toolchain::{DeviceToolchain, TARGET_32_BITS, TARGETS},
};
use fewbit_tests::networks::{Net, Network};

use crate::{
    bench, bounds,
    cargo::{DEVICE_SUITES, LIMIT, cargo, own_program},
    deny, fuzz, miri, mutants,
    pool::{self, Ended, Job, Lock},
    processors, publish, repository, root,
    suites::{self, Cases},
    tidy,
};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args, Debug)]
pub struct TestArgs {
    /// Leave out the suites on emulated boards; nothing is installed then.
    #[arg(long, conflicts_with = "checks")]
    host_only: bool,
    /// Run all cases of every suite, as `cargo xtask ci` does; otherwise long suites run only some of their cases.
    #[arg(long)]
    full: bool,
    /// Run all cases and, in parallel, every other check that a change must pass, as `cargo xtask ci` does.
    #[arg(long)]
    checks: bool,
}

/// Arguments of `cargo xtask ci`.
#[derive(clap::Args, Debug)]
pub struct CiArgs {
    /// Run the checks too that take many minutes.
    #[arg(long)]
    long: bool,
    /// Run only the checks with this in their name, long ones too.
    #[arg(long)]
    only: Option<String>,
    /// Run the check of this name alone, and say nothing of its end: how the checks are run side by side.
    #[arg(long, hide = true)]
    one: Option<String>,
}

/// A check and its name.
struct Check {
    name: &'static str,
    /// CPU seconds, roughly; the longest start first.
    seconds: u32,
    /// Lock of its build.
    lock: Lock,
    run: fn() -> Result<()>,
}

/// Every check but the tests.
const CHECKS: [Check; 24] = [
    Check {
        name: "fmt",
        seconds: 2,
        lock: Lock::None,
        run: || host(&["fmt", "--all", "--check"]),
    },
    Check {
        name: "fmt of boards",
        seconds: 2,
        lock: Lock::None,
        run: || in_boards(&["fmt", "--all", "--check"]),
    },
    Check {
        name: "tidy",
        seconds: 2,
        lock: Lock::None,
        run: tidy::check,
    },
    Check {
        name: "deny",
        seconds: 2,
        lock: Lock::None,
        run: deny::task,
    },
    Check {
        name: "clippy",
        seconds: 60,
        lock: Lock::Host,
        run: clippy,
    },
    Check {
        name: "docs",
        seconds: 30,
        lock: Lock::Host,
        run: docs,
    },
    Check {
        name: "tests without debug assertions",
        seconds: 80,
        lock: Lock::None,
        run: test_release,
    },
    Check {
        name: "tests of the runtime on 32 bits",
        seconds: 150,
        lock: Lock::None,
        run: test_32_bits,
    },
    Check {
        name: "mutants of lifetimes",
        seconds: 40,
        lock: Lock::None,
        run: || mutants::check(Some("load/"), &["lifetimes.rs", "in_place"]),
    },
    Check {
        name: "fuzz",
        seconds: 320,
        lock: Lock::None,
        run: fuzz::short,
    },
    Check {
        name: "same blob on every processor",
        seconds: 100,
        lock: Lock::Host,
        run: processors::x86,
    },
    Check {
        name: "short accuracy benchmark",
        seconds: 90,
        lock: Lock::None,
        run: bench::accuracy::short,
    },
    Check {
        name: "device benchmark against the baseline",
        seconds: 10,
        lock: Lock::Boards,
        run: bench::device::against_baseline,
    },
    Check {
        name: "runtime for thumbv6m",
        seconds: 15,
        lock: Lock::Boards,
        run: || runtime_for(TARGETS[0]),
    },
    Check {
        name: "runtime for thumbv7m",
        seconds: 15,
        lock: Lock::Boards,
        run: || runtime_for(TARGETS[1]),
    },
    Check {
        name: "runtime for thumbv7em",
        seconds: 15,
        lock: Lock::Boards,
        run: || runtime_for(TARGETS[2]),
    },
    Check {
        name: "runtime for thumbv8m.main",
        seconds: 15,
        lock: Lock::Boards,
        run: || runtime_for(TARGETS[3]),
    },
    Check {
        name: "runtime for riscv32imc",
        seconds: 15,
        lock: Lock::Boards,
        run: || runtime_for(TARGETS[4]),
    },
    Check {
        name: "no panic, no recursion and a bounded stack in the runtime's firmware",
        seconds: 90,
        lock: Lock::Boards,
        run: bounds::check,
    },
    Check {
        name: "firmware of real boards",
        seconds: 300,
        lock: Lock::Boards,
        run: real_boards,
    },
    Check {
        name: "packages of all crates",
        seconds: 200,
        lock: Lock::Host,
        run: publish::package,
    },
    Check {
        name: "device crates with their oldest compiler",
        seconds: 20,
        lock: Lock::None,
        run: publish::oldest_compiler,
    },
    Check {
        name: "library for wasm32 and 32-bit hosts",
        seconds: 60,
        lock: Lock::Host,
        run: publish::small_hosts,
    },
    Check {
        name: "clippy of boards",
        seconds: 250,
        lock: Lock::Boards,
        run: clippy_of_boards,
    },
];

/// Checks that take many minutes, for `cargo xtask ci --long`.
const LONG_CHECKS: [Check; 4] = [
    Check {
        name: "same blob on other architectures",
        seconds: 900,
        lock: Lock::Host,
        run: processors::others,
    },
    Check {
        name: "damaged input for five minutes each",
        seconds: 1520,
        lock: Lock::None,
        run: fuzz::long,
    },
    Check {
        name: "mutants of the loader",
        seconds: 600,
        lock: Lock::None,
        run: || mutants::check(None, &[]),
    },
    Check {
        name: "tests of the runtime in Miri",
        seconds: 500,
        lock: Lock::None,
        run: miri::check,
    },
];

/// The name by which `--only` takes the tests.
const TESTS: &str = "tests";

/// Cores beyond which nothing more is run side by side: programs use several cores themselves.
const MOST_CORES: usize = 4;

/// Figures of a run, which end up in its last line.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
    /// Last output of programs that failed.
    endings: Vec<String>,
}

/// Lines of a failed program that are repeated at the end, where a long log is looked at first.
const ENDING: usize = 60;

impl Tally {
    /// Runs a check here and now.
    fn check(&mut self, check: &Check) {
        let start = Instant::now();
        note!("== {}", check.name);
        let result = (check.run)().map_err(|error| error_text(&error));
        let end = self.count_check(check.name, result);
        note!("{end}, {:.0} s", start.elapsed().as_secs_f64());
    }

    /// Says and counts what came of a program that the pool has run.
    fn ended(&mut self, ended: &Ended) -> Result<()> {
        say!("== {}", ended.name)?;
        if !ended.output.trim().is_empty() {
            say!("{}", ended.output.trim_end())?;
        }
        let end = self.count(ended);
        let cpu = ended
            .cpu_seconds
            .map_or_else(String::new, |seconds| format!(", {seconds:.0} CPU s"));
        say!("{end}, {:.0} s{cpu}", ended.time.as_secs_f64())
    }

    /// Counts what came of a program that the pool has run, and puts it into words.
    fn count(&mut self, ended: &Ended) -> String {
        let failed = self.failed;
        let text = self.count_results(ended);
        if self.failed > failed {
            self.endings.push(format!(
                "== {} ended with\n{}",
                ended.name,
                ending(&ended.output)
            ));
        }
        text
    }

    fn count_results(&mut self, ended: &Ended) -> String {
        let name = &ended.name;
        if is_check(name) {
            let result = match &ended.status {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(last_error(&ended.output).unwrap_or_else(|| status.to_string())),
                Err(error) => Err(error_text(error)),
            };
            return self.count_check(name, result);
        }
        let results = suites::results(&ended.output, &ended.status);
        self.passed += results.passed;
        self.failed += results.failed;
        let failures = results.failures.iter();
        self.failures
            .extend(failures.map(|failure| format!("{name}: {failure}")));
        format!(
            "== {name}: {} passed, {} failed",
            results.passed, results.failed
        )
    }

    /// Counts what came of a check, and puts it into words.
    fn count_check(&mut self, name: &str, result: Result<(), String>) -> String {
        match result {
            Ok(()) => {
                self.passed += 1;
                format!("== {name}: passed")
            }
            Err(error) => {
                self.failed += 1;
                self.failures.push(format!("{name}: {error}"));
                format!("== {name}: failed: {error}")
            }
        }
    }

    /// Builds the tests, and returns what runs them; none if that fails.
    fn tests(&mut self, host_only: bool, cases: Cases) -> Vec<Job> {
        let prepared = || {
            if !host_only {
                setup::ensure()?;
                setup::ensure_emulators()?;
                setup::ensure_disassembler()?;
            }
            suites::build(host_only, cases)
        };
        prepared().unwrap_or_else(|error| {
            let error = error_text(&error);
            note!("== {TESTS}: failed: {error}");
            self.failed += 1;
            self.failures.push(format!("{TESTS}: {error}"));
            Vec::new()
        })
    }

    /// Runs the jobs side by side.
    fn run(&mut self, jobs: Vec<Job>) -> Result<()> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // One more, as emulators and builds wait for each other.
        pool::run(jobs, cores.min(MOST_CORES) + 1, LIMIT, |ended| {
            self.ended(&ended)
        })
    }

    /// Says what failed and the sum, in this form and alone on the last line.
    fn close(self) -> Result<()> {
        for ending in &self.endings {
            say!("{ending}")?;
        }
        for failure in &self.failures {
            say!("failed: {failure}")?;
        }
        say!("{} passed, {} failed", self.passed, self.failed)?;
        if self.failed != 0 || !self.failures.is_empty() {
            bail!("not all checks passed");
        }
        Ok(())
    }
}

/// Whether a check has this name, and not a test program.
fn is_check(name: &str) -> bool {
    let mut checks = CHECKS.iter().chain(&LONG_CHECKS);
    checks.any(|check| check.name == name)
}

/// The last lines of a program's output, without tests that passed.
fn ending(output: &str) -> String {
    let lines = output.lines();
    let mut lines: Vec<&str> = lines
        .filter(|line| !(line.starts_with("test ") && line.ends_with(" ... ok")))
        .collect();
    lines.drain(..lines.len().saturating_sub(ENDING));
    lines.join("\n")
}

/// Last message of this program, on its own failure.
fn last_error(output: &str) -> Option<String> {
    let output = format!("\n{output}");
    let (_, error) = output.rsplit_once("\nerror: ")?;
    Some(error.trim_end().to_owned())
}

/// `cargo xtask test`: installs what is needed and runs all tests, and only some cases of the long suites.
///
/// # Errors
///
/// If a test fails, or something is missing that cannot be installed.
pub fn test_task(args: &TestArgs) -> Result<()> {
    if args.checks {
        return everything(&CHECKS);
    }
    let mut tally = Tally::default();
    let cases = if args.full { Cases::All } else { Cases::Few };
    let jobs = tally.tests(args.host_only, cases);
    tally.run(jobs)?;
    tally.close()
}

/// `cargo xtask ci`: every check, and all cases of all tests.
///
/// # Errors
///
/// If a check fails.
pub fn task(args: &CiArgs) -> Result<()> {
    let all = || CHECKS.iter().chain(&LONG_CHECKS);
    if let Some(name) = &args.one {
        let check = all().find(|check| check.name == name);
        return (check.context("no check has this name")?.run)();
    }
    if let Some(only) = &args.only {
        let mut tally = Tally::default();
        let chosen = |name: &str| name.contains(only.as_str());
        if !chosen(TESTS) && !all().any(|check| chosen(check.name)) {
            let names: Vec<&str> = all().map(|check| check.name).collect();
            bail!(
                "no check has `{only}` in its name; there are {}, {TESTS}",
                names.join(", ")
            );
        }
        for check in all().filter(|check| chosen(check.name)) {
            tally.check(check);
        }
        if chosen(TESTS) {
            let jobs = tally.tests(false, Cases::All);
            tally.run(jobs)?;
        }
        return tally.close();
    }
    if args.long {
        everything(all())
    } else {
        everything(&CHECKS)
    }
}

/// Runs all tests and these checks side by side.
fn everything<'c>(checks: impl IntoIterator<Item = &'c Check>) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let program = own_program(folder.path())?;
    let mut tally = Tally::default();
    let mut jobs = tally.tests(false, Cases::AllAndOneSample);
    for check in checks {
        let mut command = Command::new(&program);
        command.args(["ci", "--one", check.name]);
        jobs.push(Job {
            name: check.name.to_owned(),
            command,
            seconds: check.seconds,
            lock: check.lock,
        });
    }
    tally.run(jobs)?;
    tally.close()
}

fn host(arguments: &[&str]) -> Result<()> {
    process::run(cargo().args(arguments), LIMIT)
}

fn in_boards(arguments: &[&str]) -> Result<()> {
    process::run(
        cargo().current_dir(repository().boards()).args(arguments),
        LIMIT,
    )
}

fn clippy() -> Result<()> {
    host(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--features",
        DEVICE_SUITES,
        "--",
        "-D",
        "warnings",
    ])
}

fn docs() -> Result<()> {
    let mut cargo = cargo();
    cargo
        .args(["doc", "--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut cargo, LIMIT)
}

/// The arithmetic as it ships: overflow wraps where debug assertions would stop it.
fn test_release() -> Result<()> {
    host(&[
        "test",
        "--package",
        "fewbit-runtime",
        "--profile",
        "testrelease",
        "--locked",
    ])
}

/// Runs the runtime's own suites with a `usize` as on the boards, where products overflow that the host's 64 bits hold.
fn test_32_bits() -> Result<()> {
    if let Err(error) = setup::ensure_32_bits() {
        // With `CI` set, what is missing is a failure.
        if env::var_os("CI").is_some() {
            return Err(error);
        }
        note!("left out: {}", error_text(&error));
        return Ok(());
    }
    let mut cargo = cargo();
    cargo
        .args(["test", "--package", "fewbit-runtime", "--locked"])
        .args(["--lib", "--test", "corruption"])
        .args(["--target", TARGET_32_BITS])
        .args(["--config", "profile.dev.overflow-checks=true"])
        // Rust's own linker, and the C library that comes with the target: no compiler for 32 bits has to be installed.
        .env("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    process::run(&mut cargo, LIMIT)
}

/// Builds the runtime alone for one target, bare and with logging.
fn runtime_for(target: &str) -> Result<()> {
    let toolchain = setup::ensure()?;
    for features in ["", "defmt"] {
        let mut cargo = toolchain.cargo(repository(), target);
        cargo
            .current_dir(root())
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "fewbit-runtime",
            ])
            .args(["--no-default-features", "--features", features]);
        process::run(&mut cargo, LIMIT)?;
    }
    Ok(())
}

/// The board that the embassy example is for.
const EXAMPLE_BOARD: &str = "nrf52840-dk";

/// Builds the firmware of every real board around the built-in network, and holds it against the board's memories; the
/// example with embassy too.
fn real_boards() -> Result<()> {
    let network = Network::load(Net::Digits)?.context("the digits network is built in")?;
    let mut boards = board::all(repository())?;
    boards.retain(|board| board.probe.is_some());
    // Quantized once for all boards of a family.
    boards.sort_by_key(|board| board.isa.name());
    for family in boards.chunk_by(|a, b| a.isa == b.isa) {
        let Some(first) = family.first() else {
            continue;
        };
        let quantized = network.quantize_for(first.isa)?;
        let blob = quantized.blob.as_bytes();
        for board in family {
            let firmware = firmware::build_bytes(board, blob)?;
            let flash = firmware.flash_bytes + firmware.blob_bytes;
            if flash > board.flash_bytes {
                bail!("{}: {flash} bytes of flash", board.name);
            }
            if board.name == EXAMPLE_BOARD {
                firmware::built(board, &setup::ensure()?, blob, "embassy-example", None)?;
            }
            say!(
                "{}: {flash} bytes of flash with the blob, {} of RAM without the stack",
                board.name,
                firmware.static_ram_bytes
            )?;
        }
    }
    Ok(())
}

/// The emulated board that examples of firmware are for, and their packages. They are looked at by themselves: their output's crate has
/// a panic handler, and the shared application its own.
const EXAMPLES: (&str, [&str; 2]) = ("mps2-an386", ["two-models", "external-flash"]);

/// Clippy over the firmware, for each board's own target.
fn clippy_of_boards() -> Result<()> {
    let toolchain: DeviceToolchain = setup::ensure()?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let blob = folder.path().join("sample.fewbit");
    fs::write(&blob, sample::two_tables(16)?).context("cannot write the sample blob")?;
    let table = folder.path().join("input.table");
    fs::write(&table, [0; 256]).context("cannot write the sample's table")?;
    let key = folder.path().join("key.pub");
    let public = fewbit_signed::public_key(&[1; fewbit_signed::KEY_BYTES]);
    fs::write(&key, fewbit_signed::show_public_key(&public).to_string())
        .context("cannot write the sample's key")?;
    for board in board::all(repository())? {
        // What real boards add is a main of a page each; one shows what they share, and the others are built above.
        if board.probe.is_some() && board.name != EXAMPLE_BOARD {
            continue;
        }
        // The applications are the same code for every board, and one target of each architecture shows what a
        // compiler has to say of them.
        let applications: &[&[&str]] = if ["mps2-an386", "riscv-virt"].contains(&&*board.name) {
            &[
                &[],
                &["--features", "fewbit-firmware/serial"],
                &["--features", "fewbit-firmware/mlperf"],
                &["--features", "fewbit-firmware/rtt-link"],
                &["--features", "fewbit-firmware/slots"],
                &["--features", "fewbit-firmware/authenticated-updates"],
            ]
        } else if board.probe.is_some() {
            &[
                &["--features", "fewbit-firmware/rtt-link"],
                &["--features", "fewbit-firmware/slots"],
            ]
        } else {
            &[&[]]
        };
        let clippy = |packages: &[&str], arguments: &[String]| -> Result<()> {
            let mut cargo = firmware::cargo(&board, &toolchain, &blob)?;
            cargo.args(["clippy", "--quiet", "--release", "--locked"]);
            for package in packages {
                cargo.args(["--package", package]);
            }
            cargo
                .args(arguments)
                .env("FEWBIT_SLOTS", "65536,65536")
                .env("FEWBIT_UPDATE_KEY", &key)
                .env("FEWBIT_SECOND_BLOB", &blob)
                .env("FEWBIT_MLPERF_MODEL", "sample")
                .env("FEWBIT_MLPERF_TABLE", &table)
                .args(["--", "-D", "warnings"]);
            process::run(&mut cargo, LIMIT).with_context(|| board.name.clone())
        };
        for features in applications {
            let mut arguments = firmware::features(&board);
            arguments.extend(features.iter().map(|&word| word.to_owned()));
            let packages = [board.package(), "fewbit-firmware", "bare"];
            clippy(&packages, &arguments)?;
        }
        let (example_board, examples) = EXAMPLES;
        if board.name == example_board {
            clippy(&examples, &[])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_error_of_a_check_is_its_reason() {
        let output =
            "error: could not compile `x`\n\nerror: `cargo clippy` failed\nwith a second line\n";
        let reason = last_error(output);
        assert_eq!(
            reason.as_deref(),
            Some("`cargo clippy` failed\nwith a second line")
        );
        assert_eq!(last_error("error: only").as_deref(), Some("only"));
        assert_eq!(last_error("no word of an error: none"), None);
    }

    #[cfg(unix)]
    #[test]
    fn checks_and_tests_are_summed_and_failures_named() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |name: &str, code: i32, output: &str| Ended {
            name: name.to_owned(),
            output: output.to_owned(),
            status: Ok(std::process::ExitStatus::from_raw(code << 8)),
            time: Duration::ZERO,
            cpu_seconds: None,
        };
        let mut tally = Tally::default();
        let result = "\ntest result: FAILED. 3 passed; 1 failed; 0 ignored;\n";
        let failed = format!("failures:\n    a::b\n{result}");
        for ended in [
            ended("fmt", 0, ""),
            ended("clippy", 1, "error: it says why\n"),
            ended("host/src/lib.rs", 101, &failed),
            ended("host/cli/tests/cli.rs", 101, "running 2 tests\n"),
        ] {
            tally.count(&ended);
        }
        assert_eq!((tally.passed, tally.failed), (4, 3));
        assert_eq!(
            tally.failures[..2],
            ["clippy: it says why", "host/src/lib.rs: a::b"]
        );
        assert!(tally.failures[2].starts_with("host/cli/tests/cli.rs: "));
        let first = "== clippy ended with\nerror: it says why";
        assert_eq!(tally.endings.len(), 3);
        assert_eq!(tally.endings[0], first);
    }

    #[test]
    fn the_end_of_an_output_has_its_last_lines_without_tests_that_passed() {
        let lines: Vec<String> = (0..2 * ENDING).map(|line| line.to_string()).collect();
        let output = format!("{}\ntest a ... ok\ntest b ... FAILED\n", lines.join("\n"));
        let end = ending(&output);
        assert_eq!(end.lines().count(), ENDING);
        assert!(end.ends_with(&format!("{}\ntest b ... FAILED", 2 * ENDING - 1)));
    }

    #[test]
    fn names_of_checks_are_unique() {
        for (index, check) in CHECKS.iter().enumerate() {
            assert!(
                CHECKS[..index].iter().all(|other| other.name != check.name),
                "{}",
                check.name
            );
        }
    }
}
