//! Convolution with groups, equation (7).

use super::super::cells::overlap;
use super::super::params::{Axis, Conv2dParams, Taps, split_rows};
use super::weights::{Int4, Int8, Row, channels};
use crate::parts::{Kernels, is_int4};
use core::cell::Cell;

/// Computes `output` from `input`; see [`Conv2dParams`]. The two do not overlap.
pub(in super::super) fn conv2d<K: Kernels>(
    p: &Conv2dParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    if is_int4::<K>(p.weight_type) {
        int4(p, input, output);
    } else {
        int8(p, input, output);
    }
}

// Compiled with this crate, whatever the settings of the one that runs a model.
#[inline(never)]
fn int8(p: &Conv2dParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    convolve::<Int8<'_>>(p, input, output);
}

#[inline(never)]
fn int4(p: &Conv2dParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    convolve::<Int4<'_>>(p, input, output);
}

/// Window of one output pixel.
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
    if let Some(window) = p.scratch.get(..products).filter(|_| p.groups == 1) {
        return gathered::<R>(p, window, input, output);
    }
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

/// A convolution without groups that first copies each window, padding included, behind each other; several channels then share its
/// activations. A pixel of outputs is written after its window was read.
fn gathered<'a, R: Row<'a>>(
    p: &Conv2dParams<'a>,
    window: &[Cell<i8>],
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    let step = horizontal.step() * p.input.c;
    let line_step = vertical.step() * p.input.w * p.input.c;
    let tap_line = horizontal.kernel * p.input.c;
    let in_place = overlap(input, output);
    for (oy, line) in split_rows(output, p.output.w * p.output.c).enumerate() {
        let rows = vertical.taps(oy);
        let above = rows.first_line(&vertical, p.input.w);
        for (ox, pixel) in split_rows(line, p.output.c).enumerate() {
            let columns = horizontal.taps(ox);
            let first = (above + columns.first) * p.input.c;
            if vertical.kernel == 1
                && horizontal.kernel == 1
                && !in_place
                && !rows.inside.is_empty()
                && !columns.inside.is_empty()
            {
                let x = input.get(first..first + p.input.c).unwrap_or_default();
                channels::<R>(p.weights, p.bias, &p.stage, x, pixel);
                continue;
            }
            let whole = columns.inside.len() == horizontal.kernel && p.window.dilation_w == 1;
            let mut start = first;
            for (ky, to) in split_rows(window, tap_line).enumerate() {
                if !rows.inside.contains(&ky) {
                    to.iter().for_each(|cell| cell.set(p.input_zero_point));
                    continue;
                }
                if whole {
                    copy(to, input.get(start..).unwrap_or_default());
                } else {
                    let mut x = start;
                    for (kx, to) in split_rows(to, p.input.c).enumerate() {
                        if columns.inside.contains(&kx) {
                            copy(to, input.get(x..).unwrap_or_default());
                            x += step;
                        } else {
                            to.iter().for_each(|cell| cell.set(p.input_zero_point));
                        }
                    }
                }
                start += line_step;
            }
            channels::<R>(p.weights, p.bias, &p.stage, window, pixel);
        }
    }
}

fn copy(to: &[Cell<i8>], from: &[Cell<i8>]) {
    for (to, from) in to.iter().zip(from) {
        to.set(from.get());
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

#[cfg(test)]
mod tests {
    use super::super::super::params::{Shape, Stage};
    use super::super::testing::{ONE, cells, outputs, unit, window};
    use super::*;
    use crate::format::place::{ParamIndex, WeightsOffset};
    use crate::format::program::WeightType;
    use crate::format::program::{Clamp, Requant, Window};
    use crate::parts::AllKernels;

    fn params<'a>(
        input: [usize; 3],
        output: [usize; 3],
        window: Window,
        weights: &'a [i8],
        bias: &'a [i32],
    ) -> Conv2dParams<'a> {
        let shape = |[h, w, c]: [usize; 3]| Shape { h, w, c };
        Conv2dParams {
            input: shape(input),
            output: shape(output),
            window,
            groups: 1,
            input_zero_point: 0,
            weight_type: WeightType::Int8,
            weights,
            bias,
            stage: unit(&[ONE; 8]),
            scratch: &[],
        }
    }

    #[test]
    fn a_window_slides_over_its_padding() {
        // 1 2 3 / 4 5 6 / 7 8 9 under a kernel of ones: sums of neighbourhoods; padding reads the zero point, 10.
        let x = cells(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let p = params([3, 3, 1], [3, 3, 1], window(3, 1, 1, 1), &[1; 9], &[0]);
        assert_eq!(
            outputs(9, |y| conv2d::<AllKernels>(&p, &x, y)),
            [12, 21, 16, 27, 45, 33, 24, 39, 28]
        );
        let p = Conv2dParams {
            input_zero_point: 10,
            ..p
        };
        assert_eq!(
            outputs(9, |y| conv2d::<AllKernels>(&p, &x, y)),
            [62, 51, 66, 57, 45, 63, 74, 69, 78]
        );
    }

    #[test]
    fn strides_and_dilations_skip() {
        let x = cells(&core::array::from_fn::<i8, 25, _>(|i| i as i8));
        // Corners of a 3 x 3 square two apart: centre times 4.
        let weights = [1, 0, 1, 0, 0, 0, 1, 0, 1];
        let p = params([5, 5, 1], [1, 1, 1], window(3, 1, 0, 2), &weights, &[7]);
        assert_eq!(outputs(1, |y| conv2d::<AllKernels>(&p, &x, y)), [48 + 7]);
        // One tap, every second pixel.
        let p = params([5, 5, 1], [3, 3, 1], window(1, 2, 0, 1), &[1], &[0]);
        assert_eq!(
            outputs(9, |y| conv2d::<AllKernels>(&p, &x, y)),
            [0, 2, 4, 10, 12, 14, 20, 22, 24]
        );
        // Dilation and padding: the window's corners fall outside but for one.
        let p = params([5, 5, 1], [7, 7, 1], window(3, 1, 3, 2), &weights, &[0]);
        assert_eq!(
            outputs(49, |y| conv2d::<AllKernels>(&p, &x, y))[..3],
            [6, 7, 8]
        );
    }

    #[test]
    fn groups_keep_to_themselves() {
        // Two pixels of four channels; group 0 adds its two, group 1 subtracts.
        let x = cells(&[1, 2, 3, 5, 10, 20, 30, 50]);
        let p = params(
            [1, 2, 4],
            [1, 2, 2],
            window(1, 1, 0, 1),
            &[1, 1, 1, -1],
            &[0, 100],
        );
        let p = Conv2dParams { groups: 2, ..p };
        assert_eq!(
            outputs(4, |y| conv2d::<AllKernels>(&p, &x, y)),
            [3, 98, 30, 80]
        );
    }

    #[test]
    fn int4_is_int8_in_less_space() {
        // Rows of 18 weights; the taps of one input channel pair start in the middle of a byte for odd channels.
        let weights: Vec<i8> = (0..2 * 27).map(|i| (i * 11 % 15) as i8 - 7).collect();
        let packed: Vec<i8> = (weights.chunks(27))
            .flat_map(|row| {
                row.chunks(2)
                    .map(|w| (w[0] & 15) | (w.get(1).copied().unwrap_or(0) << 4))
            })
            .collect();
        let x: Vec<i8> = (0..48).map(|i| (i * 29 % 41) as i8 - 20).collect();
        for (window, size) in [
            (window(3, 1, 1, 1), 4),
            (window(3, 1, 2, 2), 4),
            (window(3, 2, 1, 1), 2),
        ] {
            let p = params([4, 4, 3], [size, size, 2], window, &weights, &[3, -4]);
            // A quarter of the accumulator, so that little saturates.
            let stage = Stage {
                pre_shift: 0,
                ..p.stage
            };
            let p = Conv2dParams {
                input_zero_point: -6,
                stage,
                ..p
            };
            let q = Conv2dParams {
                weight_type: WeightType::Int4,
                weights: &packed,
                ..p
            };
            let len = size * size * 2;
            assert_eq!(
                outputs(len, |y| conv2d::<AllKernels>(&p, &cells(&x), y)),
                outputs(len, |y| conv2d::<AllKernels>(&q, &cells(&x), y))
            );
        }
    }

    #[test]
    fn channels_have_their_own_multiplier_and_clamp() {
        let clamp = Clamp::PerChannel {
            offset: WeightsOffset::new(0),
        };
        let requant = Requant {
            multipliers: ParamIndex::new(0),
            pre_shift: 0,
            clamp,
        };
        let stage = Stage::new(5, &requant, &[1 << 30, 1 << 29], &[-128, 20, 0, 127]);
        let p = params(
            [1, 1, 1],
            [1, 1, 2],
            window(1, 1, 0, 1),
            &[100, -100],
            &[0, 0],
        );
        let p = Conv2dParams { stage, ..p };
        assert_eq!(
            outputs(2, |y| conv2d::<AllKernels>(&p, &cells(&[1]), y)),
            [20, 0]
        );
        assert_eq!(
            outputs(2, |y| conv2d::<AllKernels>(&p, &cells(&[-1]), y)),
            [-20, 18]
        );
    }
}
