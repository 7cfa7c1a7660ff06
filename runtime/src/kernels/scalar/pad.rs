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

#[cfg(test)]
mod tests {
    use super::super::super::params::Shape;
    use super::super::testing::{cells, outputs};
    use super::*;

    #[test]
    fn the_input_lies_in_the_middle() {
        let p = PadParams {
            input: Shape { h: 1, w: 2, c: 1 },
            output: Shape { h: 3, w: 3, c: 2 },
            before: [1, 0, 1],
            value: 9,
        };
        let y = outputs(18, |y| pad(&p, &cells(&[1, 2]), y));
        assert_eq!(y, [9, 9, 9, 9, 9, 9, 9, 1, 9, 2, 9, 9, 9, 9, 9, 9, 9, 9]);
    }
}
