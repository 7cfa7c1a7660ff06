//! The DSP family: Cortex-M4, M7 and M33.
//!
//! Hot loops are assembly, each with a portable model beside it that computes the same from the same bytes: host tools and tests run the
//! models, so that the code around the loops (packing, padding, tails) is the same on the host and on the chip. Operators without
//! a file here are those of the scalar family.
//!
//! Assembly is the only unsafe code of the crate. Every call checks lengths and alignments first; for a checked model
//! these checks never fail.

// In one piece, as the files share macros.
#[cfg(fewbit_family = "dsp")]
#[allow(
    unsafe_code,
    reason = "loops in assembly; they are called by safe functions that check what they are given"
)]
mod loops {
    // The assembler has to be told that a Cortex-M33 has these instructions.
    #[cfg(fewbit_core = "v8m")]
    core::arch::global_asm!(
        ".cpu cortex-m33",
        include_str!("multiply.s"),
        include_str!("vector.s"),
        include_str!("expand.s"),
        include_str!("../planar/lines.s"),
        include_str!("add.s")
    );
    #[cfg(not(fewbit_core = "v8m"))]
    core::arch::global_asm!(
        include_str!("multiply.s"),
        include_str!("vector.s"),
        include_str!("expand.s"),
        include_str!("../planar/lines.s"),
        include_str!("add.s")
    );
}

mod add;
mod conv2d;
mod expand;
mod fully_connected;
mod multiply;
mod vector;

pub(super) use add::add;
pub(super) use conv2d::conv2d;
pub(super) use fully_connected::fully_connected;

/// Products that the loops take at a time.
const QUAD: usize = 4;
