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
