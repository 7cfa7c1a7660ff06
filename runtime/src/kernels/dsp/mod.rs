//! The DSP family: Cortex-M4, M7 and M33, with the 16-bit pair instructions of the DSP extension.
//!
//! Hot loops are assembly, each with a portable model beside it that computes the same from the same bytes: host tools and tests run the
//! models, so that what surrounds the loops (packing, padding, tails) is the same code on the desk and on the chip. Operators without
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
    core::arch::global_asm!(
        include_str!("multiply.s"),
        include_str!("vector.s"),
        include_str!("expand.s"),
        include_str!("depthwise.s"),
        include_str!("add.s")
    );
}

mod add;
mod conv2d;
mod depthwise_conv2d;
mod expand;
mod fully_connected;
mod lines;
mod multiply;
mod vector;

pub(super) use add::add;
pub(super) use conv2d::conv2d;
pub(super) use depthwise_conv2d::depthwise_conv2d;
pub(super) use fully_connected::fully_connected;

use crate::format::program::Window;
use core::cell::Cell;

pub(crate) use depthwise_conv2d::scratch_bytes as depthwise_scratch_bytes;

/// Bytes of scratch for a convolution with weights in pairs.
pub(crate) fn conv2d_scratch_bytes(window: &Window, in_channels: u64) -> u64 {
    let taps = u64::from(window.kernel_h) * u64::from(window.kernel_w);
    let quads = taps.saturating_mul(in_channels).div_ceil(QUAD as u64);
    let expanded = quads.saturating_mul(multiply::STEP_BYTES as u64);
    let rest = if in_channels % QUAD as u64 == 0 {
        in_channels
    } else {
        quads.saturating_mul(16)
    };
    expanded
        .saturating_add(rest)
        .saturating_add(multiply::SUMS_BYTES as u64)
}

/// Products that the loops take at a time.
const QUAD: usize = 4;

/// Reads the int16 at place `index` of a row of them.
#[inline]
fn int16(cells: &[Cell<i8>], index: usize) -> i16 {
    match cells.get(2 * index..2 * index + 2) {
        Some([low, high]) => {
            i16::from_le_bytes([low.get().cast_unsigned(), high.get().cast_unsigned()])
        }
        _ => 0,
    }
}

/// Writes the int16 at place `index` of a row of them.
#[inline]
fn set_int16(cells: &[Cell<i8>], index: usize, value: i16) {
    if let Some([low, high]) = cells.get(2 * index..2 * index + 2) {
        let [a, b] = value.to_le_bytes();
        low.set(a.cast_signed());
        high.set(b.cast_signed());
    }
}

/// Whether `cells` starts at a multiple of 4, as the loops need it where they load words two or more at a time.
#[cfg(fewbit_family = "dsp")]
fn is_aligned(cells: &[Cell<i8>]) -> bool {
    cells.as_ptr().addr() % 4 == 0
}
