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
pub mod kernels;
mod lifetimes;
#[cfg(feature = "std")]
pub mod metadata;
pub mod packing;
pub mod program;
pub mod read;
#[cfg(all(test, feature = "std"))]
mod tests;
mod work;
#[cfg(feature = "std")]
pub mod write;

/// What may lie over what, for planners.
#[cfg(feature = "std")]
pub mod overlap {
    use super::packing::Packing;
    use super::program::{Op, Tensor};

    /// How many bytes the output must start before the input `input` that it may be written over, with the scratch that the operator
    /// has; `None` where it may not, or only in its very place. Depthwise convolutions are at their best whole rows apart.
    #[must_use]
    pub fn distance(op: &Op, packing: Packing, input: &Tensor, output: &Tensor) -> Option<u64> {
        super::lifetimes::distance(op, packing, input, output).map(u64::from)
    }
}

/// The format version that this crate reads and writes.
pub const VERSION: u16 = 1;

/// Alignment of the blob in memory and of its sections and weights, in bytes.
pub const ALIGNMENT: u32 = 16;

/// Largest arena that a blob may ask for, in bytes.
pub const MAX_ARENA_BYTES: u32 = 1 << 26;

/// Most elementary operations (multiply-accumulates, window positions, elements) that one inference may take; keeps a
/// forged blob from running for ever. Far above any network of use: a caller's own limit is [`read::Model::with_work_limit`]'s.
pub const MAX_WORK: u64 = 1 << 36;

/// How many times a blob's length its operators' weights, parameters and clamps may be, counting what they share for each of them: so much is read to
/// check them. Blobs that share nothing need less than 1. So many times its length, too, may operators and the tensors that are needed beside them be
/// compared: as an operator with its output takes 14 bytes at least, that allows for 224 such tensors at each.
pub const CHECK_FACTOR: u64 = 16;
