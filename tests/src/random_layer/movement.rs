//! Random data movement.
//!
//! Every permutation, every axis, borders on each side.

use super::{Draft, Numbers};
use fewbit_runtime::format::program::{
    Concat, Constant, MAX_PORTS, Op, Pad, TensorIndex, Transpose, Unary,
};

fn small_shape(n: &mut Numbers) -> [usize; 3] {
    [n.size(1, 7), n.size(1, 7), n.size(1, 20)]
}

/// An input of random bytes.
fn input(n: &mut Numbers, draft: &mut Draft, shape: [usize; 3], zero_point: i8) -> TensorIndex {
    let count = shape.iter().product();
    let data = n.many(|n| (0..count).map(|_| n.byte()).collect());
    draft.layer.input(shape, zero_point, data)
}

/// Three dimensions out of four: two neighbours become one.
fn joined(n: &mut Numbers, [a, b, c, d]: [usize; 4]) -> [usize; 3] {
    n.pick(&[
        [a * b, c, d],
        [a, b * c, d],
        [a, b, c * d],
        [1, 1, a * b * c * d],
    ])
}

pub(super) fn reshape(n: &mut Numbers, draft: &mut Draft) {
    let dims = [n.size(1, 6), n.size(1, 6), n.size(1, 6), n.size(1, 6)];
    let (from, to) = (joined(n, dims), joined(n, dims));
    let zero_point = n.zero_point();
    let input = input(n, draft, from, zero_point);
    let output = draft.layer.tensor(to, zero_point);
    draft.in_place.push(input);
    draft.layer.op(Op::Reshape(Unary { input, output }));
}

pub(super) fn transpose(n: &mut Numbers, draft: &mut Draft) {
    let dims = [n.size(1, 8), n.size(1, 8), n.size(1, 8), n.size(1, 8)];
    let mut perm = [0_u8, 1, 2, 3];
    for last in (1..4).rev() {
        perm.swap(last, n.index(last + 1));
    }
    draft.feature("identity permutation", perm == [0, 1, 2, 3]);
    let out_dims = perm.map(|axis| dims[usize::from(axis)]);
    let (from, to) = (joined(n, dims), joined(n, out_dims));
    let zero_point = n.zero_point();
    let input = input(n, draft, from, zero_point);
    let output = draft.layer.tensor(to, zero_point);
    let dims = dims.map(|dim| dim as u16);
    draft.layer.op(Op::Transpose(Transpose {
        input,
        output,
        dims,
        perm,
    }));
}

pub(super) fn concat(n: &mut Numbers, draft: &mut Draft) {
    let axis = n.index(3);
    let count = n.size(1, 8);
    let base = small_shape(n);
    let zero_point = n.zero_point();
    let mut inputs = heapless::Vec::new();
    let mut out_shape = base;
    out_shape[axis] = 0;
    for _ in 0..count {
        let mut shape = base;
        shape[axis] = n.size(1, 9);
        let again = !inputs.is_empty() && n.chance(10);
        let tensor = if again {
            inputs[n.index(inputs.len())]
        } else if draft.layer.inputs.len() < MAX_PORTS && n.chance(80) {
            input(n, draft, shape, zero_point)
        } else {
            constant_tensor(n, draft, shape, zero_point)
        };
        draft.feature("an input twice", again);
        let tensors = &draft.layer.program.tensors;
        let placed = &tensors[usize::from(tensor)];
        out_shape[axis] += usize::from([placed.h, placed.w, placed.c][axis]);
        inputs.push(tensor).expect("at most 8 inputs");
    }
    draft.feature(["axis 0", "axis 1", "axis 2"][axis], true);
    draft.feature("8 inputs", count == 8);
    let output = draft.layer.tensor(out_shape, zero_point);
    draft.layer.op(Op::Concat(Concat {
        inputs,
        output,
        axis: axis as u8,
    }));
}

/// A tensor that a constant operator fills.
fn constant_tensor(
    n: &mut Numbers,
    draft: &mut Draft,
    shape: [usize; 3],
    zero_point: i8,
) -> TensorIndex {
    let count = shape.iter().product();
    let data: Vec<i8> = n.many(|n| (0..count).map(|_| n.byte()).collect());
    let data = draft.layer.bytes(&data);
    let output = draft.layer.tensor(shape, zero_point);
    draft.layer.op(Op::Constant(Constant { output, data }));
    output
}

pub(super) fn pad(n: &mut Numbers, draft: &mut Draft) {
    let shape = small_shape(n);
    let zero_point = n.zero_point();
    let mut border = || {
        if n.chance(40) {
            0
        } else {
            n.range(1, 4) as u16
        }
    };
    let before = [border(), border(), border()];
    let after = [border(), border(), border()];
    let value = if n.chance(50) { zero_point } else { n.byte() };
    draft.feature("channel padding", before[2] + after[2] > 0);
    let input = input(n, draft, shape, zero_point);
    let out_shape = std::array::from_fn(|axis| {
        usize::from(before[axis]) + shape[axis] + usize::from(after[axis])
    });
    let output = draft.layer.tensor(out_shape, zero_point);
    draft.layer.op(Op::Pad(Pad {
        input,
        output,
        before,
        after,
        value,
    }));
}

pub(super) fn constant(n: &mut Numbers, draft: &mut Draft) {
    let (shape, zero_point) = (small_shape(n), n.zero_point());
    constant_tensor(n, draft, shape, zero_point);
}
