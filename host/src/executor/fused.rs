//! Multiply and add in one rounding, on every processor.
//!
//! Integers of a blob are decided on sums of products. Processors that have a fused multiply-add are several times faster with it than
//! without, and those that lack it must arrive at the same bits: blobs do not depend on where they are made.

use pulp::{Simd, bytemuck};

/// `a * b + c`, rounded once.
#[inline(always)]
pub(super) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if S::F32_LANES == 1 {
        let single = |value: S::f32s| bytemuck::cast::<S::f32s, f32>(value);
        bytemuck::cast(in_double(single(a), single(b), single(c)))
    } else {
        simd.mul_add_f32s(a, b, c)
    }
}

/// `a * b + c`, rounded once, without a fused multiply-add; the C library's stand-in changes the rounding mode and is far slower.
///
/// The product is exact in double precision. The sum is rounded to odd, which loses nothing that the rounding to single precision
/// asks for (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
#[inline(always)]
fn in_double(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // What the sum lost (Knuth's TwoSum); not a number where the sum is infinite.
    let other = sum - product;
    let lost = (product - (sum - other)) + (c - other);
    let bits = sum.to_bits();
    let outwards = (lost > 0.0) == (sum > 0.0);
    let odd = if outwards {
        bits | 1
    } else {
        bits.wrapping_sub(1)
    };
    let inexact_and_even = lost.abs() > 0.0 && bits & 1 == 0;
    f64::from_bits(if inexact_and_even { odd } else { bits }) as f32
}

#[cfg(test)]
mod tests {
    use super::in_double;
    use crate::random::Random;

    /// Bits of singles that a sum of products can meet: every sign and exponent, mantissas at their ends and in between.
    fn single(drawn: u64) -> f32 {
        let bits = (drawn >> 32) as u32;
        let mantissa = match drawn >> 20 & 7 {
            0 => 0,
            1 => 1,
            2 => 0x7f_ffff,
            3 => 0x40_0000,
            4 => bits & 0x7f_f000,
            _ => bits & 0x7f_ffff,
        };
        // Half of them close to one, so that sums cancel.
        let exponent = match drawn >> 24 & 1 {
            0 => 120 + (bits >> 23) % 16,
            _ => (bits >> 23) & 0xff,
        };
        f32::from_bits(bits & 0x8000_0000 | exponent << 23 | mantissa)
    }

    #[test]
    fn doubles_round_as_one_instruction_does() {
        let mut random = Random::new(1);
        for _ in 0..2_000_000 {
            let [a, b, mut c] = [(); 3].map(|()| single(random.next()));
            // The sums that are hardest to round are those next to the product's own bits.
            if random.below(2) == 1 {
                c = -(a * b);
            }
            let (found, expected) = (in_double(a, b, c), a.mul_add(b, c));
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{a:e} * {b:e} + {c:e} = {found:e}, not {expected:e}"
            );
        }
    }
}
