//! Depthwise convolution with a depth multiplier, equation (8).
//!
//! Weights lie tap by tap, channels innermost, as activations do: the loops add one tap to a block of channels at a time,
//! in accumulators that stay in registers or on the stack.

use super::super::params::{Axis, Conv2dParams, Taps, split_rows};
use super::weights::{Int4, Int8, Row};
use crate::format::program::WeightType;
use core::cell::Cell;

/// Channels that are accumulated together; even, so that a block of int4 weights starts on a byte.
const BLOCK: usize = 16;

/// Computes `output` from `input`; see [`Conv2dParams`]. The two do not overlap.
pub(in super::super) fn depthwise_conv2d(
    p: &Conv2dParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    match p.weight_type {
        WeightType::Int8 => convolve::<Int8<'_>>(p, input, output),
        WeightType::Int4 => convolve::<Int4<'_>>(p, input, output),
    }
}

fn convolve<'a, R: Row<'a>>(p: &Conv2dParams<'a>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    for (oy, line) in split_rows(output, p.output.w * p.output.c).enumerate() {
        let rows = vertical.taps(oy);
        for (ox, pixel) in split_rows(line, p.output.c).enumerate() {
            let columns = horizontal.taps(ox);
            for (block, outputs) in pixel.chunks(BLOCK).enumerate() {
                let first = block * BLOCK;
                let mut acc = [0; BLOCK];
                for (acc, bias) in acc.iter_mut().zip(p.bias.get(first..).unwrap_or_default()) {
                    *acc = *bias;
                }
                accumulate::<R>(p, (&rows, &columns), first, &mut acc, input);
                for ((y, acc), o) in outputs.iter().zip(acc).zip(first..) {
                    y.set(p.stage.requantizer(o, o).requantize(acc));
                }
            }
        }
    }
}

/// Adds all taps to the accumulators of the output channels from `first` on; those behind the last channel get rubbish.
fn accumulate<'a, R: Row<'a>>(
    p: &Conv2dParams<'a>,
    (rows, columns): (&Taps, &Taps),
    first: usize,
    acc: &mut [i32; BLOCK],
    input: &[Cell<i8>],
) {
    let (kernel_h, kernel_w) = (
        usize::from(p.window.kernel_h),
        usize::from(p.window.kernel_w),
    );
    let zero_point = i32::from(p.input_zero_point);
    let depth_multiplier = p.output.c.checked_div(p.input.c).unwrap_or(1).max(1);
    for ky in 0..kernel_h {
        for kx in 0..kernel_w {
            let weights = R::of(p.weights, ky * kernel_w + kx, p.output.c).from(first);
            if !rows.inside.contains(&ky) || !columns.inside.contains(&kx) {
                for (acc, w) in acc.iter_mut().zip(weights) {
                    *acc += zero_point * w;
                }
                continue;
            }
            let y = rows.first + (ky - rows.inside.start) * usize::from(p.window.dilation_h);
            let x = columns.first + (kx - columns.inside.start) * usize::from(p.window.dilation_w);
            let start = (y * p.input.w + x) * p.input.c;
            let pixel = input.get(start..start + p.input.c).unwrap_or_default();
            if depth_multiplier == 1 {
                let channels = pixel.get(first..).unwrap_or_default();
                for ((acc, w), x) in acc.iter_mut().zip(weights).zip(channels) {
                    *acc += w * i32::from(x.get());
                }
            } else {
                let mut channel = first / depth_multiplier;
                let mut repeat = first % depth_multiplier;
                for (acc, w) in acc.iter_mut().zip(weights) {
                    *acc += w * i32::from(pixel.get(channel).map_or(0, Cell::get));
                    repeat += 1;
                    if repeat == depth_multiplier {
                        (channel, repeat) = (channel + 1, 0);
                    }
                }
            }
        }
    }
}
