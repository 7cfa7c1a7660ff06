//! Real factors as fixed-point multipliers.
//!
//! Sections 3 and 6 of `docs/arithmetic.md`.

use fewbit_runtime::limits::{ADD_SHIFTS, MAX_PRE_SHIFT};

/// Q32 multipliers of one operator with their common pre-shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipliers {
    /// `round(factor * 2^(32 - pre_shift))`, below `2^31`.
    pub values: Vec<i32>,
    /// The smallest shift for which all values fit.
    pub pre_shift: u8,
}

impl Multipliers {
    /// Multipliers for the given real factors, which are finite and not negative.
    ///
    /// `None` where a factor is too large for any shift (2^29 and more).
    pub fn from_factors(factors: &[f64]) -> Option<Multipliers> {
        let largest = factors.iter().copied().fold(0.0, f64::max);
        if !largest.is_finite() {
            return None;
        }
        let multiplier = |factor: f64, shift: u8| {
            (factor * libm::exp2(f64::from(32 - u32::from(shift)))).round()
        };
        let limit = f64::from(1u32 << 31);
        let pre_shift = (0..=MAX_PRE_SHIFT).find(|&shift| multiplier(largest, shift) < limit)?;
        let values = factors
            .iter()
            .map(|&factor| multiplier(factor, pre_shift) as i32)
            .collect();
        Some(Multipliers { values, pre_shift })
    }
}

/// The two multipliers of a sum, in units of `2^-shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddMultipliers {
    /// Multiplier of the first operand.
    pub a: i16,
    /// Multiplier of the second operand.
    pub b: i16,
    /// Fraction bits, 1..=22.
    pub shift: u8,
}

impl AddMultipliers {
    /// Multipliers for the ratios of the operands' scales to the output's; a ratio is negative for a subtraction.
    ///
    /// `None` where a ratio is too large for one fraction bit (about 2^14).
    pub fn from_ratios(a: f64, b: f64) -> Option<AddMultipliers> {
        let limit = f64::from(i16::MAX);
        let scaled = |ratio: f64, shift: u8| (ratio * libm::exp2(f64::from(shift))).round();
        let fits =
            |shift: &u8| scaled(a, *shift).abs() <= limit && scaled(b, *shift).abs() <= limit;
        let shift = ADD_SHIFTS.rev().find(fits)?;
        Some(AddMultipliers {
            a: scaled(a, shift) as i16,
            b: scaled(b, shift) as i16,
            shift,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_factors_need_no_shift() {
        let multipliers = Multipliers::from_factors(&[0.25, 0.0, 0.4999]).expect("fits");
        assert_eq!(multipliers.pre_shift, 0);
        assert_eq!(multipliers.values[..2], [1 << 30, 0]);
    }

    #[test]
    fn the_largest_factor_sets_the_shift() {
        let multipliers = Multipliers::from_factors(&[0.5, 0.125]).expect("fits");
        assert_eq!(multipliers.pre_shift, 1);
        assert_eq!(multipliers.values, [1 << 30, 1 << 28]);
        // Just below 1/2, where rounding alone reaches 2^31.
        let edge = Multipliers::from_factors(&[0.5 - 1e-12]).expect("fits");
        assert_eq!(edge.pre_shift, 1);
        assert_eq!(Multipliers::from_factors(&[3e9]), None);
        assert_eq!(Multipliers::from_factors(&[f64::INFINITY]), None);
    }

    #[test]
    fn sums_use_all_the_bits_they_have() {
        let sum = AddMultipliers::from_ratios(0.75, -0.1).expect("fits");
        assert_eq!(sum.shift, 15);
        assert_eq!(sum.a, 24576);
        assert_eq!(sum.b, -3277);
        assert_eq!(
            AddMultipliers::from_ratios(1e-9, 1e-9).expect("fits").shift,
            22
        );
        assert_eq!(AddMultipliers::from_ratios(2e4, 1.0), None);
    }
}
