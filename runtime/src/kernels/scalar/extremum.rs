//! The larger or smaller of two tensors' elements, (21) and (22).
//!
//! The kernel of all families.

use super::super::params::{ExtremumParams, split_rows};
use crate::arith::shift_and_clamp;
use core::cell::Cell;

/// Computes `output` as the larger of `a` and `b`, which has as many elements as `a`, or one per channel, or one.
///
/// An operand that has the output's place may be overwritten.
pub(in super::super) fn max(
    p: &ExtremumParams,
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    extremum(p, a, b, output, i32::max);
}

/// As [`max`], the smaller of the two.
pub(in super::super) fn min(
    p: &ExtremumParams,
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    extremum(p, a, b, output, i32::min);
}

#[inline]
fn extremum(
    p: &ExtremumParams,
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
    choose: impl Fn(i32, i32) -> i32,
) {
    let (a_multiplier, b_multiplier) = (i32::from(p.a_multiplier), i32::from(p.b_multiplier));
    let [a_offset, b_offset] = p.offsets();
    let of = |a: &Cell<i8>, b: &Cell<i8>| {
        let chosen = choose(
            i32::from(a.get()) * a_multiplier + a_offset,
            i32::from(b.get()) * b_multiplier + b_offset,
        );
        shift_and_clamp(chosen, p.shift, p.min, p.max)
    };
    if b.len() == a.len() {
        for ((y, a), b) in output.iter().zip(a).zip(b) {
            y.set(of(a, b));
        }
    } else if let [b] = b {
        for (y, a) in output.iter().zip(a) {
            y.set(of(a, b));
        }
    } else {
        let channels = p.channels;
        for (y, a) in split_rows(output, channels).zip(split_rows(a, channels)) {
            for ((y, a), b) in y.iter().zip(a).zip(b) {
                y.set(of(a, b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, outputs, values};
    use super::*;

    const PARAMS: ExtremumParams = ExtremumParams {
        channels: 2,
        a_multiplier: 2,
        b_multiplier: 1,
        a_zero_point: 1,
        b_zero_point: 3,
        zero_point: -4,
        shift: 1,
        min: -128,
        max: 127,
    };

    #[test]
    fn operands_are_weighed_and_rounded() {
        // a - 1 or (b - 3) / 2, less 4, ties up.
        let (a, b) = (cells(&[1, 2, 3, -127]), cells(&[6, 4, 0, -128]));
        assert_eq!(outputs(4, |y| max(&PARAMS, &a, &b, y)), [-2, -3, -2, -69]);
        assert_eq!(outputs(4, |y| min(&PARAMS, &a, &b, y)), [-4, -3, -5, -128]);
        let p = ExtremumParams {
            min: -4,
            max: -3,
            ..PARAMS
        };
        assert_eq!(outputs(4, |y| max(&p, &a, &b, y)), [-3, -3, -3, -4]);
        assert_eq!(outputs(4, |y| min(&p, &a, &b, y)), [-4, -3, -4, -4]);
    }

    #[test]
    fn equal_encodings_are_exact() {
        let p = ExtremumParams {
            a_multiplier: 1 << 14,
            b_multiplier: 1 << 14,
            a_zero_point: 77,
            b_zero_point: 77,
            zero_point: 77,
            shift: 14,
            ..PARAMS
        };
        for x in i8::MIN..=i8::MAX {
            let (a, b) = (cells(&[x; 3]), cells(&[-128, 5, 127]));
            assert_eq!(outputs(3, |y| max(&p, &a, &b, y)), [x, x.max(5), 127]);
            assert_eq!(outputs(3, |y| min(&p, &a, &b, y)), [-128, x.min(5), x]);
        }
    }

    #[test]
    fn the_second_operand_is_broadcast() {
        let a = cells(&[1, 1, 11, 11]);
        let channel = cells(&[3, 9]);
        assert_eq!(
            outputs(4, |y| max(&PARAMS, &a, &channel, y)),
            [-4, -1, 6, 6]
        );
        assert_eq!(
            outputs(4, |y| min(&PARAMS, &a, &channel, y)),
            [-4, -4, -4, -1]
        );
        let one = cells(&[9]);
        assert_eq!(outputs(4, |y| max(&PARAMS, &a, &one, y)), [-1, -1, 6, 6]);
        assert_eq!(outputs(4, |y| min(&PARAMS, &a, &one, y)), [-4, -4, -1, -1]);
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (multiplier, expected) in [(-32768, 127), (32767, 125)] {
            let p = ExtremumParams {
                a_multiplier: multiplier,
                b_multiplier: multiplier,
                a_zero_point: 127,
                b_zero_point: 127,
                zero_point: 127,
                shift: 22,
                ..PARAMS
            };
            let x = cells(&[-128]);
            // 255 * 32767 / 2^22 = 1.99
            assert_eq!(outputs(1, |y| max(&p, &x, &x, y)), [expected]);
            assert_eq!(outputs(1, |y| min(&p, &x, &x, y)), [expected]);
        }
    }

    #[test]
    fn it_works_in_place() {
        let (a, b) = (cells(&[1, 2, 3, 4]), cells(&[9; 4]));
        max(&PARAMS, &a, &b, &a);
        assert_eq!(values(&a), [-1, -1, -1, -1]);
        let (a, b) = (cells(&[1; 4]), cells(&[3, 5, 7, 9]));
        max(&PARAMS, &a, &b, &b);
        assert_eq!(values(&b), [-4, -3, -2, -1]);
    }
}
