//! `fewbit size`: the flash and RAM that a model takes on a board.
//!
//! The runtime's own flash is that of the smallest firmware that runs the model, `boards/bare`, without the model: only the
//! kernels that it needs are linked. Stack is measured by running the shared application in the emulator, and bounded by
//! the call graph of the same file (`bounds`). With `--base`
//! the same is measured in a checkout of another revision, by that revision's own sources.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit::random::Random;
use fewbit_device::{
    board::Board,
    bounds,
    firmware::{self, Firmware},
    process,
    semihosted::{self, Options},
};
use fewbit_runtime::Summary;
use serde::{Deserialize, Serialize};

use crate::{Environment, error_text, source, table, write_json};

/// Time limit of the other revision's build and measurement.
const BASE_LIMIT: Duration = Duration::from_secs(1800);

/// Arguments of `size`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Blob; default: the built-in digits network, packed for the board.
    blob: Option<PathBuf>,
    /// Board to build for, a folder of `boards/`.
    #[arg(long, default_value = "mps2-an386")]
    board: String,
    /// Compare with this revision of the repository, such as HEAD or HEAD~1.
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Bytes of a model on a board; the keys are an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Name of the board.
    pub board: String,
    /// Code and constants of the smallest firmware, in bytes: runtime, start-up and the compiler's support; none on a chip that does
    /// not start without its HAL.
    pub runtime_flash_bytes: Option<u64>,
    /// Code and constants of the shared application, including the runtime, in bytes.
    pub application_flash_bytes: u64,
    /// Length of the blob, which is in flash too.
    pub blob_bytes: u64,
    /// Bytes of the arena: activations and scratch.
    pub arena_bytes: u64,
    /// Bytes of the shared application's variables, including the arena.
    pub static_ram_bytes: u64,
    /// Deepest stack of an inference in the shared application, in bytes; none on a board that is not emulated.
    pub stack_bytes: Option<u64>,
    /// Bound of the shared application's stack by its call graph, in bytes, without exceptions and paths into a panic; none
    /// if the graph has no bound. Other revisions may lack it.
    #[serde(default)]
    pub stack_bound_bytes: Option<u64>,
    /// Bytes of the board's flash.
    pub board_flash_bytes: u64,
    /// Bytes of the board's RAM.
    pub board_ram_bytes: u64,
}

/// Measures, prints and, if requested, compares.
///
/// # Errors
///
/// If the blob cannot be run on the board, or the other revision does not build or has no such command.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let repository = environment.repository()?;
    let board = Board::load(&repository, &args.board)?;
    let blob = match &args.blob {
        Some(path) => fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => {
            let (quantized, _) = source::digits(board.isa)?;
            quantized.blob.as_bytes().to_vec()
        }
    };
    let sizes = measure(&board, &blob)?;
    let base = match &args.base {
        Some(revision) => Some(measure_base(
            repository.root(),
            revision,
            &args.board,
            &blob,
        )?),
        None => None,
    };
    print(&sizes, base.as_ref())?;
    write_json(args.json.as_deref(), &sizes)
}

/// Figures of `blob` on `board`.
///
/// # Errors
///
/// If it cannot be built or run.
pub fn measure(board: &Board, blob: &[u8]) -> Result<Sizes> {
    let bare = firmware::bare_sizes(board, blob)?;
    let application = firmware::build_bytes(board, blob)?;
    let (stack_bytes, stack_bound_bytes) = stack(board, &application)?;
    Ok(Sizes {
        board: board.name.clone(),
        runtime_flash_bytes: bare.map(|sizes| sizes.flash_bytes),
        application_flash_bytes: application.flash_bytes,
        blob_bytes: application.blob_bytes,
        arena_bytes: Summary::from_bytes(blob)?.arena_bytes.into(),
        static_ram_bytes: application.static_ram_bytes,
        stack_bytes,
        stack_bound_bytes,
        board_flash_bytes: board.flash_bytes,
        board_ram_bytes: board.ram_bytes,
    })
}

/// Deepest stack of one inference if the board is emulated, and its bound by the call graph if there is one; both in bytes and
/// from reset on.
///
/// # Errors
///
/// If the firmware cannot be run, or its stack exceeds the bound.
pub fn stack(board: &Board, application: &Firmware) -> Result<(Option<u64>, Option<u64>)> {
    let elf = fs::read(&application.elf)
        .with_context(|| format!("cannot read {}", application.elf.display()))?;
    let bound = match bounds::until_a_panic(board, &elf) {
        Ok(bounds) => {
            for reason in &bounds.unbounded {
                note!("the stack has no bound: {reason}");
            }
            for circle in &bounds.recursion {
                note!(
                    "the stack has no bound: functions call each other: {}",
                    circle.join(", ")
                );
            }
            bounds.stack_bytes
        }
        Err(error) => {
            note!("the stack has no bound: {}", error_text(&error));
            None
        }
    };
    if board.qemu.is_none() {
        return Ok((None, bound));
    }
    let input = semihosted::model_facts(board, application)?.input_bytes;
    let input = Random::new(1).bytes(input);
    let run = semihosted::run_firmware(board, application, &[input], &Options::default())?;
    let measured = run.stack_bytes as u64;
    if let Some(bound) = bound
        && measured > bound
    {
        bail!("the stack was {measured} bytes deep, more than its bound of {bound}");
    }
    Ok((Some(measured), bound))
}

/// The same figures for the sources of another revision, checked out in a temporary folder.
fn measure_base(root: &Path, revision: &str, board: &str, blob: &[u8]) -> Result<Sizes> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let checkout = folder.path().join("base");
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["worktree", "add", "--quiet", "--detach"])
        .arg(&checkout)
        .arg(revision);
    process::run(&mut git, BASE_LIMIT)
        .with_context(|| format!("cannot check out {revision:?}; --base takes a revision"))?;
    let sizes = measure_in(root, &checkout, folder.path(), board, blob);
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["worktree", "remove", "--force"])
        .arg(&checkout);
    // A checkout that cannot be removed is reported, and takes nothing from the figures.
    if let Err(error) = process::run(&mut git, BASE_LIMIT) {
        note!("warning: {}", error_text(&error));
    }
    sizes.with_context(|| format!("the sizes of {revision}"))
}

fn measure_in(
    root: &Path,
    checkout: &Path,
    folder: &Path,
    board: &str,
    blob: &[u8],
) -> Result<Sizes> {
    let (blob_file, json) = (folder.join("model.fewbit"), folder.join("sizes.json"));
    fs::write(&blob_file, blob).context("cannot write the blob")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    process::clean_cargo_environment(&mut cargo);
    cargo
        .current_dir(checkout)
        // Host crates are the same for most part; the checkout's devices build in its own folder.
        .env("CARGO_TARGET_DIR", root.join("target"))
        .args(["run", "--quiet", "--package", "xtask", "--", "size"])
        .arg(&blob_file)
        .args(["--board", board, "--json"])
        .arg(&json)
        // Its table, which is a column of this one's.
        .stdout(Stdio::null());
    process::run(&mut cargo, BASE_LIMIT)?;
    let text = fs::read_to_string(&json).context("it wrote no figures")?;
    let sizes: Sizes = serde_json::from_str(&text).context("its figures have other fields")?;
    if sizes.board != board {
        bail!("it measured {}", sizes.board);
    }
    Ok(sizes)
}

fn print(sizes: &Sizes, base: Option<&Sizes>) -> Result<()> {
    let mut rows = table(&["", "bytes", "base", "of the board"]);
    let share = |bytes: u64, of: u64| format!("{:.1} %", 100.0 * bytes as f64 / of.max(1) as f64);
    let mut row = |name: &str, get: &dyn Fn(&Sizes) -> Option<u64>, of: Option<u64>| {
        let Some(bytes) = get(sizes) else { return };
        let base = base.and_then(get).map_or_else(
            || "-".to_owned(),
            |base| format!("{base} ({:+})", bytes.cast_signed() - base.cast_signed()),
        );
        rows.add_row([
            name.to_owned(),
            bytes.to_string(),
            base,
            of.map_or_else(|| "-".to_owned(), |of| share(bytes, of)),
        ]);
    };
    let (flash, ram) = (Some(sizes.board_flash_bytes), Some(sizes.board_ram_bytes));
    row(
        "flash: runtime, least firmware",
        &|s| s.runtime_flash_bytes,
        None,
    );
    row(
        "flash: shared application",
        &|s| Some(s.application_flash_bytes),
        None,
    );
    row("flash: blob", &|s| Some(s.blob_bytes), None);
    row(
        "flash: application and blob",
        &|s| Some(s.application_flash_bytes + s.blob_bytes),
        flash,
    );
    row("RAM: arena", &|s| Some(s.arena_bytes), None);
    row(
        "RAM: variables, arena in them",
        &|s| Some(s.static_ram_bytes),
        None,
    );
    row("RAM: stack, measured", &|s| s.stack_bytes, None);
    row("RAM: stack, bound", &|s| s.stack_bound_bytes, None);
    row(
        "RAM: all",
        &|s| Some(s.static_ram_bytes + s.stack_bytes?),
        ram,
    );
    say!("{}\n{rows}", sizes.board)
}
