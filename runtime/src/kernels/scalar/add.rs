//! Sum of two tensors, equation (12).

use super::super::params::{AddParams, split_rows};
use crate::arith::shift_and_clamp;
use core::cell::Cell;

/// Computes `output` from `a` and `b`, which has as many elements as `a`, or one a channel, or one.
///
/// An operand that has the output's place may be overwritten.
pub(in super::super) fn add(p: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>]) {
    let (a_multiplier, b_multiplier) = (i32::from(p.a_multiplier), i32::from(p.b_multiplier));
    let offset = i32::from(p.zero_point).wrapping_shl(p.shift.into())
        + (1_i32.wrapping_shl(p.shift.into()) >> 1)
        - i32::from(p.a_zero_point) * a_multiplier
        - i32::from(p.b_zero_point) * b_multiplier;
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
