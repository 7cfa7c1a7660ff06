//! Needs and permissions of an operator, for planners and build scripts.

use super::ops;
use super::rules::InPlace;
use super::site::Site;
use crate::format::family::Family;
use crate::format::program::{Op, Tensor};
use crate::parts::AllKernels;
#[cfg(feature = "std")]
use crate::parts::KernelSet;

/// Bytes of scratch that the family's kernel needs for an operator with its weights as they are; 0 for most.
///
/// Only weights in pairs require scratch. Other convolutions are slower without, and cannot work in place.
#[must_use]
pub fn scratch_bytes(op: &Op, tensors: &[Tensor], packing: Family) -> u64 {
    ops::scratch_bytes::<AllKernels>(op, &Site { tensors, packing })
}

/// Place of an operator's output, with the scratch that it has, over its input at `position` of [`Op::inputs`], if it reads that for the
/// last time. The tensors' current places do not matter.
///
/// This is the loader's own rule, for planners. An input that the operator reads at several positions must satisfy all of them.
#[must_use]
pub fn in_place(op: &Op, position: usize, tensors: &[Tensor], packing: Family) -> InPlace {
    ops::in_place::<AllKernels>(op, position, &Site { tensors, packing })
}

/// Returns the kernels that a blob needs.
///
/// # Errors
/// As [`Summary::from_bytes`](crate::Summary::from_bytes), and [`LoadError::Program`](crate::LoadError::Program) for a program that cannot be decoded.
#[cfg(feature = "std")]
pub fn kernels_of(blob: &[u8]) -> Result<KernelSet, crate::LoadError> {
    let (header, blob) = crate::format::header::Header::check(blob)?;
    let program: crate::format::write::ProgramParts =
        postcard::from_bytes(header.program.of(blob)).map_err(|_| crate::LoadError::Program)?;
    let site = Site {
        tensors: &program.tensors,
        packing: header.packing(),
    };
    let parts = program
        .ops
        .iter()
        .map(|op| ops::parts::<AllKernels>(op, &site));
    Ok(parts.fold(KernelSet::NONE, KernelSet::or))
}
