//! Maximum over a window, equation (10).

use super::super::params::{Axis, MaxPoolParams, split_rows};
use core::cell::Cell;

/// Computes `output` from `input`; see [`MaxPoolParams`]. The two do not overlap.
pub(in super::super) fn max_pool(p: &MaxPoolParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
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
            for row in (rows.first..).take(rows.inside.len()) {
                let start = (row * p.input.w + columns.first) * channels;
                let run = input
                    .get(start..start + columns.inside.len() * channels)
                    .unwrap_or_default();
                for x in split_rows(run, channels) {
                    for (y, x) in pixel.iter().zip(x) {
                        y.set(y.get().max(x.get()));
                    }
                }
            }
            for y in pixel {
                y.set(y.get().min(p.max));
            }
        }
    }
}
