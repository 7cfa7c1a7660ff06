//! Maximum over a window, equation (10).

use super::super::params::{Axis, MaxPoolParams, split_rows};
use core::cell::Cell;

/// Computes `output` from `input`, for a window without dilation; see [`MaxPoolParams`]. The two do not overlap.
pub(in super::super) fn max_pool(p: &MaxPoolParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
    pool::<false>(p, input, output);
}

/// As [`max_pool`], for any window.
pub(in super::super) fn dilated_max_pool(
    p: &MaxPoolParams,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    pool::<true>(p, input, output);
}

#[inline(always)]
fn pool<const DILATED: bool>(p: &MaxPoolParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    let channels = p.output.c;
    for (oy, line) in split_rows(output, p.output.w * channels).enumerate() {
        let rows = vertical.taps(oy);
        for (ox, pixel) in split_rows(line, channels).enumerate() {
            let columns = horizontal.taps(ox);
            // The lower limit of the clamp first, the maximum on top of it.
            for y in pixel {
                y.set(p.min);
            }
            if DILATED {
                for row in rows.places(&vertical) {
                    let start = (row * p.input.w + columns.first) * channels;
                    for x in columns.pixels(&horizontal, input, start, channels) {
                        take_in(pixel, x);
                    }
                }
            } else {
                for row in (rows.first..).take(rows.inside.len()) {
                    let start = (row * p.input.w + columns.first) * channels;
                    let run = input
                        .get(start..start + columns.inside.len() * channels)
                        .unwrap_or_default();
                    for x in split_rows(run, channels) {
                        take_in(pixel, x);
                    }
                }
            }
            for y in pixel {
                y.set(y.get().min(p.max));
            }
        }
    }
}

#[inline(always)]
fn take_in(pixel: &[Cell<i8>], x: &[Cell<i8>]) {
    for (y, x) in pixel.iter().zip(x) {
        y.set(y.get().max(x.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::params::Shape;
    use super::super::testing::{cells, outputs, window};
    use super::*;

    #[test]
    fn padding_takes_no_part() {
        // All negative: a zero from the padding would win. Two channels, the second the first's negative.
        let x = cells(&[-9, 9, -8, 8, -7, 7, -6, 6]);
        let shape = Shape { h: 2, w: 2, c: 2 };
        let output = Shape { h: 3, w: 3, c: 2 };
        let p = MaxPoolParams {
            input: shape,
            output,
            window: window(2, 1, 1, 1),
            min: -128,
            max: 127,
        };
        let expected = [
            -9, 9, -8, 9, -8, 8, -7, 9, -6, 9, -6, 8, -7, 7, -6, 7, -6, 6,
        ];
        assert_eq!(outputs(18, |y| max_pool(&p, &x, y)), expected);
        let p = MaxPoolParams {
            min: -7,
            max: 8,
            ..p
        };
        assert_eq!(
            outputs(18, |y| max_pool(&p, &x, y)),
            expected.map(|y| y.clamp(-7, 8))
        );
    }
}
