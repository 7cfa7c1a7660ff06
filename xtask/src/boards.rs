//! `cargo xtask boards`: every board, and what of a blob fits it.
//!
//! Nothing is built: the blob's own flash and arena are held against the board's memories. Code, variables and stack
//! come on top, so that a board without room is certain, and one with little room is shown by how much it has left.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use fewbit::report::table;
use fewbit_runtime::Summary;

use crate::board::{self, Board};

/// Arguments of `cargo xtask boards`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Blobs to hold against the boards' memories.
    blobs: Vec<PathBuf>,
}

/// Lists the boards; with blobs, a row for every board and blob.
///
/// # Errors
///
/// If a board's file or a blob cannot be read.
pub fn task(args: &Args) -> Result<()> {
    let boards = board::all()?;
    let mut list = table(&["board", "core", "kernels", "runs", "flash", "RAM"]);
    for board in &boards {
        list.add_row([
            board.name.clone(),
            board.cpu.clone(),
            board.isa.name().to_owned(),
            if board.qemu.is_some() { "QEMU" } else { "-" }.to_owned(),
            format!("{} B", board.flash_bytes),
            format!("{} B", board.ram_bytes),
        ]);
    }
    println!("{list}");
    for path in &args.blobs {
        let blob = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let summary = match Summary::from_bytes(&blob) {
            Ok(summary) => summary,
            Err(error) => bail!(
                "{} is not a blob that the runtime can run: {error}",
                path.display()
            ),
        };
        println!(
            "\n{}: {} B of flash, {} B of arena, packed for `{}`",
            path.display(),
            summary.length,
            summary.arena_bytes,
            summary.packing.name()
        );
        let mut fit = table(&["board", "flash left", "RAM left", "fits"]);
        for board in &boards {
            let flash = left(board.flash_bytes, summary.length);
            let ram = left(board.ram_bytes, summary.arena_bytes);
            fit.add_row([
                board.name.clone(),
                format!("{flash} B"),
                format!("{ram} B"),
                verdict(board, &summary).to_owned(),
            ]);
        }
        println!("{fit}");
    }
    if !args.blobs.is_empty() {
        println!(
            "left: for code, variables and stack, which come on top; `cargo xtask verify` builds and shows them"
        );
    }
    Ok(())
}

/// What a memory has left beside `bytes`; negative where they are too many.
fn left(room: u64, bytes: u32) -> i64 {
    room.cast_signed() - i64::from(bytes)
}

/// Whether a blob can run on a board, as far as the blob itself goes.
fn verdict(board: &Board, summary: &Summary) -> &'static str {
    if !board.isa.runs(summary.packing) {
        "no: packed for other kernels"
    } else if left(board.flash_bytes, summary.length) < 0 {
        "no: flash"
    } else if left(board.ram_bytes, summary.arena_bytes) < 0 {
        "no: RAM"
    } else {
        "yes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_packing_decide_what_fits() {
        let blob = crate::sample::two_tables(16).expect("a valid sample");
        let mut summary = Summary::from_bytes(&blob).expect("a valid blob");
        let board = Board::load("microbit").expect("a committed board");
        assert_eq!(verdict(&board, &summary), "yes");
        summary.arena_bytes = 16 * 1024;
        assert_eq!(verdict(&board, &summary), "yes", "the whole RAM");
        summary.arena_bytes += 1;
        assert_eq!(verdict(&board, &summary), "no: RAM");
        summary.length = 256 * 1024 + 1;
        assert_eq!(verdict(&board, &summary), "no: flash");
        summary.packing = fewbit_runtime::format::packing::Packing::Dsp;
        assert_eq!(verdict(&board, &summary), "no: packed for other kernels");
    }
}
