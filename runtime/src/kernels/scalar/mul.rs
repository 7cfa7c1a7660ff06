//! Product of two tensors, equation (13).

use super::super::params::{MulParams, split_rows};
use core::cell::Cell;

/// Computes `output` from `a` and `b`, which has as many elements as `a`, or one per channel, or one.
///
/// An operand that has the output's place may be overwritten.
pub(in super::super) fn mul(
    p: &MulParams<'_>,
    a: &[Cell<i8>],
    b: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let channels = p.channels;
    let pixels = split_rows(output, channels).zip(split_rows(a, channels));
    for (pixel, (y, a)) in pixels.enumerate() {
        // The second operand's values for this pixel, and how far the next channel's is.
        let start = if b.len() == output.len() {
            pixel * channels
        } else {
            0
        };
        let step = usize::from(b.len() > 1);
        for (channel, (y, a)) in y.iter().zip(a).enumerate() {
            let b = b
                .get(start + channel * step)
                .map_or(p.b_zero_point, Cell::get);
            let acc = (i32::from(a.get()) - i32::from(p.a_zero_point))
                * (i32::from(b) - i32::from(p.b_zero_point));
            y.set(p.stage.requantizer(channel, 0).requantize(acc));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, cells, outputs, unit, values};
    use super::*;

    #[test]
    fn products_of_real_values() {
        let p = MulParams {
            channels: 2,
            a_zero_point: 1,
            b_zero_point: -2,
            stage: unit(&[ONE / 2]),
        };
        let a = cells(&[4, 5, -6, 127]);
        // (a - 1) * (b + 2) / 2, ties up.
        assert_eq!(
            outputs(4, |y| mul(&p, &a, &cells(&[1, -3, 0, 127]), y)),
            [5, -2, -7, 127]
        );
        assert_eq!(
            outputs(4, |y| mul(&p, &a, &cells(&[0, -4]), y)),
            [3, -4, -7, -126]
        );
        assert_eq!(
            outputs(4, |y| mul(&p, &a, &cells(&[0]), y)),
            [3, 4, -7, 126]
        );
        mul(&p, &a, &cells(&[1, -3, 0, 127]), &a);
        assert_eq!(values(&a), [5, -2, -7, 127]);
    }
}
