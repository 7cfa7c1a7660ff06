//! The model this firmware was built with.
//!
//! `build.rs` writes the constants from the blob that `FEWBIT_BLOB` named.

/// Puts bytes on a 16-byte boundary, which the blob's sections are laid out for.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Aligned<B: ?Sized>(pub B);

include!(concat!(env!("OUT_DIR"), "/model.rs"));
