//! The bytes of a `.fewbit` blob.
//!
//! Header, program and metadata, read and (on the host) written. Byte tables: `docs/model-format.md`. Writer and reader share the types of [`program`], so they cannot disagree; what a program
//! means and whether it may run is for [`load`](crate::load) to say.
//!
//! Under `cfg(fuzzing)` the CRC is not compared, so that a fuzzer gets past it.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, reason = "a test may fail"))]

pub mod aligned;
pub mod family;
pub mod header;
#[cfg(feature = "std")]
pub mod metadata;
pub mod place;
pub mod program;
#[cfg(feature = "std")]
pub mod write;

/// The format version that this crate reads and writes.
pub const VERSION: u16 = 1;

/// Alignment of the blob in memory and of its sections and weights, in bytes.
pub const ALIGNMENT: u32 = 16;
