//! Mean over a window, equation (11).

use super::super::params::{AveragePoolParams, Axis, split_rows};
use core::cell::Cell;

/// Channels that are accumulated together.
const BLOCK: usize = 16;

/// Computes `output` from `input`, for a window without dilation; see [`AveragePoolParams`]. The two do not overlap.
pub(in super::super) fn average_pool(
    p: &AveragePoolParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    pool::<false>(p, input, output);
}

/// As [`average_pool`], for any window.
pub(in super::super) fn dilated_average_pool(
    p: &AveragePoolParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    pool::<true>(p, input, output);
}

#[inline(always)]
fn pool<const DILATED: bool>(p: &AveragePoolParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    let channels = p.output.c;
    for (oy, line) in split_rows(output, p.output.w * channels).enumerate() {
        let rows = vertical.taps(oy);
        for (ox, pixel) in split_rows(line, channels).enumerate() {
            let columns = horizontal.taps(ox);
            let (height, width) = (rows.inside.len(), columns.inside.len());
            let count = height * width;
            let multiplier = if p.multiplier_per_count {
                count.saturating_sub(1)
            } else {
                0
            };
            for (block, outputs) in pixel.chunks(BLOCK).enumerate() {
                let first = block * BLOCK;
                let mut acc = [0_i32; BLOCK];
                let mut take_in = |x: &[Cell<i8>]| {
                    for (acc, x) in acc.iter_mut().zip(x.get(first..).unwrap_or_default()) {
                        *acc += i32::from(x.get()) - i32::from(p.input_zero_point);
                    }
                };
                if DILATED {
                    for row in rows.places(&vertical) {
                        let start = (row * p.input.w + columns.first) * channels;
                        for x in columns.pixels(&horizontal, input, start, channels) {
                            take_in(x);
                        }
                    }
                } else {
                    for row in (rows.first..).take(height) {
                        let start = (row * p.input.w + columns.first) * channels;
                        let run = input
                            .get(start..start + width * channels)
                            .unwrap_or_default();
                        for x in split_rows(run, channels) {
                            take_in(x);
                        }
                    }
                }
                for ((y, acc), o) in outputs.iter().zip(acc).zip(first..) {
                    y.set(p.stage.requantizer(o, multiplier).requantize(acc));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::params::Shape;
    use super::super::testing::{ONE, cells, outputs, unit, window};
    use super::*;

    #[test]
    fn padding_counts_or_not() {
        // 10 20 / 30 40 around zero_point 10: real 0 10 / 20 30; corners see one element of four, the middle all.
        let x = cells(&[10, 20, 30, 40]);
        let p = AveragePoolParams {
            input: Shape { h: 2, w: 2, c: 1 },
            output: Shape { h: 3, w: 3, c: 1 },
            window: window(2, 1, 1, 1),
            input_zero_point: 10,
            multiplier_per_count: false,
            stage: unit(&[ONE / 4]),
        };
        // Quarters: 0 10 10 / 20 60 40 / 20 50 30, ties up.
        assert_eq!(
            outputs(9, |y| average_pool(&p, &x, y)),
            [0, 3, 3, 5, 15, 10, 5, 13, 8]
        );
        let multipliers = [ONE, ONE / 2, ONE / 3, ONE / 4];
        let p = AveragePoolParams {
            multiplier_per_count: true,
            stage: unit(&multipliers),
            ..p
        };
        assert_eq!(
            outputs(9, |y| average_pool(&p, &x, y)),
            [0, 5, 10, 10, 15, 20, 20, 25, 30]
        );
    }

    #[test]
    fn global_means_of_many_channels() {
        // Channel k holds k and k + 2.
        let x: Vec<i8> = (0..20).chain(2..22).collect();
        let p = AveragePoolParams {
            input: Shape { h: 2, w: 1, c: 20 },
            output: Shape { h: 1, w: 1, c: 20 },
            window: crate::format::program::Window {
                kernel_w: 1,
                ..window(2, 1, 0, 1)
            },
            input_zero_point: 0,
            multiplier_per_count: false,
            stage: unit(&[ONE / 2]),
        };
        assert_eq!(
            outputs(20, |y| average_pool(&p, &cells(&x), y)),
            (1..21).collect::<Vec<_>>()
        );
    }
}
