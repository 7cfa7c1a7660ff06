//! Requantization: the one rounding rule of native models.
//!
//! Equations (2) to (4), (12), (21) and (22) of `docs/arithmetic.md`, written so that LLVM makes `smmulr`/`smmlar` and `ssat` of them
//! on Arm. The range checks that the proofs below refer to are made once, by `Model::from_bytes`.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing
)]

mod word;

/// Type in which `word` computes.
type Word = i32;
/// Type of twice the width.
type Wide = i64;
/// Unsigned type of the same width.
type Unsigned = u32;

/// Equation (3): `⌊(t * multiplier + 2^31) / 2^32⌋`, the product rounded to nearest with ties towards plus infinity.
///
/// Holds for any `t` and any `multiplier`. With `0 <= multiplier < 2^31` the result is at most 2^30 in magnitude.
#[inline]
#[must_use]
pub fn multiply_high(t: i32, multiplier: i32) -> i32 {
    if cfg!(fewbit_core = "v6m") {
        return word::multiply_high_by_halves(t, multiplier);
    }
    word::multiply_high(t, multiplier)
}

/// Requantization of one channel's accumulators to outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantizer {
    /// Q32 fraction, `0 <= multiplier < 2^31`.
    pub multiplier: i32,
    /// Left shift of the accumulator, 0..=30.
    pub pre_shift: u8,
    /// Zero point of the output.
    pub zero_point: i8,
    /// Smallest output.
    pub activation_min: i8,
    /// Largest output, not below `activation_min`.
    pub activation_max: i8,
}

impl Requantizer {
    /// Equations (2) to (4): the output for an accumulator.
    ///
    /// `|acc| * 2^pre_shift < 2^31` must hold, which the loader checks for every operator by (5); a larger value wraps.
    ///
    /// ```
    /// use fewbit_runtime::arith::Requantizer;
    ///
    /// // A real factor of 1/4, and the encoding of the output starts at -128.
    /// let quarter = Requantizer { multiplier: 1 << 30, pre_shift: 0, zero_point: -128, activation_min: -128, activation_max: 127 };
    /// assert_eq!(quarter.requantize(400), -28);
    /// assert_eq!(quarter.requantize(402), -27); // 100.5 rounds towards plus infinity
    /// ```
    #[inline]
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "between activation_min and activation_max, both int8, after the two comparisons"
    )]
    pub fn requantize(&self, acc: i32) -> i8 {
        let t = word::shift(acc, self.pre_shift as u32);
        word::place(
            multiply_high(t, self.multiplier),
            self.zero_point as i32,
            self.activation_min as i32,
            self.activation_max as i32,
        ) as i8
    }
}

/// Limits the sum of equation (12), or what (21) and (22) choose, to its output range: `clamp(v >> shift, min, max)`.
///
/// `shift` is 1..=22; a larger one is used modulo 32.
#[inline]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "between min and max, both int8, after the two comparisons"
)]
pub fn shift_and_clamp(v: i32, shift: u8, min: i8, max: i8) -> i8 {
    word::shift_and_limit(v, shift as u32, min as i32, max as i32) as i8
}

#[cfg(test)]
mod of_8_bits;

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "the oracle's integers are wide enough"
)]
mod tests {
    use super::word::multiply_high_by_halves;
    use super::*;

    const FULL: Requantizer = Requantizer {
        multiplier: 1 << 30,
        pre_shift: 0,
        zero_point: 0,
        activation_min: -128,
        activation_max: 127,
    };

    /// Equation (3) in integers that cannot overflow, with a division that rounds down.
    fn exact(t: i32, multiplier: i32) -> i128 {
        (i128::from(t) * i128::from(multiplier) + (1_i128 << 31)).div_euclid(1_i128 << 32)
    }

    fn xorshift(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn ties_go_up() {
        // Multiplier 2^30 is 1/4: accumulators 2 mod 4 are ties.
        for (acc, expected) in [
            (2, 1),
            (-2, 0),
            (6, 2),
            (-6, -1),
            (1, 0),
            (-1, 0),
            (3, 1),
            (-3, -1),
            (0, 0),
            (510, 127),
        ] {
            assert_eq!(FULL.requantize(acc), expected, "acc {acc}");
        }
    }

    #[test]
    fn saturates_at_the_range() {
        let relu6 = Requantizer {
            zero_point: -100,
            activation_min: -100,
            activation_max: 20,
            ..FULL
        };
        for (acc, expected) in [
            (-1_000_000, -100),
            (-3, -100),
            (0, -100),
            (4, -99),
            (480, 20),
            (484, 20),
            (i32::MAX, 20),
        ] {
            assert_eq!(relu6.requantize(acc), expected, "acc {acc}");
        }
        assert_eq!(FULL.requantize(i32::MIN), -128);
        assert_eq!(FULL.requantize(i32::MAX), 127);
        let constant = Requantizer {
            activation_min: 7,
            activation_max: 7,
            ..FULL
        };
        assert_eq!(
            [constant.requantize(-9999), constant.requantize(9999)],
            [7, 7]
        );
    }

    #[test]
    fn pre_shift_doubles_the_accumulator() {
        // 2^30 with pre_shift 2 is the real factor 1.
        let one = Requantizer {
            pre_shift: 2,
            ..FULL
        };
        for acc in -128..=127_i8 {
            assert_eq!(one.requantize(i32::from(acc)), acc);
        }
    }

    #[test]
    fn extremes_are_exact() {
        let values = [
            i32::MIN,
            i32::MIN + 1,
            -65537,
            -2,
            -1,
            0,
            1,
            2,
            3,
            65536,
            i32::MAX - 1,
            i32::MAX,
        ];
        for t in values {
            for m in values {
                assert_eq!(i128::from(multiply_high(t, m)), exact(t, m), "{t} * {m}");
                assert_eq!(
                    i128::from(multiply_high_by_halves(t, m)),
                    exact(t, m),
                    "{t} * {m}"
                );
            }
        }
    }

    #[test]
    #[allow(clippy::cast_possible_truncation, reason = "random bits")]
    fn random_values_are_exact() {
        let mut state = 0x9E37_79B9_7F4A_7C15;
        // An interpreter takes a millisecond for each.
        for _ in 0..if cfg!(miri) { 1000 } else { 1_000_000 } {
            let (a, b) = (xorshift(&mut state), xorshift(&mut state));
            let pre_shift = (b % 31) as u8;
            let (acc, multiplier) = ((a as i32) >> pre_shift, ((a >> 33) as i32) & i32::MAX);
            let zero_point = (b >> 8) as i8;
            let (p, q) = ((b >> 16) as i8, (b >> 24) as i8);
            let stage = Requantizer {
                multiplier,
                pre_shift,
                zero_point,
                activation_min: p.min(q),
                activation_max: p.max(q),
            };
            let r = exact(acc << pre_shift, multiplier) + i128::from(zero_point);
            assert_eq!(
                multiply_high_by_halves(acc << pre_shift, multiplier),
                multiply_high(acc << pre_shift, multiplier)
            );
            let expected = r.clamp(i128::from(p.min(q)), i128::from(p.max(q)));
            assert_eq!(
                i128::from(stage.requantize(acc)),
                expected,
                "{stage:?} of {acc}"
            );
        }
    }

    #[test]
    fn the_error_before_rounding_stays_below_a_quarter() {
        // M = 1/3 as a Q32 fraction; |acc| * 2^-33 is the promised bound, here in units of 2^-34 of a step.
        let multiplier = 1_431_655_765_i128;
        for acc in [1_i128, 1000, 12_345_678, (1 << 31) - 1, 1 - (1 << 31)] {
            // | acc * multiplier / 2^32 - acc / 3 | * 3 * 2^32 <= |acc| * 2^-33 * 3 * 2^32
            let error = (acc * multiplier * 3 - (acc << 32)).abs();
            assert!(2 * error <= 3 * acc.abs());
        }
    }

    #[test]
    fn shift_rounds_down_and_clamps() {
        for (v, shift, expected) in [
            (-1, 1, -1),
            (-3, 1, -2),
            (3, 1, 1),
            (1 << 29, 22, 127),
            (-(1 << 30), 22, -128),
        ] {
            assert_eq!(
                shift_and_clamp(v, shift, -128, 127),
                expected,
                "{v} >> {shift}"
            );
        }
        assert_eq!(shift_and_clamp(100, 1, 0, 40), 40);
    }
}
