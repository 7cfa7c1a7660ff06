//! A border of constant elements, equation (18).

use super::super::params::PadParams;
use core::cell::Cell;

/// Copies `input` into the middle of `output`; the two do not overlap.
pub(in super::super) fn pad(p: &PadParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
    for y in output {
        y.set(p.value);
    }
    let [top, left, front] = p.before;
    let lines = output
        .chunks_exact((p.output.w * p.output.c).max(1))
        .skip(top);
    for (line, x) in lines.zip(input.chunks_exact((p.input.w * p.input.c).max(1))) {
        let pixels = line.chunks_exact(p.output.c.max(1)).skip(left);
        for (pixel, x) in pixels.zip(x.chunks_exact(p.input.c.max(1))) {
            for (y, x) in pixel.get(front..).unwrap_or_default().iter().zip(x) {
                y.set(x.get());
            }
        }
    }
}
