//! `cargo xtask boards`: every board, and what rules a blob out on it.
//!
//! Nothing is built: the blob's own flash and arena are held against the board's memories. Code, variables and most of
//! the stack come on top, so a blob that is ruled out is so for certain, and one that is not may still be too large.

mod matrix;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use fewbit::report::table;
use fewbit_runtime::Summary;

use crate::{
    board::{self, Board},
    firmware::STACK_BYTES,
};

/// Arguments of `cargo xtask boards`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Blobs to hold against the boards' memories.
    blobs: Vec<PathBuf>,
    /// Verify the digits, the keyword network and ResNet8 on every emulated board instead.
    #[arg(long, conflicts_with = "blobs")]
    verify: bool,
    /// With --verify: inputs of each network on each board.
    #[arg(long, default_value_t = 20, value_name = "N", requires = "verify", value_parser = at_least_one)]
    limit: usize,
    /// With --verify: write the result as JSON.
    #[arg(long, value_name = "FILE", requires = "verify")]
    json: Option<PathBuf>,
}

/// A number of inputs: none would leave nothing to verify.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 leaves nothing to verify".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// Lists the boards; with blobs, a row for every board and blob. With `--verify`, runs networks on them.
///
/// # Errors
///
/// If a board's file or a blob cannot be read; with `--verify`, whatever keeps a network from being run, and outputs that
/// differ.
pub fn task(args: &Args) -> Result<()> {
    if args.verify {
        return matrix::task(args.limit, args.json.as_deref());
    }
    let boards = board::all()?;
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
            "left: for code, variables and stack, which come on top; `cargo xtask verify` builds and shows them"
        )?;
    }
    Ok(())
}

/// What a memory has left beside `bytes`; negative where they are too many.
fn left(room: u64, bytes: u32) -> i64 {
    room.cast_signed() - i64::from(bytes)
}

/// What keeps a blob from running on a board whatever the firmware around it; RAM must hold the least stack too.
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
        let blob = crate::sample::two_tables(16).expect("a valid sample");
        let mut summary = Summary::from_bytes(&blob).expect("a valid blob");
        let board = Board::load("microbit").expect("a committed board");
        assert_eq!(ruled_out(&board, &summary), None);
        // 16 KiB, less 2 KiB of stack.
        summary.arena_bytes = 14 * 1024;
        assert_eq!(ruled_out(&board, &summary), None);
        summary.arena_bytes += 1;
        assert_eq!(ruled_out(&board, &summary), Some("RAM"));
        summary.length = 256 * 1024 + 1;
        assert_eq!(ruled_out(&board, &summary), Some("flash"));
        summary.packing = fewbit_runtime::format::packing::Packing::Dsp;
        assert_eq!(ruled_out(&board, &summary), Some("packing"));
    }
}
