//! `fewbit flash`: firmware with a blob onto a real board.
//!
//! Calls the command line of probe-rs. If a program is missing, the error says how to install it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit_device::{
    board::{Board, Probe},
    firmware::{self, Application, UpdateKey, Updates},
    probe, process,
};

use crate::{Environment, mlperf, update_key};

/// Time limit for erasing, writing and checking the flash of a chip.
const LIMIT: Duration = Duration::from_secs(300);

/// Arguments of `flash`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Blob; default: the blob of the built-in digits network, which is quantized first if needed
    blob: Option<PathBuf>,
    /// Board: a folder of `boards/`
    #[arg(long)]
    board: String,
    /// Write the firmware for MLPerf Tiny's runner, for this model of the benchmark, instead of the serial protocol's
    #[arg(long, value_name = "MODEL")]
    mlperf: Option<mlperf::Model>,
    /// Write the firmware that communicates through memory, by RTT, instead of over its UART
    #[arg(long, conflicts_with = "mlperf")]
    rtt: bool,
    /// Write the firmware that runs the newest model in the board's two slots, or its own if there is none
    #[arg(long, conflicts_with_all = ["mlperf", "rtt"])]
    slots: bool,
    /// Also reserve tables, arena and kernels for this model; repeat it for several
    #[arg(long, value_name = "BLOB", requires = "slots")]
    room: Vec<PathBuf>,
    /// Accept only updates that are signed with the secret half of this public key (see `update-key`)
    #[arg(long, value_name = "FILE", requires = "slots")]
    update_key: Option<PathBuf>,
    /// Name of the product in signatures; default: the board's name
    #[arg(long, value_name = "NAME", requires = "update_key")]
    product: Option<String>,
    /// Accept only updates that take at most this many operations per run
    #[arg(long, value_name = "OPERATIONS", requires = "slots")]
    most_operations: Option<u64>,
    /// Probe, as `probe-rs list` names it, if several are connected
    #[arg(long, value_name = "VID:PID:SERIAL")]
    probe: Option<String>,
    /// Build, and print the commands instead of running them
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Updates that the firmware accepts.
    fn updates(&self) -> Result<Updates> {
        let key = match &self.update_key {
            Some(path) => Some(UpdateKey {
                public: update_key::read_public(path)?,
                product: self.product.clone(),
            }),
            None => None,
        };
        Ok(Updates {
            key,
            most_operations: self.most_operations,
        })
    }
}

/// Builds the firmware and writes it to the board.
///
/// # Errors
///
/// If the board is an emulated one, the firmware cannot be built, or probe-rs is missing or fails.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let program_name = environment.program;
    let board = Board::load(&environment.repository()?, &args.board)?;
    let Some(probe) = &board.probe else {
        bail!(
            "{} is emulated and has no flash to write; run `{program_name} verify --board {}`",
            board.name,
            board.name
        );
    };
    let blob = match &args.blob {
        Some(path) => path.clone(),
        None => environment.default_blob()?,
    };
    let bytes = fs::read(&blob).with_context(|| format!("cannot read {}", blob.display()))?;
    let application = match args.mlperf {
        Some(model) => model.application(&bytes)?,
        None if args.rtt => Application::Rtt,
        None if args.slots => Application::slots(&args.room, args.updates()?)?,
        None => Application::of(&board),
    };
    let firmware = firmware::build_application(&board, &bytes, &application)
        .with_context(|| format!("firmware of {} for {}", board.name, blob.display()))?;
    let program = match probe::program() {
        None if args.dry_run => PathBuf::from(probe::PROGRAM),
        Some(program) => program,
        None => bail!(
            "{}. The firmware is built: {}",
            probe::missing(),
            firmware.elf.display()
        ),
    };
    for mut command in commands(&program, probe, args.probe.as_deref(), &firmware.elf) {
        if args.dry_run {
            say!("{}", process::shown(&command))?;
        } else {
            process::run(&mut command, LIMIT).context(
                "is the board connected, and may your user open its probe? `probe-rs list` shows what it sees; \
                 on Linux it needs the udev rules of https://probe.rs/docs/getting-started/probe-setup",
            )?;
        }
    }
    let (next, how) = match &application {
        Application::Mlperf { .. } => ("mlperf", "--port PORT"),
        Application::Rtt => ("verify", "--transport rtt"),
        _ => ("verify", "--port PORT"),
    };
    say!(
        "next    {program_name} {next} {} --board {} {how}",
        blob.display(),
        board.name
    )?;
    Ok(())
}

/// Writes, checks, and starts.
fn commands(program: &Path, probe: &Probe, selector: Option<&str>, elf: &Path) -> [Command; 2] {
    let command = |action: &str| {
        let mut command = Command::new(program);
        command.args([action, "--chip", &probe.chip, "--non-interactive"]);
        if let Some(selector) = selector {
            command.args(["--probe", selector]);
        }
        command
    };
    let mut download = command("download");
    download.arg("--verify").arg(elf);
    [download, command("reset")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_name_chip_probe_and_file() {
        let probe = Probe {
            chip: "nRF52840_xxAA".to_owned(),
        };
        let elf = Path::new("some firmware.elf");
        let shown = |selector| {
            commands(Path::new("probe-rs"), &probe, selector, elf).map(|c| process::shown(&c))
        };
        assert_eq!(
            shown(None),
            [
                "probe-rs download --chip nRF52840_xxAA --non-interactive --verify some firmware.elf",
                "probe-rs reset --chip nRF52840_xxAA --non-interactive",
            ]
        );
        let [download, reset] = shown(Some("1366:1015:000683"));
        assert!(download.contains("--probe 1366:1015:000683"), "{download}");
        assert!(reset.contains("--probe 1366:1015:000683"), "{reset}");
    }

    #[test]
    fn an_emulated_board_is_pointed_elsewhere() {
        let args = Args {
            blob: None,
            board: "mps2-an386".to_owned(),
            mlperf: None,
            rtt: false,
            slots: false,
            room: Vec::new(),
            update_key: None,
            product: None,
            most_operations: None,
            probe: None,
            dry_run: true,
        };
        let environment = Environment::of_suites();
        let error = task(&args, &environment)
            .expect_err("it has no flash")
            .to_string();
        assert!(
            error.contains("fewbit verify --board mps2-an386"),
            "{error}"
        );
    }
}
