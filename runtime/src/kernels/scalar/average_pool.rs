//! Mean over a window, equation (11).

use super::super::params::{AveragePoolParams, Axis, split_rows};
use core::cell::Cell;

/// Channels that are accumulated together.
const BLOCK: usize = 16;

/// Computes `output` from `input`; see [`AveragePoolParams`]. The two do not overlap.
pub(in super::super) fn average_pool(
    p: &AveragePoolParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
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
                for row in (rows.first..).take(height) {
                    let start = (row * p.input.w + columns.first) * channels;
                    let run = input
                        .get(start..start + width * channels)
                        .unwrap_or_default();
                    for x in split_rows(run, channels) {
                        for (acc, x) in acc.iter_mut().zip(x.get(first..).unwrap_or_default()) {
                            *acc += i32::from(x.get()) - i32::from(p.input_zero_point);
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
