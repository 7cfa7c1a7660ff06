//! Sum of two tensors, equation (12).

use super::super::params::{AddParams, split_rows};
use crate::arith::shift_and_clamp;
use core::cell::Cell;

/// Computes `output` from `a` and `b`, which has as many elements as `a`, or one per channel, or one.
///
/// An operand that has the output's place may be overwritten.
pub(in super::super) fn add(p: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>]) {
    let (a_multiplier, b_multiplier) = (i32::from(p.a_multiplier), i32::from(p.b_multiplier));
    let offset = p.offset();
    let sum = |a: &Cell<i8>, b: &Cell<i8>| {
        let v = i32::from(a.get()) * a_multiplier + i32::from(b.get()) * b_multiplier + offset;
        shift_and_clamp(v, p.shift, p.min, p.max)
    };
    if b.len() == a.len() {
        for ((y, a), b) in output.iter().zip(a).zip(b) {
            y.set(sum(a, b));
        }
    } else if let [b] = b {
        for (y, a) in output.iter().zip(a) {
            y.set(sum(a, b));
        }
    } else {
        let channels = p.channels;
        for (y, a) in split_rows(output, channels).zip(split_rows(a, channels)) {
            for ((y, a), b) in y.iter().zip(a).zip(b) {
                y.set(sum(a, b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, outputs, values};
    use super::*;

    const PARAMS: AddParams = AddParams {
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
        // (a - 1) + (b - 3) / 2 - 4, ties up.
        let (a, b) = (cells(&[1, 2, 3, -128]), cells(&[3, 4, 0, -128]));
        assert_eq!(outputs(4, |y| add(&PARAMS, &a, &b, y)), [-4, -2, -3, -128]);
        let p = AddParams {
            min: -3,
            max: -3,
            ..PARAMS
        };
        assert_eq!(outputs(4, |y| add(&p, &a, &b, y)), [-3; 4]);
        // A subtraction.
        let p = AddParams {
            b_multiplier: -1,
            ..PARAMS
        };
        assert_eq!(outputs(4, |y| add(&p, &a, &b, y)), [-4, -3, 0, -67]);
    }

    #[test]
    fn the_second_operand_is_broadcast() {
        let a = cells(&[1, 1, 11, 11]);
        assert_eq!(
            outputs(4, |y| add(&PARAMS, &a, &cells(&[3, 5]), y)),
            [-4, -3, 6, 7]
        );
        assert_eq!(
            outputs(4, |y| add(&PARAMS, &a, &cells(&[5]), y)),
            [-3, -3, 7, 7]
        );
    }

    #[test]
    fn extremes_do_not_overflow() {
        for multiplier in [-32767, 32767] {
            let p = AddParams {
                a_multiplier: multiplier,
                b_multiplier: multiplier,
                a_zero_point: 127,
                b_zero_point: 127,
                zero_point: 127,
                shift: 22,
                ..PARAMS
            };
            let x = cells(&[-128]);
            // 255 * 2 * 32767 / 2^22 = 3.98
            let expected = if multiplier > 0 { 123 } else { 127 };
            assert_eq!(outputs(1, |y| add(&p, &x, &x, y)), [expected]);
        }
    }

    #[test]
    fn it_works_in_place() {
        let (a, b) = (cells(&[1, 2, 3, 4]), cells(&[3; 4]));
        add(&PARAMS, &a, &b, &a);
        assert_eq!(values(&a), [-4, -3, -2, -1]);
        let (a, b) = (cells(&[1; 4]), cells(&[3, 5, 7, 9]));
        add(&PARAMS, &a, &b, &b);
        assert_eq!(values(&b), [-4, -3, -2, -1]);
    }
}
