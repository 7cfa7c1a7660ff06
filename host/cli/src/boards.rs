//! `fewbit boards`: all boards, and why blobs do not run on them.
//!
//! Nothing is built: the blob's own flash and arena are compared with the board's memories. Code, variables and most of
//! the stack need more, so a blob that is ruled out certainly does not run, and another one may still be too large.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use fewbit_device::{
    board::{self, Board},
    firmware::STACK_BYTES,
};
use fewbit_runtime::Summary;

use crate::{Environment, table};

/// Arguments of `boards`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Blobs to compare with the boards' memories.
    blobs: Vec<PathBuf>,
}

/// Lists the boards; with blobs, one row per board and blob.
///
/// # Errors
///
/// If there is no repository, or a board's file or a blob cannot be read.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let boards = board::all(&environment.repository()?)?;
    let mut list = table(&["board", "core", "kernels", "runs", "flash", "RAM"]);
    for board in &boards {
        list.add_row([
            board.name.clone(),
            board.cpu.clone(),
            board.isa.name().to_owned(),
            match &board.probe {
                Some(probe) => format!("probe-rs: {}", probe.chip),
                None => "QEMU".to_owned(),
            },
            format!("{} B", board.flash_bytes),
            format!("{} B", board.ram_bytes),
        ]);
    }
    say!("{list}")?;
    for path in &args.blobs {
        let blob = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let summary = match Summary::from_bytes(&blob) {
            Ok(summary) => summary,
            Err(error) => bail!(
                "{} is not a blob that the runtime can run: {error}",
                path.display()
            ),
        };
        say!(
            "\n{}: {} B of flash, {} B of arena, packed for `{}`",
            path.display(),
            summary.length,
            summary.arena_bytes,
            summary.packing.name()
        )?;
        let mut fit = table(&["board", "flash left", "RAM left", "ruled out by"]);
        for board in &boards {
            let flash = left(board.flash_bytes, summary.length);
            let ram = left(board.ram_bytes, summary.arena_bytes);
            fit.add_row([
                board.name.clone(),
                format!("{flash} B"),
                format!("{ram} B"),
                ruled_out(board, &summary).unwrap_or("-").to_owned(),
            ]);
        }
        say!("{fit}")?;
    }
    if !args.blobs.is_empty() {
        say!(
            "left: what remains for code, variables and stack; `{} verify` builds and shows them",
            environment.program
        )?;
    }
    Ok(())
}

/// Bytes of a memory that remain beside `bytes`; negative if there are too few.
fn left(room: u64, bytes: u32) -> i64 {
    room.cast_signed() - i64::from(bytes)
}

/// Reason why a blob cannot run on a board with any firmware; RAM must hold the smallest stack too.
fn ruled_out(board: &Board, summary: &Summary) -> Option<&'static str> {
    if !board.isa.runs(summary.packing) {
        Some("packing")
    } else if left(board.flash_bytes, summary.length) < 0 {
        Some("flash")
    } else if left(board.ram_bytes, summary.arena_bytes) < STACK_BYTES.cast_signed() {
        Some("RAM")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_packing_rule_a_blob_out() {
        let blob = fewbit_device::sample::two_tables(16).expect("a valid sample");
        let mut summary = Summary::from_bytes(&blob).expect("a valid blob");
        let board = Board::load(
            &Environment::of_suites().repository().expect("found"),
            "microbit",
        )
        .expect("a committed board");
        assert_eq!(ruled_out(&board, &summary), None);
        // 16 KiB, less 2 KiB of stack.
        summary.arena_bytes = 14 * 1024;
        assert_eq!(ruled_out(&board, &summary), None);
        summary.arena_bytes += 1;
        assert_eq!(ruled_out(&board, &summary), Some("RAM"));
        summary.length = 256 * 1024 + 1;
        assert_eq!(ruled_out(&board, &summary), Some("flash"));
        summary.packing = fewbit_runtime::format::family::Family::Dsp;
        assert_eq!(ruled_out(&board, &summary), Some("packing"));
    }
}
