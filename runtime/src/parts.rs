//! Which kernels a build links.
//!
//! Firmware for one model needs the kernels of its operators and no others. A build script asks for them with [`kernels_of`](crate::load::kernels_of) and gives the number to
//! [`Model`](crate::Model); what is not in it is left out by the linker, and a blob that needs it is refused.
//!
//! A bit is an operator, or a part of a kernel that only some of its layers need: int4 weights, a stride of 2, windows
//! whose pixels are no whole words. Bits are no part of the blob, and may mean something else in another version.

use crate::format::program::{Clamp, Requant, WeightType, Window};

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

/// Whether a pool's taps are apart.
pub(crate) fn is_dilated(window: &Window) -> bool {
    window.dilation_h != 1 || window.dilation_w != 1
}

pub(crate) fn weights(weight_type: WeightType) -> u32 {
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
pub(crate) fn is_general(requant: &Requant) -> bool {
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
