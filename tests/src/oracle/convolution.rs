//! Section 4: equations (6) to (9).
//!
//! One output element at a time, one product at a time.

use super::{Activation, Sections, Trace, requantize};
use fewbit_runtime::format::program::{Conv2d, FullyConnected, Tensor, Window};

/// Equation (6).
fn out_size(
    input: usize,
    pad_before: u8,
    pad_after: u8,
    dilation: u8,
    kernel: u16,
    stride: u8,
) -> i128 {
    let e = i128::from(dilation) * (i128::from(kernel) - 1) + 1;
    let space = input as i128 + i128::from(pad_before) + i128::from(pad_after) - e;
    space.div_euclid(i128::from(stride)) + 1
}

/// Asserts that the output's height and width are those of equation (6).
pub(super) fn check_out_size(window: &Window, x: &Activation, output: &Tensor) {
    let v = window;
    let h = out_size(
        x.h,
        v.pad_top,
        v.pad_bottom,
        v.dilation_h,
        v.kernel_h,
        v.stride_h,
    );
    let w = out_size(
        x.w,
        v.pad_left,
        v.pad_right,
        v.dilation_w,
        v.kernel_w,
        v.stride_w,
    );
    assert_eq!(
        (h, w),
        (i128::from(output.h), i128::from(output.w)),
        "equation (6)"
    );
}

/// The input coordinates that tap `(ky, kx)` of output `(oy, ox)` reads; they may lie outside.
pub(super) fn input_position(
    window: &Window,
    oy: usize,
    ox: usize,
    ky: usize,
    kx: usize,
) -> (i128, i128) {
    let y = oy as i128 * i128::from(window.stride_h) + ky as i128 * i128::from(window.dilation_h);
    let x = ox as i128 * i128::from(window.stride_w) + kx as i128 * i128::from(window.dilation_w);
    (
        y - i128::from(window.pad_top),
        x - i128::from(window.pad_left),
    )
}

/// An element of the input, or its zero point outside.
fn padded(x: &Activation, y: i128, column: i128, k: usize, trace: &mut Trace) -> i128 {
    if x.contains(y, column) {
        x.at(y as usize, column as usize, k)
    } else {
        trace.border_reads += 1;
        x.zero_point
    }
}

/// Equation (7).
pub(super) fn conv_2d(
    op: &Conv2d,
    x: &Activation,
    output: &Tensor,
    s: &Sections,
    trace: &mut Trace,
) -> Vec<i8> {
    check_out_size(&op.window, x, output);
    let (kernel_h, kernel_w) = (
        usize::from(op.window.kernel_h),
        usize::from(op.window.kernel_w),
    );
    let (groups, out_c) = (usize::from(op.groups), usize::from(output.c));
    assert!(
        x.c.is_multiple_of(groups) && out_c % groups == 0,
        "{groups} groups, {} and {out_c} channels",
        x.c
    );
    let inner = x.c / groups;
    let mut y = Vec::new();
    for oy in 0..usize::from(output.h) {
        for ox in 0..usize::from(output.w) {
            for o in 0..out_c {
                let g = o / (out_c / groups);
                let mut acc = s.param(op.bias, o);
                for ky in 0..kernel_h {
                    for kx in 0..kernel_w {
                        let (row, column) = input_position(&op.window, oy, ox, ky, kx);
                        for i in 0..inner {
                            let index = (ky * kernel_w + kx) * inner + i;
                            let w = s.weight(
                                op.weights,
                                op.weight_type,
                                o,
                                index,
                                kernel_h * kernel_w * inner,
                            );
                            acc += padded(x, row, column, g * inner + i, trace) * w;
                        }
                    }
                }
                y.push(requantize(
                    acc,
                    &s.requantizer(&op.requant, o, o, output.zero_point),
                    trace,
                ));
            }
        }
    }
    y
}

/// Equation (8).
pub(super) fn depthwise_conv_2d(
    op: &Conv2d,
    x: &Activation,
    output: &Tensor,
    s: &Sections,
    trace: &mut Trace,
) -> Vec<i8> {
    check_out_size(&op.window, x, output);
    let (kernel_h, kernel_w) = (
        usize::from(op.window.kernel_h),
        usize::from(op.window.kernel_w),
    );
    let out_c = usize::from(output.c);
    assert_eq!(out_c % x.c, 0, "a whole depth multiplier");
    assert_eq!(usize::from(op.groups), x.c, "groups are the input channels");
    let depth_multiplier = out_c / x.c;
    let mut y = Vec::new();
    for oy in 0..usize::from(output.h) {
        for ox in 0..usize::from(output.w) {
            for o in 0..out_c {
                let c = o / depth_multiplier;
                let mut acc = s.param(op.bias, o);
                for ky in 0..kernel_h {
                    for kx in 0..kernel_w {
                        let (row, column) = input_position(&op.window, oy, ox, ky, kx);
                        let w = s.weight(op.weights, op.weight_type, ky * kernel_w + kx, o, out_c);
                        acc += padded(x, row, column, c, trace) * w;
                    }
                }
                y.push(requantize(
                    acc,
                    &s.requantizer(&op.requant, o, o, output.zero_point),
                    trace,
                ));
            }
        }
    }
    y
}

/// Equation (9).
pub(super) fn fully_connected(
    op: &FullyConnected,
    x: &Activation,
    output: &Tensor,
    s: &Sections,
    trace: &mut Trace,
) -> Vec<i8> {
    let inner = x.data.len();
    let mut y = Vec::new();
    for o in 0..usize::from(output.c) {
        let mut acc = s.param(op.bias, o);
        for i in 0..inner {
            acc += i128::from(x.data[i]) * s.weight(op.weights, op.weight_type, o, i, inner);
        }
        y.push(requantize(
            acc,
            &s.requantizer(&op.requant, o, o, output.zero_point),
            trace,
        ));
    }
    y
}
