//! A border of constant elements, equation (18).

use super::super::params::{PadParams, split_rows};
use core::cell::Cell;

/// Copies `input` into the middle of `output`; the two do not overlap.
pub(in super::super) fn pad(p: &PadParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
    for y in output {
        y.set(p.value);
    }
    let [top, left, front] = p.before;
    let lines = split_rows(output, p.output.w * p.output.c).skip(top);
    for (line, x) in lines.zip(split_rows(input, p.input.w * p.input.c)) {
        let pixels = split_rows(line, p.output.c).skip(left);
        for (pixel, x) in pixels.zip(split_rows(x, p.input.c)) {
            for (y, x) in pixel.get(front..).unwrap_or_default().iter().zip(x) {
                y.set(x.get());
            }
        }
    }
}
