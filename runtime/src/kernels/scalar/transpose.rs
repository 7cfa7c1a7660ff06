//! Permutation of up to four dimensions, equation (16).

use super::super::params::TransposeParams;
use core::cell::Cell;

/// Copies `input` to `output` in the new order; the two do not overlap.
pub(in super::super) fn transpose(p: &TransposeParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let [_, d1, d2, d3] = p.dims;
    let strides = [d1 * d2 * d3, d2 * d3, d3, 1];
    // Size and input stride of each output axis.
    let axis = |j: usize| {
        (
            p.dims.get(j).copied().unwrap_or(0),
            strides.get(j).copied().unwrap_or(0),
        )
    };
    let [(n0, s0), (n1, s1), (n2, s2), (n3, s3)] = p.perm.map(axis);
    let mut cells = output.iter();
    for i0 in 0..n0 {
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                let start = i0 * s0 + i1 * s1 + i2 * s2;
                for (i3, y) in (0..n3).zip(&mut cells) {
                    y.set(input.get(start + i3 * s3).map_or(0, Cell::get));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, outputs};
    use super::*;

    #[test]
    fn axes_change_places() {
        let x = cells(&[0, 1, 2, 3, 4, 5]);
        let turned = |dims, perm| outputs(6, |y| transpose(&TransposeParams { dims, perm }, &x, y));
        assert_eq!(turned([1, 1, 2, 3], [0, 1, 3, 2]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(turned([2, 1, 1, 3], [3, 1, 2, 0]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(turned([2, 1, 1, 3], [0, 2, 1, 3]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_cycle_of_four_axes() {
        let x: Vec<i8> = (0..120).collect();
        let p = TransposeParams {
            dims: [2, 3, 4, 5],
            perm: [2, 0, 3, 1],
        };
        let y = outputs(120, |y| transpose(&p, &cells(&x), y));
        for (i, &value) in y.iter().enumerate() {
            // Output coordinates in [4, 2, 5, 3], input element (b, d, a, c).
            let (a, b, c, d) = (i / 30, i / 15 % 2, i / 3 % 5, i % 3);
            assert_eq!(
                usize::from(value.unsigned_abs()),
                ((b * 3 + d) * 4 + a) * 5 + c
            );
        }
    }
}
