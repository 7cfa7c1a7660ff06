//! Section 6: equations (12) to (14), (21) and (22).
//!
//! The second operand is looked up by its shape, element by element.

use super::{Activation, Sections, Trace, requantize};
use fewbit_runtime::format::program::{Add, Extremum, Lut, Mul, Tensor};

/// The partner of element `(y, x, k)` of `a`.
fn partner(a: &Activation, b: &Activation, y: usize, x: usize, k: usize) -> i128 {
    match (b.h, b.w, b.c) {
        (h, w, c) if (h, w, c) == (a.h, a.w, a.c) => b.at(y, x, k),
        (1, 1, c) if c == a.c => b.at(0, 0, k),
        (1, 1, 1) => b.at(0, 0, 0),
        shape => panic!(
            "{shape:?} does not broadcast to {} x {} x {}",
            a.h, a.w, a.c
        ),
    }
}

/// Calls `f(channel, a, b)` for every element and collects what it returns.
fn zip(
    a: &Activation,
    b: &Activation,
    output: &Tensor,
    mut f: impl FnMut(usize, i128, i128) -> i8,
) -> Vec<i8> {
    let shape = (
        usize::from(output.h),
        usize::from(output.w),
        usize::from(output.c),
    );
    assert_eq!(
        (a.h, a.w, a.c),
        shape,
        "the output has the first operand's shape"
    );
    let mut out = Vec::new();
    for y in 0..a.h {
        for x in 0..a.w {
            for k in 0..a.c {
                out.push(f(k, a.at(y, x, k), partner(a, b, y, x, k)));
            }
        }
    }
    out
}

/// Equation (12).
pub(super) fn add(
    op: &Add,
    a: &Activation,
    b: &Activation,
    output: &Tensor,
    trace: &mut Trace,
) -> Vec<i8> {
    let one = 2_i128.pow(u32::from(op.shift));
    let (a_multiplier, b_multiplier) = (i128::from(op.a_multiplier), i128::from(op.b_multiplier));
    assert!((1..=22).contains(&op.shift), "shift {}", op.shift);
    assert!(
        a_multiplier.abs() <= 32767 && b_multiplier.abs() <= 32767,
        "{a_multiplier} and {b_multiplier}"
    );
    let offset = i128::from(output.zero_point) * one + one / 2
        - a.zero_point * a_multiplier
        - b.zero_point * b_multiplier;
    zip(a, b, output, |_, a, b| {
        let sum = a * a_multiplier + b * b_multiplier + offset;
        assert!(
            sum.abs() < 2_i128.pow(30) && offset.abs() < 2_i128.pow(30),
            "a sum of {sum}, an offset of {offset}"
        );
        trace.ties += u64::from(sum.rem_euclid(one) == 0);
        trace.clamp(sum.div_euclid(one), i128::from(op.min), i128::from(op.max))
    })
}

/// Equations (21) and (22): each operand is requantized on its own, and then one of the two is chosen.
pub(super) fn extremum(
    op: &Extremum,
    [a, b]: [&Activation; 2],
    output: &Tensor,
    choose: fn(i128, i128) -> i128,
    trace: &mut Trace,
) -> Vec<i8> {
    let one = 2_i128.pow(u32::from(op.shift));
    assert!((1..=22).contains(&op.shift), "shift {}", op.shift);
    let (a_zero_point, b_zero_point) = (a.zero_point, b.zero_point);
    let mut requantized = |value: i128, multiplier: i16| {
        let scaled = value * i128::from(multiplier) + one / 2;
        let all = scaled + i128::from(output.zero_point) * one;
        assert!(all.abs() < 2_i128.pow(30), "an operand of {all}");
        trace.ties += u64::from(scaled.rem_euclid(one) == 0);
        scaled.div_euclid(one) + i128::from(output.zero_point)
    };
    let mut chosen = Vec::new();
    let shape = zip(a, b, output, |_, a, b| {
        let first = requantized(a - a_zero_point, op.a_multiplier);
        let second = requantized(b - b_zero_point, op.b_multiplier);
        chosen.push(choose(first, second));
        0
    });
    assert_eq!(shape.len(), chosen.len());
    let (min, max) = (i128::from(op.min), i128::from(op.max));
    (chosen.into_iter())
        .map(|value| trace.clamp(value, min, max))
        .collect()
}

/// Equation (13).
pub(super) fn mul(
    op: &Mul,
    a: &Activation,
    b: &Activation,
    output: &Tensor,
    s: &Sections,
    trace: &mut Trace,
) -> Vec<i8> {
    let (a_zero_point, b_zero_point) = (a.zero_point, b.zero_point);
    zip(a, b, output, |k, a, b| {
        let acc = (a - a_zero_point) * (b - b_zero_point);
        requantize(
            acc,
            &s.requantizer(&op.requant, 0, k, output.zero_point),
            trace,
        )
    })
}

/// Equation (14).
pub(super) fn lut(op: &Lut, x: &Activation, s: &Sections) -> Vec<i8> {
    x.data
        .iter()
        .map(|&x| s.byte(op.table, (i32::from(x) + 128) as usize))
        .collect()
}
