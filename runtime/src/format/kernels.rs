//! Which kernels a build links.
//!
//! Firmware for one model needs the kernels of its operators and no others. A build script asks for them with [`kernels_of`] and gives the number to
//! [`Model`](crate::Model); what is not in it is left out by the linker, and a blob that needs it is refused.
//!
//! A bit is an operator, or a part of a kernel that only some of its layers need: int4 weights, a stride of 2, windows
//! whose pixels are no whole words. Bits are no part of the blob, and may mean something else in another version.

use super::packing::Packing;
use super::program::{Clamp, Conv2d, Op, Requant, Tensor, TensorIndex, WeightType, Window};

/// Every kernel: what a model has that says nothing else.
pub const ALL_KERNELS: u32 = u32::MAX;

// Operators.
pub(crate) const CONV_2D: u32 = 1;
pub(crate) const PAIRED_CONV_2D: u32 = 1 << 1;
pub(crate) const FULLY_CONNECTED: u32 = 1 << 2;
pub(crate) const PAIRED_FULLY_CONNECTED: u32 = 1 << 3;
pub(crate) const MAX_POOL: u32 = 1 << 4;
pub(crate) const AVERAGE_POOL: u32 = 1 << 5;
pub(crate) const ADD: u32 = 1 << 6;
pub(crate) const MUL: u32 = 1 << 7;
pub(crate) const LUT: u32 = 1 << 8;
pub(crate) const SOFTMAX: u32 = 1 << 9;
pub(crate) const TRANSPOSE: u32 = 1 << 10;
pub(crate) const CONCAT: u32 = 1 << 11;
pub(crate) const PAD: u32 = 1 << 12;
pub(crate) const CONSTANT: u32 = 1 << 13;
pub(crate) const RESHAPE: u32 = 1 << 14;

// Depthwise convolutions: 3x3 by the stride along the line, other windows, windows of too many taps, vectors.
pub(crate) const DEPTHWISE_3X3_STRIDE_1: u32 = 1 << 15;
pub(crate) const DEPTHWISE_3X3_STRIDE_2: u32 = 1 << 16;
pub(crate) const DEPTHWISE_ANY: u32 = 1 << 17;
pub(crate) const DEPTHWISE_LARGE: u32 = 1 << 18;
pub(crate) const DEPTHWISE_VECTORS: u32 = 1 << 19;
/// More than a multiplication and a saturation to int8 behind a 3x3 depthwise convolution.
pub(crate) const DEPTHWISE_GENERAL: u32 = 1 << 20;

// What layers with weights may have.
pub(crate) const INT8_WEIGHTS: u32 = 1 << 21;
pub(crate) const INT4_WEIGHTS: u32 = 1 << 22;
/// Weights in pairs of an odd number of output channels.
pub(crate) const ODD_CHANNELS: u32 = 1 << 23;

// How windows of a convolution with weights in pairs are read.
pub(crate) const POINTWISE_WINDOWS: u32 = 1 << 24;
pub(crate) const WORD_WINDOWS: u32 = 1 << 25;
pub(crate) const BYTE_WINDOWS: u32 = 1 << 26;

// What came later.
pub(crate) const SCALED_SOFTMAX: u32 = 1 << 27;
/// Pools whose windows have dilations.
pub(crate) const DILATED_POOLS: u32 = 1 << 28;

// Several bits of which any will do.
pub(crate) const ANY_CONV_2D: u32 = CONV_2D | PAIRED_CONV_2D;
pub(crate) const ANY_FULLY_CONNECTED: u32 = FULLY_CONNECTED | PAIRED_FULLY_CONNECTED;
pub(crate) const DEPTHWISE_3X3: u32 = DEPTHWISE_3X3_STRIDE_1 | DEPTHWISE_3X3_STRIDE_2;
pub(crate) const DEPTHWISE_LINES: u32 = DEPTHWISE_3X3 | DEPTHWISE_ANY;
pub(crate) const DEPTHWISE_PLANAR: u32 = DEPTHWISE_LINES | DEPTHWISE_LARGE;
pub(crate) const ANY_DEPTHWISE: u32 = DEPTHWISE_PLANAR | DEPTHWISE_VECTORS;

/// The bits of everything that an operator needs.
///
/// `packing` is the blob's. An index out of range gives some bits; the loader refuses it.
pub(crate) fn kernels_of_op(op: &Op, tensors: &[Tensor], packing: Packing) -> u32 {
    let channels = |index: TensorIndex| {
        tensors
            .get(usize::from(index))
            .map_or(0, |tensor| usize::from(tensor.c))
    };
    let odd = |index: TensorIndex| {
        if channels(index).is_multiple_of(2) {
            0
        } else {
            ODD_CHANNELS
        }
    };
    match op {
        Op::Conv2d(op) if op.weight_type.is_paired() => {
            PAIRED_CONV_2D
                | weights(op.weight_type)
                | windows(&op.window, channels(op.input))
                | odd(op.output)
        }
        Op::Conv2d(op) => CONV_2D | weights(op.weight_type),
        Op::DepthwiseConv2d(op) => depthwise(op, tensors, packing) | weights(op.weight_type),
        Op::FullyConnected(op) if op.weight_type.is_paired() => {
            PAIRED_FULLY_CONNECTED | weights(op.weight_type) | odd(op.output)
        }
        Op::FullyConnected(op) => FULLY_CONNECTED | weights(op.weight_type),
        Op::MaxPool(op) => MAX_POOL | dilated_pool(&op.window),
        Op::AveragePool(op) => AVERAGE_POOL | dilated_pool(&op.window),
        Op::Add(_) => ADD,
        Op::Mul(_) => MUL,
        Op::Lut(_) => LUT,
        Op::Softmax(_) => SOFTMAX,
        Op::Reshape(_) => RESHAPE,
        Op::Transpose(_) => TRANSPOSE,
        Op::Concat(_) => CONCAT,
        Op::Pad(_) => PAD,
        Op::Constant(_) => CONSTANT,
        Op::ScaledSoftmax(_) => SCALED_SOFTMAX,
    }
}

/// Whether a pool's taps are apart.
pub(crate) fn is_dilated(window: &Window) -> bool {
    window.dilation_h != 1 || window.dilation_w != 1
}

fn dilated_pool(window: &Window) -> u32 {
    if is_dilated(window) { DILATED_POOLS } else { 0 }
}

fn weights(weight_type: WeightType) -> u32 {
    match weight_type {
        WeightType::Int8 | WeightType::PairedInt8 => INT8_WEIGHTS,
        WeightType::Int4 | WeightType::PairedInt4 => INT4_WEIGHTS,
    }
}

/// Whether weights are int4; known to the compiler where a build has one type only.
#[inline]
pub(crate) fn is_int4<const KERNELS: u32>(weight_type: WeightType) -> bool {
    KERNELS & INT8_WEIGHTS == 0
        || (KERNELS & INT4_WEIGHTS != 0 && weights(weight_type) == INT4_WEIGHTS)
}

/// How a convolution with weights in pairs reads its windows of `channels` channels: one of three bits.
pub(crate) fn windows(window: &Window, channels: usize) -> u32 {
    let pads = window.pad_top | window.pad_left | window.pad_bottom | window.pad_right;
    if !channels.is_multiple_of(4) {
        BYTE_WINDOWS
    } else if window.kernel_h == 1 && window.kernel_w == 1 && pads == 0 {
        POINTWISE_WINDOWS
    } else {
        WORD_WINDOWS
    }
}

/// Whether an output stage is more than a multiplication and a saturation to int8.
fn is_general(requant: &Requant) -> bool {
    let whole = Clamp::PerTensor {
        min: i8::MIN,
        max: i8::MAX,
    };
    requant.pre_shift != 0 || requant.clamp != whole
}

/// Channels that the vector family takes at a time.
pub(crate) const VECTOR_CHANNELS: usize = 8;

/// Whether a depthwise convolution has the weights and the channels for vectors.
pub(crate) fn is_plain(weight_type: WeightType, inputs: usize, outputs: usize) -> bool {
    weight_type == WeightType::Int8 && inputs == outputs && inputs.is_multiple_of(VECTOR_CHANNELS)
}

fn depthwise(op: &Conv2d, tensors: &[Tensor], packing: Packing) -> u32 {
    let tensor = |index: TensorIndex| tensors.get(usize::from(index));
    let (Some(input), Some(output)) = (tensor(op.input), tensor(op.output)) else {
        return DEPTHWISE_ANY;
    };
    // As an index out of range: the loader refuses it, and build scripts ask before.
    if output.len() == 0 || op.window.kernel_h == 0 || op.window.kernel_w == 0 {
        return DEPTHWISE_ANY;
    }
    if packing == Packing::Mve {
        let taps = u64::from(op.window.kernel_h) * u64::from(op.window.kernel_w);
        let plain = is_plain(op.weight_type, input.c.into(), output.c.into())
            && matches!(op.requant.clamp, Clamp::PerTensor { .. })
            && u64::from(op.scratch.bytes) >= taps * u64::from(input.c);
        if plain {
            return DEPTHWISE_VECTORS;
        }
    }
    let lines = crate::kernels::depthwise_lines(
        &op.window,
        [input.h.into(), input.w.into()],
        [output.h.into(), output.w.into()],
        input.c == output.c,
        op.scratch.bytes.into(),
    );
    if lines & DEPTHWISE_3X3 != 0 && is_general(&op.requant) {
        lines | DEPTHWISE_GENERAL
    } else {
        lines
    }
}

/// The kernels that a blob needs.
///
/// # Errors
/// As [`Summary::from_bytes`](crate::Summary::from_bytes), and [`LoadError::Program`](crate::LoadError::Program) for a program that cannot be decoded.
#[cfg(feature = "std")]
pub fn kernels_of(blob: &[u8]) -> Result<u32, crate::LoadError> {
    let (header, blob) = super::header::Header::check(blob)?;
    let program: super::write::ProgramParts =
        postcard::from_bytes(header.program.of(blob)).map_err(|_| crate::LoadError::Program)?;
    let bits = |op: &Op| kernels_of_op(op, &program.tensors, header.packing());
    Ok(program.ops.iter().fold(0, |mask, op| mask | bits(op)))
}
