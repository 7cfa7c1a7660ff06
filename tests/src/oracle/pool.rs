//! Section 5: equations (10) and (11).
//!
//! Only positions inside of the input take part.

use super::convolution::{check_out_size, input_position};
use super::{Activation, Sections, Trace, requantize};
use fewbit_runtime::format::program::{AveragePool, MaxPool, Tensor, Window};

/// The values of channel `k` under the window of output `(oy, ox)`.
fn window_values(
    window: &Window,
    x: &Activation,
    oy: usize,
    ox: usize,
    k: usize,
    trace: &mut Trace,
) -> Vec<i128> {
    let mut values = Vec::new();
    for ky in 0..usize::from(window.kernel_h) {
        for kx in 0..usize::from(window.kernel_w) {
            let (row, column) = input_position(window, oy, ox, ky, kx);
            if x.contains(row, column) {
                values.push(x.at(row as usize, column as usize, k));
            } else {
                trace.border_reads += 1;
            }
        }
    }
    assert!(!values.is_empty(), "a window outside of the input");
    values
}

/// Equation (10).
pub(super) fn max_pool(
    op: &MaxPool,
    x: &Activation,
    output: &Tensor,
    trace: &mut Trace,
) -> Vec<i8> {
    check_out_size(&op.window, x, output);
    let mut y = Vec::new();
    for oy in 0..usize::from(output.h) {
        for ox in 0..usize::from(output.w) {
            for k in 0..usize::from(output.c) {
                let values = window_values(&op.window, x, oy, ox, k, trace);
                let largest = *values.iter().max().expect("a window is not empty");
                y.push(trace.clamp(largest, i128::from(op.min), i128::from(op.max)));
            }
        }
    }
    y
}

/// Equation (11).
pub(super) fn average_pool(
    op: &AveragePool,
    x: &Activation,
    output: &Tensor,
    s: &Sections,
    trace: &mut Trace,
) -> Vec<i8> {
    check_out_size(&op.window, x, output);
    let mut y = Vec::new();
    for oy in 0..usize::from(output.h) {
        for ox in 0..usize::from(output.w) {
            for k in 0..usize::from(output.c) {
                let values = window_values(&op.window, x, oy, ox, k, trace);
                let acc: i128 = values.iter().map(|value| value - x.zero_point).sum();
                let j = if op.multiplier_per_count {
                    values.len() - 1
                } else {
                    0
                };
                y.push(requantize(
                    acc,
                    &s.requantizer(&op.requant, j, k, output.zero_point),
                    trace,
                ));
            }
        }
    }
    y
}
