//! The rounding rule over words of any width.
//!
//! `super` defines the type [`Word`]: 32 bits in the runtime. Tests compile this same file with words of 8 and of 16 bits,
//! for which all values, multipliers and shifts can be checked; a property of every width is then proven and not sampled.

use super::{Unsigned, Wide, Word};

/// Half the bits of a word.
const HALF: u32 = Word::BITS / 2;

/// `⌊(t * multiplier + 2^(n-1)) / 2^n⌋` for words of `n` bits: the high word of the product, rounded to nearest with ties towards plus
/// infinity.
///
/// Holds for any `t` and any `multiplier`: the product of two words is in -2^(2n-2) + 2^(n-1) ..= 2^(2n-2), so adding 2^(n-1) stays
/// inside twice the width, and the high word is a word. With `0 <= multiplier` the result is at most 2^(n-2) in magnitude.
#[inline]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the proof is in the documentation above; this exact form becomes smmulr"
)]
pub(super) fn multiply_high(t: Word, multiplier: Word) -> Word {
    (((t as Wide) * (multiplier as Wide) + (1 << (Word::BITS - 1))) >> Word::BITS) as Word
}

/// [`multiply_high`] from four products of half the width, for processors without a wide product: a third of the compiler's routine's time.
///
/// With `h` bits in half a word, `t = t1 * 2^h + t0` and `m = m1 * 2^h + m0`, `t1` and `m1` signed, the product is
/// `t1 m1 2^2h + (t1 m0 + t0 m1) 2^h + t0 m0`. The middle products are split before they are added, so that nothing
/// overflows: `|t1 m0| < 2^(2h-1)`, and the four parts of `low` are below 2^(h+2).
#[inline]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "the proof is in the documentation above"
)]
pub(super) fn multiply_high_by_halves(t: Word, multiplier: Word) -> Word {
    const LOW: Word = (1 << HALF) - 1;
    let (t1, t0) = (t >> HALF, t & LOW);
    let (m1, m0) = (multiplier >> HALF, multiplier & LOW);
    let (a, b) = (t1 * m0, t0 * m1);
    let c = (t0 as Unsigned).wrapping_mul(m0 as Unsigned) >> HALF;
    let low = (a & LOW) + (b & LOW) + c as Word + (1 << (HALF - 1));
    t1 * m1 + (a >> HALF) + (b >> HALF) + (low >> HALF)
}

/// Equation (2), whose bound the loader checks: a larger value wraps.
#[inline]
pub(super) fn shift(acc: Word, pre_shift: u32) -> Word {
    acc.wrapping_shl(pre_shift)
}

/// Equation (4) for the `r` of (3).
#[inline]
pub(super) fn place(r: Word, zero_point: Word, min: Word, max: Word) -> Word {
    // Both are at most a quarter of the range: the sum fits.
    limit(r.wrapping_add(zero_point), min, max)
}

/// Equation (12) without its sum: `clamp(v >> shift, min, max)`.
#[inline]
pub(super) fn shift_and_limit(v: Word, shift: u32, min: Word, max: Word) -> Word {
    limit(v.wrapping_shr(shift), min, max)
}

/// Not `clamp`, which panics on a reversed range and would link that path.
#[inline]
fn limit(value: Word, min: Word, max: Word) -> Word {
    value.max(min).min(max)
}
