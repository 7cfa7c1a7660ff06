//! Section 8: equations (16) to (18).
//!
//! Every output element is computed from its source's position.

use super::Activation;
use fewbit_runtime::format::program::{Pad, Tensor, Transpose};

/// Equation (16).
pub(super) fn transpose(op: &Transpose, x: &Activation) -> Vec<i8> {
    let dims = op.dims.map(usize::from);
    let perm = op.perm.map(usize::from);
    assert_eq!(
        dims.iter().product::<usize>(),
        x.data.len(),
        "dims {dims:?}"
    );
    let out_dims = perm.map(|axis| dims[axis]);
    let mut out = Vec::new();
    for p0 in 0..out_dims[0] {
        for p1 in 0..out_dims[1] {
            for p2 in 0..out_dims[2] {
                for p3 in 0..out_dims[3] {
                    // Output axis j is input axis perm[j].
                    let mut position = [0; 4];
                    for (j, p) in [p0, p1, p2, p3].into_iter().enumerate() {
                        position[perm[j]] = p;
                    }
                    let [i0, i1, i2, i3] = position;
                    out.push(x.data[((i0 * dims[1] + i1) * dims[2] + i2) * dims[3] + i3]);
                }
            }
        }
    }
    out
}

/// Equation (17).
pub(super) fn concat(axis: usize, inputs: &[&Activation], output: &Tensor) -> Vec<i8> {
    let mut out = Vec::new();
    for y in 0..usize::from(output.h) {
        for x in 0..usize::from(output.w) {
            for k in 0..usize::from(output.c) {
                let mut position = [y, x, k];
                let mut source = 0;
                loop {
                    let input = inputs[source];
                    let length = [input.h, input.w, input.c][axis];
                    if position[axis] < length {
                        break;
                    }
                    position[axis] -= length;
                    source += 1;
                }
                out.push(inputs[source].at(position[0], position[1], position[2]) as i8);
            }
        }
    }
    out
}

/// Equation (18).
pub(super) fn pad(op: &Pad, x: &Activation, output: &Tensor) -> Vec<i8> {
    let input = [x.h, x.w, x.c];
    let shape = [
        usize::from(output.h),
        usize::from(output.w),
        usize::from(output.c),
    ];
    for axis in 0..3 {
        let expected = usize::from(op.before[axis]) + input[axis] + usize::from(op.after[axis]);
        assert_eq!(shape[axis], expected, "axis {axis}");
    }
    let mut out = Vec::new();
    for y in 0..shape[0] {
        for column in 0..shape[1] {
            for k in 0..shape[2] {
                let position = [y, column, k];
                let is_inside = (0..3).all(|axis| {
                    let before = usize::from(op.before[axis]);
                    before <= position[axis] && position[axis] < before + input[axis]
                });
                if is_inside {
                    let [y, column, k] =
                        std::array::from_fn(|axis| position[axis] - usize::from(op.before[axis]));
                    out.push(x.at(y, column, k) as i8);
                } else {
                    out.push(op.value);
                }
            }
        }
    }
    out
}
