//! `cargo xtask test` and `cargo xtask ci`: everything a change must pass.
//!
//! A check that fails does not stop the others; what failed is said again at the end, and the last line is the sum of
//! checks and tests. A new check is one entry in `CHECKS`.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    bench,
    board::{self, Board},
    deny, device_dir, elf, firmware,
    networks::{Net, Network},
    process, processors, repository, sample, setup, tidy,
    toolchain::{DeviceToolchain, TARGET_32_BITS, TARGETS},
};

/// Time for one command of one check.
const LIMIT: Duration = Duration::from_secs(1800);

/// Turns on the suites that need an emulator, which plain `cargo test` leaves out.
pub(crate) const DEVICE_SUITES: &str = "fewbit-tests/device";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args, Debug)]
pub struct TestArgs {
    /// Leave out the suites on emulated boards; nothing is installed then.
    #[arg(long)]
    host_only: bool,
}

/// Arguments of `cargo xtask ci`.
#[derive(clap::Args, Debug)]
pub struct CiArgs {
    /// Do not run the tests: add the figures that the last `cargo xtask test` left.
    #[arg(long)]
    after_test: bool,
    /// Run the checks too that take many minutes.
    #[arg(long)]
    long: bool,
    /// Run only the checks with this in their name, long ones too.
    #[arg(long)]
    only: Option<String>,
}

/// A check and its name.
struct Check {
    name: &'static str,
    run: fn() -> Result<()>,
}

/// Every check but the tests, cheap ones first.
const CHECKS: [Check; 19] = [
    Check {
        name: "fmt",
        run: || host(&["fmt", "--all", "--check"]),
    },
    Check {
        name: "fmt of boards",
        run: || in_boards(&["fmt", "--all", "--check"]),
    },
    Check {
        name: "tidy",
        run: tidy::check,
    },
    Check {
        name: "deny",
        run: deny::task,
    },
    Check {
        name: "clippy",
        run: clippy,
    },
    Check {
        name: "docs",
        run: docs,
    },
    Check {
        name: "tests without debug assertions",
        run: test_release,
    },
    Check {
        name: "tests of the runtime on 32 bits",
        run: test_32_bits,
    },
    Check {
        name: "same blob on every processor",
        run: processors::x86,
    },
    Check {
        name: "short accuracy benchmark",
        run: bench::accuracy::short,
    },
    Check {
        name: "device benchmark against the baseline",
        run: bench::device::against_baseline,
    },
    Check {
        name: "runtime for thumbv6m",
        run: || runtime_for(TARGETS[0]),
    },
    Check {
        name: "runtime for thumbv7m",
        run: || runtime_for(TARGETS[1]),
    },
    Check {
        name: "runtime for thumbv7em",
        run: || runtime_for(TARGETS[2]),
    },
    Check {
        name: "runtime for thumbv8m.main",
        run: || runtime_for(TARGETS[3]),
    },
    Check {
        name: "runtime for riscv32imc",
        run: || runtime_for(TARGETS[4]),
    },
    Check {
        name: "no panic in the runtime's firmware",
        run: no_panic,
    },
    Check {
        name: "firmware of real boards",
        run: real_boards,
    },
    Check {
        name: "clippy of boards",
        run: clippy_of_boards,
    },
];

/// Checks that take many minutes, for `cargo xtask ci --long`.
const LONG_CHECKS: [Check; 1] = [Check {
    name: "same blob on other architectures",
    run: processors::others,
}];

/// The name by which `--only` takes the tests.
const TESTS: &str = "tests";

/// Figures of a run, which end up in its last line.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Whether nothing ran yet.
    fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
    }

    fn check(&mut self, check: &Check) {
        let start = Instant::now();
        note!("== {}", check.name);
        match (check.run)() {
            Ok(()) => {
                self.passed += 1;
                note!(
                    "== {}: passed, {:.0} s",
                    check.name,
                    start.elapsed().as_secs_f64()
                );
            }
            Err(error) => {
                self.failed += 1;
                note!("== {}: failed: {error:#}", check.name);
                self.failures.push(format!("{}: {error:#}", check.name));
            }
        }
    }

    /// Says what failed and the sum, in this form and alone on the last line.
    fn close(self) -> Result<()> {
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

/// `cargo xtask test`: installs what is needed and runs all tests.
///
/// # Errors
///
/// If a test fails, or something is missing that cannot be installed.
pub fn test_task(args: &TestArgs) -> Result<()> {
    // Of an older run; must not be taken for this one's if this one ends early.
    let _ = fs::remove_file(figures_file());
    let mut tally = Tally::default();
    tests(&mut tally, args.host_only)?;
    fs::create_dir_all(device_dir()).context("cannot create target/device")?;
    fs::write(figures_file(), format!("{} {}", tally.passed, tally.failed))
        .context("cannot keep the figures")?;
    tally.close()
}

/// `cargo xtask ci`: every check.
///
/// # Errors
///
/// If a check fails.
pub fn task(args: &CiArgs) -> Result<()> {
    let mut tally = Tally::default();
    let chosen = |name: &str| {
        args.only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let long: &[Check] = if args.long || args.only.is_some() {
        &LONG_CHECKS
    } else {
        &[]
    };
    for check in CHECKS.iter().chain(long).filter(|check| chosen(check.name)) {
        tally.check(check);
    }
    if let Some(only) = args
        .only
        .as_ref()
        .filter(|_| tally.is_empty() && !chosen(TESTS))
    {
        let names: Vec<&str> = CHECKS.iter().chain(long).map(|check| check.name).collect();
        bail!(
            "no check has `{only}` in its name; there are {}, {TESTS}",
            names.join(", ")
        );
    }
    if args.after_test {
        let text = fs::read_to_string(figures_file());
        let text =
            text.context("there are no figures of a test run; run `cargo xtask test` first")?;
        let mut figures = text.split_whitespace().map(str::parse::<usize>);
        let (Some(Ok(passed)), Some(Ok(failed))) = (figures.next(), figures.next()) else {
            bail!("{} does not hold two figures", figures_file().display());
        };
        tally.passed += passed;
        tally.failed += failed;
        if failed != 0 {
            tally.failures.push(format!(
                "{failed} tests, see the output of `cargo xtask test`"
            ));
        }
    } else if chosen(TESTS) {
        tests(&mut tally, false)?;
    }
    tally.close()
}

/// Where a test run leaves its figures for `cargo xtask ci --after-test`.
fn figures_file() -> PathBuf {
    device_dir().join("test-figures.txt")
}

/// Runs the tests of all crates and adds up what their harnesses report.
fn tests(tally: &mut Tally, host_only: bool) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    if !host_only {
        setup::ensure()?;
        setup::ensure_emulators()?;
        cargo.args(["--features", DEVICE_SUITES]);
    }
    let shown = process::shown(&cargo);
    note!("== tests: {shown}");
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let failed_before = tally.failed;
    let output = child
        .stdout
        .take()
        .context("the output of cargo is not piped")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("the output of the tests is not text")?;
        say!("{line}")?;
        if let Some((passed, failed)) = test_result(&line) {
            tally.passed += passed;
            tally.failed += failed;
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            tally.failures.push(format!("test {name}"));
        }
    }
    let status = process::wait(&mut child, LIMIT).context("the tests")?;
    if !status.success() && tally.failed == failed_before {
        // They did not compile, or a harness ended without a result.
        tally.failed += 1;
        tally.failures.push(format!("`{shown}` ({status})"));
    }
    Ok(())
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

/// The cargo that runs this task, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository());
    command
}

fn host(arguments: &[&str]) -> Result<()> {
    process::run(cargo().args(arguments), LIMIT)
}

fn in_boards(arguments: &[&str]) -> Result<()> {
    process::run(cargo().current_dir(board::folder()).args(arguments), LIMIT)
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

/// The runtime's own suites with a `usize` as on the boards, where products overflow that a desk's 64 bits hold.
fn test_32_bits() -> Result<()> {
    if let Err(error) = setup::ensure_32_bits() {
        // With `CI` set, what is missing is a failure.
        if env::var_os("CI").is_some() {
            return Err(error);
        }
        note!("left out: {error:#}");
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

/// A board for each kind of core, whose firmware is looked at for panics: Cortex-M0, M3, M4, M55 and RISC-V.
const CORES: [&str; 5] = [
    "microbit",
    "mps2-an385",
    "mps2-an386",
    "mps3-an547",
    "riscv-virt",
];

/// Links the least firmware with every kernel and finds no function in it that a panic goes through: loading a blob and running it
/// cannot panic, nor can anything else there. Nothing is excepted.
fn no_panic() -> Result<()> {
    let blob = sample::two_tables(16)?;
    let mut problems = Vec::new();
    for name in CORES {
        let board = Board::load(name)?;
        let bytes = firmware::bare_with_every_kernel(&board, &blob)?;
        let found = elf::panic_symbols(&bytes, "fewbit_runtime")
            .with_context(|| format!("the least firmware of {name}"))?;
        if found.is_empty() {
            say!("{name}: no panic")?;
        } else {
            problems.push(format!("{name}: {}", found.join(", ")));
        }
    }
    if !problems.is_empty() {
        bail!(
            "the least firmware can panic, by these functions:\n{}",
            problems.join("\n")
        );
    }
    Ok(())
}

/// Builds the runtime alone for one target, bare and with logging.
fn runtime_for(target: &str) -> Result<()> {
    let toolchain = setup::ensure()?;
    for features in ["", "defmt"] {
        let mut cargo = toolchain.cargo(target);
        cargo
            .current_dir(repository())
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
    let mut boards = board::all()?;
    boards.retain(|board| board.probe.is_some());
    // Quantized once for all boards of a family.
    boards.sort_by_key(|board| board.isa.name());
    for family in boards.chunk_by(|a, b| a.isa == b.isa) {
        let Some(first) = family.first() else {
            continue;
        };
        let quantized = network.quantize_for(first.isa.packing())?;
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

/// Clippy over the firmware, for each board's own target.
fn clippy_of_boards() -> Result<()> {
    let toolchain: DeviceToolchain = setup::ensure()?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let blob = folder.path().join("sample.fewbit");
    fs::write(&blob, sample::two_tables(16)?).context("cannot write the sample blob")?;
    let table = folder.path().join("input.table");
    fs::write(&table, [0; 256]).context("cannot write the sample's table")?;
    for board in board::all()? {
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
            ]
        } else if board.probe.is_some() {
            &[
                &["--features", "fewbit-firmware/rtt-link"],
                &["--features", "fewbit-firmware/slots"],
            ]
        } else {
            &[&[]]
        };
        for features in applications {
            let mut cargo = firmware::cargo(&board, &toolchain, &blob)?;
            cargo
                .args(["clippy", "--quiet", "--release", "--locked"])
                .args(["--package", &board.name, "--package", "fewbit-firmware"])
                .args(["--package", "bare"])
                .args(*features)
                .env("FEWBIT_SLOTS", "65536,65536")
                .env("FEWBIT_MLPERF_MODEL", "sample")
                .env("FEWBIT_MLPERF_TABLE", &table)
                .args(["--", "-D", "warnings"]);
            process::run(&mut cargo, LIMIT).with_context(|| board.name.clone())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_a_harness_are_read() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(test_result(line), Some((12, 0)));
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(test_result(line), Some((3, 2)));
        assert_eq!(test_result("test device::tests::a_job ... ok"), None);
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
