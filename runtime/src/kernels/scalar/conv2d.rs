//! Convolution with groups, equation (7).

use super::super::params::{Axis, Conv2dParams, Taps, split_rows};
use super::weights::{Int4, Int8, Row};
use crate::format::program::WeightType;
use core::cell::Cell;

/// Computes `output` from `input`; see [`Conv2dParams`]. The two do not overlap.
pub(in super::super) fn conv2d(p: &Conv2dParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    match p.weight_type {
        WeightType::Int8 => convolve::<Int8<'_>>(p, input, output),
        WeightType::Int4 => convolve::<Int4<'_>>(p, input, output),
    }
}

/// Where one output pixel looks.
struct Field<'t> {
    rows: &'t Taps,
    columns: &'t Taps,
}

fn convolve<'a, R: Row<'a>>(p: &Conv2dParams<'a>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    let group_inputs = p.input.c.checked_div(p.groups).unwrap_or(0);
    let group_outputs = p.output.c.checked_div(p.groups).unwrap_or(0);
    let products = vertical.kernel * horizontal.kernel * group_inputs;
    for (oy, line) in split_rows(output, p.output.w * p.output.c).enumerate() {
        let rows = vertical.taps(oy);
        for (ox, pixel) in split_rows(line, p.output.c).enumerate() {
            let columns = horizontal.taps(ox);
            let field = Field {
                rows: &rows,
                columns: &columns,
            };
            for (group, outputs) in split_rows(pixel, group_outputs).enumerate() {
                // The group's channels, at every pixel, start here.
                let input = input.get(group * group_inputs..).unwrap_or_default();
                let channels = group * group_outputs..;
                for (y, o) in outputs.iter().zip(channels) {
                    let row = R::of(p.weights, o, products);
                    let acc = p.bias.get(o).copied().unwrap_or(0)
                        + accumulate(p, &field, row, group_inputs, input);
                    y.set(p.stage.requantizer(o, o).requantize(acc));
                }
            }
        }
    }
}

/// The sum of (7) for one output. Taps outside the input read `input_zero_point`: it times the sum of their weights.
#[inline]
fn accumulate<'a, R: Row<'a>>(
    p: &Conv2dParams<'_>,
    field: &Field<'_>,
    row: R,
    group_inputs: usize,
    input: &[Cell<i8>],
) -> i32 {
    let (rows, columns) = (field.rows, field.columns);
    let kernel_w = usize::from(p.window.kernel_w);
    let line = kernel_w * group_inputs;
    // A line's taps inside the input are one run of memory when neither a dilation nor other groups come between.
    let contiguous = p.window.dilation_w == 1 && p.groups == 1;
    let mut acc = 0;
    // Sum of the weights outside the input.
    let mut outside = row.sum(0, rows.inside.start * line);
    let mut y = rows.first;
    for ky in rows.inside.clone() {
        let start = ky * line;
        let first = start + columns.inside.start * group_inputs;
        let end = start + columns.inside.end * group_inputs;
        outside += row.sum(start, first - start) + row.sum(end, start + line - end);
        let pixel = (y * p.input.w + columns.first) * p.input.c;
        if contiguous {
            acc += row.dot(
                first,
                input.get(pixel..pixel + (end - first)).unwrap_or_default(),
            );
        } else {
            let step = usize::from(p.window.dilation_w) * p.input.c;
            for (tap, _) in columns.inside.clone().enumerate() {
                let x = pixel + tap * step;
                acc += row.dot(
                    first + tap * group_inputs,
                    input.get(x..x + group_inputs).unwrap_or_default(),
                );
            }
        }
        y += usize::from(p.window.dilation_h);
    }
    let below = rows.inside.end * line;
    outside += row.sum(below, usize::from(p.window.kernel_h) * line - below);
    acc + i32::from(p.input_zero_point) * outside
}
