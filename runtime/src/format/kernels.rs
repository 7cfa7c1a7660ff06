//! Which kernels a build links.
//!
//! Firmware for one model needs the kernels of its operators and no others. A build script asks for them with [`kernels_of`] and gives the number to
//! [`Model`](crate::Model); what is not in it is left out by the linker, and a blob that needs it is refused.

use super::program::Op;

/// Every kernel: what a model has that says nothing else.
pub const ALL_KERNELS: u32 = u32::MAX;

/// The bit of the kernel that an operator needs.
#[must_use]
pub const fn kernel_of(op: &Op) -> u32 {
    match op {
        Op::Conv2d(op) if op.weight_type.is_paired() => PAIRED_CONV_2D,
        Op::Conv2d(_) => CONV_2D,
        Op::DepthwiseConv2d(_) => DEPTHWISE_CONV_2D,
        Op::FullyConnected(op) if op.weight_type.is_paired() => PAIRED_FULLY_CONNECTED,
        Op::FullyConnected(_) => FULLY_CONNECTED,
        Op::MaxPool(_) => MAX_POOL,
        Op::AveragePool(_) => AVERAGE_POOL,
        Op::Add(_) => ADD,
        Op::Mul(_) => MUL,
        Op::Lut(_) => LUT,
        Op::Softmax(_) => SOFTMAX,
        Op::Reshape(_) => 0,
        Op::Transpose(_) => TRANSPOSE,
        Op::Concat(_) => CONCAT,
        Op::Pad(_) => PAD,
        Op::Constant(_) => CONSTANT,
    }
}

pub(crate) const CONV_2D: u32 = 1;
pub(crate) const PAIRED_CONV_2D: u32 = 1 << 1;
pub(crate) const DEPTHWISE_CONV_2D: u32 = 1 << 2;
pub(crate) const FULLY_CONNECTED: u32 = 1 << 3;
pub(crate) const PAIRED_FULLY_CONNECTED: u32 = 1 << 4;
pub(crate) const MAX_POOL: u32 = 1 << 5;
pub(crate) const AVERAGE_POOL: u32 = 1 << 6;
pub(crate) const ADD: u32 = 1 << 7;
pub(crate) const MUL: u32 = 1 << 8;
pub(crate) const LUT: u32 = 1 << 9;
pub(crate) const SOFTMAX: u32 = 1 << 10;
pub(crate) const TRANSPOSE: u32 = 1 << 11;
pub(crate) const CONCAT: u32 = 1 << 12;
pub(crate) const PAD: u32 = 1 << 13;
pub(crate) const CONSTANT: u32 = 1 << 14;

/// The kernels that a blob needs.
///
/// # Errors
/// As [`Summary::from_bytes`](crate::Summary::from_bytes), and [`LoadError::Program`](crate::LoadError::Program) for a program that cannot be decoded.
#[cfg(feature = "std")]
pub fn kernels_of(blob: &[u8]) -> Result<u32, crate::LoadError> {
    let (header, blob) = super::header::Header::check(blob)?;
    let program: super::write::ProgramParts =
        postcard::from_bytes(header.program.of(blob)).map_err(|_| crate::LoadError::Program)?;
    Ok(program.ops.iter().fold(0, |mask, op| mask | kernel_of(op)))
}
