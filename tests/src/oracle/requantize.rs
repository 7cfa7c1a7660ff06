//! Section 3: from an accumulator to an output.
//!
//! The rounding is a floor division of exact integers, and the document's overflow proof is asserted at each step.

use super::Trace;

/// The parameters of equations (2) to (4) for one output channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantizer {
    /// Left shift of the accumulator.
    pub pre_shift: u32,
    /// Q32 multiplier.
    pub multiplier: i128,
    /// Zero point of the output.
    pub zero_point: i128,
    /// Smallest output.
    pub activation_min: i128,
    /// Largest output.
    pub activation_max: i128,
}

/// `2^n`.
fn power_of_two(n: u32) -> i128 {
    2_i128.pow(n)
}

/// Equations (2) and (3): the rounded product, before zero point and clamp.
fn scaled(acc: i128, pre_shift: u32, multiplier: i128) -> i128 {
    let t = acc * power_of_two(pre_shift);
    // `div_euclid` is the floor, as the divisor is positive.
    (t * multiplier + power_of_two(31)).div_euclid(power_of_two(32))
}

/// Equations (2) to (4).
///
/// # Panics
/// When an intermediate value leaves the range that the document proves for it.
#[must_use]
pub fn requantize(acc: i128, by: &Requantizer, trace: &mut Trace) -> i8 {
    assert!(by.pre_shift <= 30, "pre_shift {}", by.pre_shift);
    assert!(
        0 <= by.multiplier && by.multiplier < power_of_two(31),
        "multiplier {}",
        by.multiplier
    );
    let t = acc * power_of_two(by.pre_shift);
    assert!(t.abs() < power_of_two(31), "t = {t} does not fit int32");
    let product = t * by.multiplier;
    assert!(product.abs() < power_of_two(62), "a product of {product}");
    let r = scaled(acc, by.pre_shift, by.multiplier);
    assert!(r.abs() < power_of_two(30), "r = {r}");

    trace.largest_t = trace.largest_t.max(t.unsigned_abs() as u64);
    trace.pre_shifted += u64::from(by.pre_shift > 0);
    trace.ties += u64::from(product.rem_euclid(power_of_two(32)) == power_of_two(31));
    trace.clamp(r + by.zero_point, by.activation_min, by.activation_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random_layer::Numbers;

    /// `round(p / q * 2^n)` for positive `q`.
    fn rounded(p: i128, q: i128, n: u32) -> i128 {
        (2 * p * power_of_two(n) + q).div_euclid(2 * q)
    }

    /// The host's derivation in section 3: the smallest `pre_shift` that keeps `multiplier` below 2^31.
    fn derive(p: i128, q: i128) -> Option<(u32, i128)> {
        (0..=30)
            .map(|shift| (shift, rounded(p, q, 32 - shift)))
            .find(|&(_, multiplier)| multiplier < power_of_two(31))
    }

    /// The error statement: `|acc * 2^pre_shift * multiplier / 2^32 - acc * p / q| <= |t| * 2^-33 < 1/4`, in integers.
    fn check_error(acc: i128, p: i128, q: i128) -> bool {
        let Some((pre_shift, multiplier)) = derive(p, q) else {
            return false;
        };
        let t = acc * power_of_two(pre_shift);
        if t.abs() >= power_of_two(31) {
            return false;
        }
        // Both sides times 2^33 * q.
        let difference = 2 * (t * multiplier * q - acc * p * power_of_two(32)).abs();
        assert!(difference <= t.abs() * q, "acc {acc}, M = {p} / {q}");
        assert!(t.abs() * 4 < power_of_two(33), "t = {t}");
        // And so the rounded result is within 1/2 + 1/4 of the rational.
        let r = scaled(acc, pre_shift, multiplier);
        assert!(
            4 * (r * q - acc * p).abs() < 3 * q,
            "acc {acc}, M = {p} / {q}, r = {r}"
        );
        true
    }

    #[test]
    fn error_stays_below_a_quarter_of_a_step() {
        let mut n = Numbers::new(20_180_601);
        let mut checked = 0;
        for _ in 0..400_000 {
            // Factors from 2^-30 to 2^12, accumulators of every magnitude.
            let (q_bits, p_bits, acc_bits) = (n.range(1, 30), n.range(1, 12), n.range(0, 31));
            let (q, p) = (n.range(1, 1 << q_bits), n.range(1, 1 << p_bits));
            let acc = n.range(-(1 << acc_bits), (1 << acc_bits) - 1);
            checked += u32::from(check_error(acc.into(), p.into(), q.into()));
        }
        assert!(
            checked > 200_000,
            "only {checked} of 400000 cases fit the accumulator's bound"
        );
        // The corners: the largest accumulators with factors beside 1/2 and beside a multiplier of 1.
        for acc in [1 - power_of_two(31), -1, 0, 1, power_of_two(31) - 1] {
            for (p, q) in [
                (1, 3),
                (power_of_two(30) - 1, power_of_two(31)),
                (1, power_of_two(32)),
                (3, power_of_two(33)),
            ] {
                assert!(check_error(acc, p, q));
            }
        }
    }

    #[test]
    fn pre_shift_is_zero_below_one_half() {
        assert_eq!(derive(1, 4), Some((0, power_of_two(30))));
        assert_eq!(
            derive(power_of_two(32) - 3, power_of_two(33)),
            Some((0, power_of_two(31) - 1))
        );
        assert_eq!(derive(1, 2), Some((1, power_of_two(30))));
        // Rounds up to 2^31 and so needs the shift although it is below 1/2.
        assert_eq!(
            derive(power_of_two(33) - 1, power_of_two(34)),
            Some((1, power_of_two(30)))
        );
    }

    #[test]
    fn ties_go_up() {
        let by = Requantizer {
            pre_shift: 0,
            multiplier: power_of_two(30),
            zero_point: 0,
            activation_min: -128,
            activation_max: 127,
        };
        let mut trace = Trace::default();
        // acc / 4: 1/2, 3/2, -1/2, -3/2, and neighbours.
        for (acc, expected) in [
            (2, 1),
            (6, 2),
            (-2, 0),
            (-6, -1),
            (1, 0),
            (3, 1),
            (-1, 0),
            (-3, -1),
        ] {
            assert_eq!(requantize(acc, &by, &mut trace), expected, "acc {acc}");
        }
        assert_eq!(trace.ties, 4);
    }
}
