//! Limits of the format and of the arithmetic.
//!
//! The loader refuses larger values, host tools respect the limits, and kernels rely on them. Equations are those of `docs/arithmetic.md`.

use core::ops::RangeInclusive;

/// Largest arena of a blob, in bytes.
pub const MAX_ARENA_BYTES: u32 = 1 << 26;

/// Largest number of elementary operations (multiply-accumulates, window positions, elements) of one inference; prevents a
/// forged blob from running for ever. Far above any practical network; a caller's own limit is
/// [`Model::with_work_limit`](crate::Model::with_work_limit)'s.
pub const MAX_WORK: u64 = 1 << 36;

/// Largest ratio of the operators' weights, parameters and clamps, counting shared ones for each operator, to the blob's length: these bytes are read to
/// check them. Blobs that share nothing need less than 1. The same ratio limits the comparisons of operators with tensors that are alive beside
/// them: as an operator with its output takes at least 14 bytes, it allows 224 such tensors per operator.
pub const CHECK_FACTOR: u64 = 16;

/// The magnitude of an accumulator after its pre-shift stays below this.
pub const ACCUMULATOR_LIMIT: u64 = 1 << 31;

/// Largest left shift of an accumulator before its multiplication.
pub const MAX_PRE_SHIFT: u8 = 30;

/// Largest magnitude of an int8 activation.
pub const MAX_ACTIVATION: u64 = 128;

/// Largest magnitude of an int8 weight: weights are symmetric, without -128.
pub const MAX_INT8_WEIGHT: u64 = 127;

/// Largest magnitude of an int4 weight: weights are symmetric, without -8.
pub const MAX_INT4_WEIGHT: u64 = 7;

/// Left shift of the second channel's sum of int4 weights in pairs.
pub const PAIRED_INT4_SHIFT: u8 = 4;

/// Largest magnitude of the product of two activations, each without its zero point.
pub const MAX_PRODUCT: u64 = 255 * 255;

/// Fraction bits that the multipliers of a sum, a maximum or a minimum may have.
pub const ADD_SHIFTS: RangeInclusive<u8> = 1..=22;

/// First and largest value of a softmax's table: the exponential of 0.
pub const SOFTMAX_ONE: i32 = 1 << 20;

/// Largest number of values in a row of a softmax: 2047 * 2^20 < 2^31.
pub const MAX_SOFTMAX_ROW: u16 = 2047;

/// Smallest number of steps from 0 to 1 of a softmax with its own scale: more than those of the plain one.
pub const MIN_SOFTMAX_STEPS: u32 = 257;

/// Largest number of steps from 0 to 1 of a softmax with its own scale: the quotient that a row is multiplied by then fits 32 bits.
pub const MAX_SOFTMAX_STEPS: u32 = 1 << 19;

/// The magnitude of an accumulator stays below this, equation (5): [`ACCUMULATOR_LIMIT`] divided by two to the `pre_shift`, 0 to
/// [`MAX_PRE_SHIFT`].
#[must_use]
pub const fn accumulator_limit(pre_shift: u8) -> u64 {
    match ACCUMULATOR_LIMIT.checked_shr(pre_shift as u32) {
        Some(limit) => limit,
        None => 0,
    }
}

/// Bound of the sum of `elements` activations, each without its zero point: |x - zero_point| <= 255 < 2 * 128. `elements` is below 2^55.
#[must_use]
pub const fn pool_sum(elements: u64) -> u64 {
    elements * 2 * MAX_ACTIVATION
}
