//! The vector family: Cortex-M55 and M85.
//!
//! Convolutions and fully connected layers with int8 weights are a tail-predicated loop in assembly over rows of weights in the default
//! order, with a portable model beside it that host tools and tests run. Depthwise convolutions with int8 weights, one clamp and whole
//! blocks of channels have a loop of their own (`depthwise`); other depthwise ones are `planar`. Everything else is the scalar family,
//! whose plain loops the compiler turns into vectors when it compiles for the very core.

mod depthwise;
mod rows;

use super::cells::overlap;
use super::params::{Axis, Conv2dParams, FullyConnectedParams, Limits, split_rows};
use super::{planar, scalar};
use crate::format::program::WeightType;
use crate::parts::{self, Kernels, is_int4};
use core::cell::Cell;
use depthwise::Pixel;
use rows::{copy_lines, rows};

/// Computes `output` from `input`; see [`FullyConnectedParams`]. The two do not overlap.
pub(super) fn fully_connected<K: Kernels>(
    p: &FullyConnectedParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    if is_int4::<K>(p.weight_type) {
        return scalar::fully_connected::<K>(p, input, output);
    }
    rows(p.weights, p.bias, &p.stage, input, output);
}

/// Computes `output` from `input`; see [`Conv2dParams`]. A pixel of outputs is written after its window was read.
pub(super) fn conv2d<K: Kernels>(p: &Conv2dParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (kernel_h, kernel_w) = (
        usize::from(p.window.kernel_h),
        usize::from(p.window.kernel_w),
    );
    let line = kernel_w * p.input.c;
    let window = p.scratch.get(..kernel_h * line);
    match (p.weight_type, p.groups, window) {
        (WeightType::Int8, 1, Some(window)) => gathered(p, window, input, output),
        _ => scalar::conv2d::<K>(p, input, output),
    }
}

// Compiled with this crate, whatever the settings of the one that runs a model.
#[inline(never)]
fn gathered(p: &Conv2dParams<'_>, window: &[Cell<i8>], input: &[Cell<i8>], output: &[Cell<i8>]) {
    let (kernel_h, kernel_w) = (
        usize::from(p.window.kernel_h),
        usize::from(p.window.kernel_w),
    );
    let line = kernel_w * p.input.c;
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    let stride = vertical.step() * p.input.w * p.input.c;
    let step = horizontal.step() * p.input.c;
    let direct = kernel_h == 1 && kernel_w == 1 && !overlap(input, output);
    for (oy, outputs) in split_rows(output, p.output.w * p.output.c).enumerate() {
        let taps_y = vertical.taps(oy);
        let above = taps_y.first_line(&vertical, p.input.w);
        for (ox, pixel) in split_rows(outputs, p.output.c).enumerate() {
            let taps_x = horizontal.taps(ox);
            let first = (above + taps_x.first) * p.input.c;
            let from = input.get(first..).unwrap_or_default();
            let inside = taps_y.inside.len() == kernel_h && taps_x.inside.len() == kernel_w;
            if inside && direct {
                rows(
                    p.weights,
                    p.bias,
                    &p.stage,
                    from.get(..line).unwrap_or_default(),
                    pixel,
                );
                continue;
            }
            if inside && p.window.dilation_w == 1 {
                copy_lines(window, from, kernel_h, line, stride);
            } else {
                window.iter().for_each(|cell| cell.set(p.input_zero_point));
                for (nth, ky) in taps_y.inside.clone().enumerate() {
                    let to = window
                        .get(ky * line + taps_x.inside.start * p.input.c..)
                        .unwrap_or_default();
                    let from = from.get(nth * stride..).unwrap_or_default();
                    // Taps beside each other, or single ones.
                    let taps = taps_x.inside.len();
                    if p.window.dilation_w == 1 {
                        copy_lines(to, from, 1, taps * p.input.c, 0);
                    } else {
                        copy_lines(to, from, taps, p.input.c, step);
                    }
                }
            }
            rows(p.weights, p.bias, &p.stage, window, pixel);
        }
    }
}

/// Computes `output` from `input`; see [`Conv2dParams`]. A pixel of outputs is written after its window was read.
pub(super) fn depthwise_conv2d<K: Kernels>(
    p: &Conv2dParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let (kernel_h, kernel_w) = (
        usize::from(p.window.kernel_h),
        usize::from(p.window.kernel_w),
    );
    let channels = p.input.c;
    let window = p.scratch.get(..kernel_h * kernel_w * channels);
    let plain = parts::is_plain(p.weight_type, channels, p.output.c);
    match (p.stage.limits, window) {
        (Limits::PerTensor(min, max), Some(window)) if plain => {
            channelwise(p, [min, max], window, input, output);
        }
        _ if K::LINKED.has(parts::DEPTHWISE_PLANAR) => {
            planar::depthwise_conv2d::<K>(planar::Elements::Int8, p, input, output);
        }
        // Refused by the loader.
        _ => {}
    }
}

#[inline(never)]
fn channelwise(
    p: &Conv2dParams<'_>,
    limits: [i8; 2],
    window: &[Cell<i8>],
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let (kernel_h, kernel_w) = (
        usize::from(p.window.kernel_h),
        usize::from(p.window.kernel_w),
    );
    let channels = p.input.c;
    let (vertical, horizontal) = (
        Axis::vertical(&p.window, p.input),
        Axis::horizontal(&p.window, p.input),
    );
    let line_step = vertical.step() * p.input.w * channels;
    let tap_step = horizontal.step() * channels;
    let in_place = overlap(input, output);
    for (oy, outputs) in split_rows(output, p.output.w * channels).enumerate() {
        let taps_y = vertical.taps(oy);
        let above = taps_y.first_line(&vertical, p.input.w);
        for (ox, output) in split_rows(outputs, channels).enumerate() {
            let taps_x = horizontal.taps(ox);
            let first = (above + taps_x.first) * channels;
            let from = input.get(first..).unwrap_or_default();
            let inside = taps_y.inside.len() == kernel_h && taps_x.inside.len() == kernel_w;
            let pixel = Pixel {
                window: from,
                tap_step,
                line_step,
                taps: [kernel_h, kernel_w],
                channels,
                weights: p.weights,
                bias: p.bias,
                stage: &p.stage,
                limits,
                output,
            };
            if inside && !in_place && line_step >= kernel_w * tap_step {
                pixel.blocks();
                continue;
            }
            window.iter().for_each(|cell| cell.set(p.input_zero_point));
            for (nth, ky) in taps_y.inside.clone().enumerate() {
                for (tap, kx) in taps_x.inside.clone().enumerate() {
                    let to = window
                        .get((ky * kernel_w + kx) * channels..)
                        .unwrap_or_default();
                    let from = from
                        .get(nth * line_step + tap * tap_step..)
                        .unwrap_or_default();
                    copy_lines(to, from, 1, channels, 0);
                }
            }
            Pixel {
                window,
                tap_step: channels,
                line_step: kernel_w * channels,
                ..pixel
            }
            .blocks();
        }
    }
}
