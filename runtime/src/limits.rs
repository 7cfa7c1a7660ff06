//! The limits of the format and of the arithmetic, each of them once.
//!
//! The loader refuses what is beyond them, host tools keep to them, and kernels rely on them. Equations are those of `docs/arithmetic.md`.

use core::ops::RangeInclusive;

/// Largest arena that a blob may ask for, in bytes.
pub const MAX_ARENA_BYTES: u32 = 1 << 26;

/// Most elementary operations (multiply-accumulates, window positions, elements) that one inference may take; keeps a
/// forged blob from running for ever. Far above any network of use: a caller's own limit is
/// [`Model::with_work_limit`](crate::Model::with_work_limit)'s.
pub const MAX_WORK: u64 = 1 << 36;

/// How many times a blob's length its operators' weights, parameters and clamps may be, counting what they share for each of them: so much is read to
/// check them. Blobs that share nothing need less than 1. So many times its length, too, may operators and the tensors that are needed beside them be
/// compared: as an operator with its output takes 14 bytes at least, that allows for 224 such tensors at each.
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

/// Left shift at which the second channel's sum of int4 weights in pairs is kept.
pub const PAIRED_INT4_SHIFT: u8 = 4;

/// Largest magnitude of the product of two activations, each without its zero point.
pub const MAX_PRODUCT: u64 = 255 * 255;

/// Fraction bits that the multipliers of a sum, a maximum or a minimum may have.
pub const ADD_SHIFTS: RangeInclusive<u8> = 1..=22;

/// First and largest value of a softmax's table: the exponential of 0.
pub const SOFTMAX_ONE: i32 = 1 << 20;

/// Most values in a row of a softmax: 2047 * 2^20 < 2^31.
pub const MAX_SOFTMAX_ROW: u16 = 2047;

/// Fewest steps from 0 to 1 of a softmax with a scale of its own: more than those of the other one.
pub const MIN_SOFTMAX_STEPS: u32 = 257;

/// Most steps from 0 to 1 of a softmax with a scale of its own: as many as let the quotient that a row is multiplied by fit 32 bits.
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
