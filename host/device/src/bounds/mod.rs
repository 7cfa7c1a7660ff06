//! Analysis of a firmware's machine code: panics, recursion, its stack.
//!
//! An ELF file of a board is disassembled and followed from its entry, which includes loading a blob and running it. The results hold
//! for any blob with the firmware's kernels, and for any input.

mod arm;
mod flow;
pub mod graph;
mod image;
mod riscv;
mod state;
mod step;
#[cfg(test)]
mod tests;

use anyhow::Result;

use crate::{board::Board, elf};
use graph::Bounds;
use image::Image;

/// Analyses the call graph of a board's firmware; functions of panics are not followed, as they end it.
///
/// # Errors
///
/// If the file is not an ELF file with symbols, or there is no disassembler.
pub fn until_a_panic(board: &Board, bytes: &[u8]) -> Result<Bounds> {
    of_elf(board, bytes, &elf::can_panic)
}

/// Analyses the call graph of a board's firmware; functions for which `ends` holds are not followed.
///
/// # Errors
///
/// As [`until_a_panic`].
pub fn of_elf(board: &Board, bytes: &[u8], ends: &dyn Fn(&str) -> bool) -> Result<Bounds> {
    let target = board.target.as_str();
    // The core with the most instructions of those of a target.
    let cpu = match target.split('-').next() {
        Some("thumbv6m") => "cortex-m0",
        Some("thumbv7m") => "cortex-m3",
        Some("thumbv7em") => "cortex-m7",
        Some("thumbv8m.main") => "cortex-m55",
        _ => "generic",
    };
    let image = Image::load(bytes, cpu)?;
    Ok(graph::bounds(&image, target.ends_with("hf"), ends))
}
