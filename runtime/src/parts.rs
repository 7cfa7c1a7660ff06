//! Sets of kernels that a build links.
//!
//! Firmware for one model needs only the kernels of its operators. A build script gets their set from [`kernels_of`](crate::load::kernels_of) and passes it to
//! [`Model`](crate::Model); the linker leaves out all other kernels, and a blob that needs one of these is refused.
//!
//! A bit is an operator, or a part of a kernel that only some of its layers need: int4 weights, a stride of 2, windows
//! whose pixels are not whole words.

use crate::format::program::{Clamp, Requant, WeightType, Window};

/// Some of the kernels and parts of kernels.
///
/// A set of bits. They are not part of the blob, and may mean something else in another version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelSet(u64);

impl KernelSet {
    /// No kernel.
    pub const NONE: KernelSet = KernelSet(0);

    /// Every kernel.
    pub const ALL: KernelSet = KernelSet(u64::MAX);

    /// The kernels of either set.
    #[must_use]
    pub const fn or(self, other: KernelSet) -> KernelSet {
        KernelSet(self.0 | other.0)
    }

    /// The kernels that are not in `other`.
    #[must_use]
    pub const fn without(self, other: KernelSet) -> KernelSet {
        KernelSet(self.0 & !other.0)
    }

    /// Whether some kernel is in both sets.
    #[must_use]
    pub const fn has(self, any: KernelSet) -> bool {
        self.0 & any.0 != 0
    }

    /// Whether every kernel of `all` is in this set.
    #[must_use]
    pub const fn has_all(self, all: KernelSet) -> bool {
        all.0 & !self.0 == 0
    }

    /// The set as a number, for [`Linked`].
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl core::ops::BitOr for KernelSet {
    type Output = KernelSet;

    fn bitor(self, other: KernelSet) -> KernelSet {
        self.or(other)
    }
}

impl core::ops::BitAnd for KernelSet {
    type Output = KernelSet;

    fn bitand(self, other: KernelSet) -> KernelSet {
        KernelSet(self.0 & other.0)
    }
}

/// Kernels that a build links: a type parameter of [`Model`](crate::Model) and [`Engine`](crate::Engine).
pub trait Kernels: Copy + core::fmt::Debug + 'static {
    /// Set of kernels, constant at compile time, so that the linker leaves out the others.
    const LINKED: KernelSet;
}

/// Kernels with these [`bits`](KernelSet::bits), as `fewbit-build` writes them.
#[derive(Clone, Copy, Debug)]
pub struct Linked<const BITS: u64>;

impl<const BITS: u64> Kernels for Linked<BITS> {
    const LINKED: KernelSet = KernelSet(BITS);
}

/// Every kernel: the default of a model.
pub type AllKernels = Linked<{ KernelSet::ALL.bits() }>;

const fn bit(number: u32) -> KernelSet {
    KernelSet(1 << number)
}

// Operators.
pub(crate) const CONV_2D: KernelSet = bit(0);
pub(crate) const PAIRED_CONV_2D: KernelSet = bit(1);
pub(crate) const FULLY_CONNECTED: KernelSet = bit(2);
pub(crate) const PAIRED_FULLY_CONNECTED: KernelSet = bit(3);
pub(crate) const MAX_POOL: KernelSet = bit(4);
pub(crate) const AVERAGE_POOL: KernelSet = bit(5);
pub(crate) const ADD: KernelSet = bit(6);
pub(crate) const MUL: KernelSet = bit(7);
pub(crate) const LUT: KernelSet = bit(8);
pub(crate) const SOFTMAX: KernelSet = bit(9);
pub(crate) const TRANSPOSE: KernelSet = bit(10);
pub(crate) const CONCAT: KernelSet = bit(11);
pub(crate) const PAD: KernelSet = bit(12);
pub(crate) const CONSTANT: KernelSet = bit(13);
pub(crate) const RESHAPE: KernelSet = bit(14);

// Depthwise convolutions: 3x3 by the stride along the line, other windows, windows of too many taps, vectors.
pub(crate) const DEPTHWISE_3X3_STRIDE_1: KernelSet = bit(15);
pub(crate) const DEPTHWISE_3X3_STRIDE_2: KernelSet = bit(16);
pub(crate) const DEPTHWISE_ANY: KernelSet = bit(17);
pub(crate) const DEPTHWISE_LARGE: KernelSet = bit(18);
pub(crate) const DEPTHWISE_VECTORS: KernelSet = bit(19);
/// More than a multiplication and a saturation to int8 after a 3x3 depthwise convolution.
pub(crate) const DEPTHWISE_GENERAL: KernelSet = bit(20);

// What layers with weights may have.
pub(crate) const INT8_WEIGHTS: KernelSet = bit(21);
pub(crate) const INT4_WEIGHTS: KernelSet = bit(22);
/// Weights in pairs of an odd number of output channels.
pub(crate) const ODD_CHANNELS: KernelSet = bit(23);

// How windows of a convolution with weights in pairs are read.
pub(crate) const POINTWISE_WINDOWS: KernelSet = bit(24);
pub(crate) const WORD_WINDOWS: KernelSet = bit(25);
pub(crate) const BYTE_WINDOWS: KernelSet = bit(26);

// What came later.
pub(crate) const SCALED_SOFTMAX: KernelSet = bit(27);
/// Pools whose windows have dilations.
pub(crate) const DILATED_POOLS: KernelSet = bit(28);
pub(crate) const EXTREMUM: KernelSet = bit(29);

// Several bits of which any will do.
pub(crate) const ANY_CONV_2D: KernelSet = CONV_2D.or(PAIRED_CONV_2D);
pub(crate) const ANY_FULLY_CONNECTED: KernelSet = FULLY_CONNECTED.or(PAIRED_FULLY_CONNECTED);
pub(crate) const DEPTHWISE_3X3: KernelSet = DEPTHWISE_3X3_STRIDE_1.or(DEPTHWISE_3X3_STRIDE_2);
pub(crate) const DEPTHWISE_LINES: KernelSet = DEPTHWISE_3X3.or(DEPTHWISE_ANY);
pub(crate) const DEPTHWISE_PLANAR: KernelSet = DEPTHWISE_LINES.or(DEPTHWISE_LARGE);
pub(crate) const ANY_DEPTHWISE: KernelSet = DEPTHWISE_PLANAR.or(DEPTHWISE_VECTORS);

/// Whether a pool's taps are not adjacent.
pub(crate) fn is_dilated(window: &Window) -> bool {
    window.dilation_h != 1 || window.dilation_w != 1
}

pub(crate) fn weights(weight_type: WeightType) -> KernelSet {
    match weight_type {
        WeightType::Int8 | WeightType::PairedInt8 => INT8_WEIGHTS,
        WeightType::Int4 | WeightType::PairedInt4 => INT4_WEIGHTS,
    }
}

/// Whether weights are int4; constant at compile time if a build has one type only.
#[inline]
pub(crate) fn is_int4<K: Kernels>(weight_type: WeightType) -> bool {
    !K::LINKED.has(INT8_WEIGHTS)
        || (K::LINKED.has(INT4_WEIGHTS) && weights(weight_type) == INT4_WEIGHTS)
}

/// Bit of the way in which a convolution with weights in pairs reads its windows of `channels` channels: one of three.
pub(crate) fn windows(window: &Window, channels: usize) -> KernelSet {
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

/// Number of channels that the vector family processes at a time.
pub(crate) const VECTOR_CHANNELS: usize = 8;

/// Whether a depthwise convolution has the weights and the channels for vectors.
pub(crate) fn is_plain(weight_type: WeightType, inputs: usize, outputs: usize) -> bool {
    weight_type == WeightType::Int8 && inputs == outputs && inputs.is_multiple_of(VECTOR_CHANNELS)
}

/// Parts that a pool with such a window needs beside its kernel.
pub(crate) fn dilated_pool(window: &Window) -> KernelSet {
    if is_dilated(window) {
        DILATED_POOLS
    } else {
        KernelSet::NONE
    }
}
