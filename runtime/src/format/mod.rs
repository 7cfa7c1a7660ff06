//! The `.fewbit` blob: reading, checking, and (on the host) writing.
//!
//! Byte tables: `docs/model-format.md`. A blob is untrusted input: [`read::Model::from_bytes`] checks everything once, and
//! what it accepts, the kernels may rely on. Writer and reader share the types of [`program`], so they cannot disagree.
//!
//! Under `cfg(fuzzing)` the CRC is not compared, so that a fuzzer gets past it.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may fail"))]

pub mod aligned;
mod check;
pub mod header;
mod lifetimes;
#[cfg(feature = "std")]
pub mod metadata;
pub mod packing;
pub mod program;
pub mod read;
#[cfg(all(test, feature = "std"))]
mod tests;
mod work;

/// What may lie over what, for planners.
#[cfg(feature = "std")]
pub mod overlap {
    use super::program::{Op, Tensor};

    /// How many bytes the output must start before the input `input` that it may be written over; `None` where it may not, or only in its
    /// very place. The distance of a depthwise convolution is to be a multiple of a row, so that every kernel family is at its best.
    #[must_use]
    pub fn distance(op: &Op, input: &Tensor, output: &Tensor) -> Option<u64> {
        match op {
            Op::Conv2d(conv) => Some(super::lifetimes::row_distance(input, &conv.window, output)),
            Op::DepthwiseConv2d(conv) if input.c == output.c => {
                let row = u64::from(output.w) * u64::from(output.c);
                let distance = super::lifetimes::row_distance(input, &conv.window, output);
                Some(distance.next_multiple_of(row.max(1)))
            }
            Op::MaxPool(pool) => Some(super::lifetimes::row_distance(input, &pool.window, output)),
            Op::AveragePool(pool) => Some(super::lifetimes::row_distance(input, &pool.window, output)),
            _ => None,
        }
    }
}
#[cfg(feature = "std")]
pub mod write;

/// The format version that this crate reads and writes.
pub const VERSION: u16 = 1;

/// Alignment of the blob in memory and of its sections and weights, in bytes.
pub const ALIGNMENT: u32 = 16;

/// Largest arena that a blob may ask for, in bytes.
pub const MAX_ARENA_BYTES: u32 = 1 << 26;

/// Most elementary operations (multiply-accumulates, window positions, elements) that one inference may take; keeps a
/// forged blob from running for ever.
pub const MAX_WORK: u64 = 1 << 36;
