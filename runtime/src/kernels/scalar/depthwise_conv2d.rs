//! Depthwise convolution with a depth multiplier, equation (8).
//!
//! Weights lie tap by tap, channels innermost, as activations do: the loops add one tap to a block of channels at a time,
//! in accumulators that stay in registers or on the stack.

use super::super::params::{Axis, Conv2dParams, Taps, split_rows};
use super::weights::{Int4, Int8, Row};
use crate::format::program::WeightType;
use crate::parts::{Kernels, is_int4};
use core::cell::Cell;

/// Channels that are accumulated together; even, so that a block of int4 weights starts on a byte.
const BLOCK: usize = 16;

/// Computes `output` from `input`; see [`Conv2dParams`]. The two do not overlap.
pub(in super::super) fn depthwise_conv2d<K: Kernels>(
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

/// The weights of a layer, by tap and channel, of either type.
#[derive(Clone, Copy)]
pub(in super::super) struct TapWeights<'a> {
    weights: &'a [i8],
    int4: bool,
    channels: usize,
}

impl<'a> TapWeights<'a> {
    pub(in super::super) fn new(p: &Conv2dParams<'a>) -> Self {
        TapWeights {
            weights: p.weights,
            int4: p.weight_type == WeightType::Int4,
            channels: p.output.c,
        }
    }

    /// The weight of a channel at a tap; 0 out of range.
    pub(in super::super) fn get(&self, tap: usize, channel: usize) -> i32 {
        if self.int4 {
            Int4::of(self.weights, tap, self.channels).at(channel)
        } else {
            let at = tap * self.channels + channel;
            self.weights.get(at).copied().unwrap_or(0).into()
        }
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

#[cfg(test)]
mod tests {
    use super::super::super::params::Shape;
    use super::super::testing::{ONE, cells, outputs, unit, window};
    use super::*;
    use crate::format::program::Window;
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
            stage: unit(&[ONE; 40]),
            scratch: &[],
        }
    }

    #[test]
    fn channels_keep_to_themselves() {
        // 2 x 2 pixels of 2 channels, one window: channel 0 sums, channel 1 takes the last pixel.
        let x = cells(&[1, 10, 2, 20, 3, 30, 4, 40]);
        let p = params(
            [2, 2, 2],
            [1, 1, 2],
            window(2, 1, 0, 1),
            &[1, 0, 1, 0, 1, 0, 1, 1],
            &[5, 6],
        );
        assert_eq!(
            outputs(2, |y| depthwise_conv2d::<AllKernels>(&p, &x, y)),
            [15, 46]
        );
    }

    #[test]
    fn padding_reads_the_zero_point() {
        let p = params(
            [1, 1, 1],
            [1, 1, 1],
            window(3, 1, 1, 1),
            &[1, 2, 3, 4, 5, 6, 7, -8, 9],
            &[0],
        );
        let p = Conv2dParams {
            input_zero_point: -2,
            ..p
        };
        // 5 * 3 - 2 * (29 - 5)
        assert_eq!(
            outputs(1, |y| depthwise_conv2d::<AllKernels>(&p, &cells(&[3]), y)),
            [15 - 48]
        );
    }

    #[test]
    fn a_depth_multiplier_repeats_inputs() {
        let x = cells(&[7, -9]);
        let p = params(
            [1, 1, 2],
            [1, 1, 6],
            window(1, 1, 0, 1),
            &[1, 2, 3, 4, 5, 6],
            &[0; 6],
        );
        assert_eq!(
            outputs(6, |y| depthwise_conv2d::<AllKernels>(&p, &x, y)),
            [7, 14, 21, -36, -45, -54]
        );
    }

    #[test]
    fn blocks_and_nibbles_do_not_show() {
        // 37 channels: two whole blocks and a rest, an odd number of nibbles a tap; and as 1 channel times 37.
        let weights: Vec<i8> = (0..37 * 9).map(|i| (i * 7 % 15) as i8 - 7).collect();
        let packed: Vec<i8> = (weights.chunks(37))
            .flat_map(|tap| {
                tap.chunks(2)
                    .map(|w| (w[0] & 15) | (w.get(1).copied().unwrap_or(0) << 4))
            })
            .collect();
        let bias = [0; 37];
        for in_c in [37, 1] {
            let x: Vec<i8> = (0..9 * in_c).map(|i| (i % 7) as i8 - 3).collect();
            let p = params(
                [3, 3, in_c],
                [3, 3, 37],
                window(3, 1, 1, 1),
                &weights,
                &bias,
            );
            let p = Conv2dParams {
                input_zero_point: 1,
                ..p
            };
            let q = Conv2dParams {
                weight_type: WeightType::Int4,
                weights: &packed,
                ..p
            };
            // The centre pixel by the equation.
            let centre: Vec<i32> = (0..37)
                .map(|o| {
                    (0..9)
                        .map(|tap| {
                            i32::from(x[tap * in_c + o % in_c]) * i32::from(weights[tap * 37 + o])
                        })
                        .sum()
                })
                .collect();
            let y = outputs(9 * 37, |y| {
                depthwise_conv2d::<AllKernels>(&p, &cells(&x), y)
            });
            let expected: Vec<i8> = centre
                .iter()
                .map(|acc| (*acc).clamp(-128, 127) as i8)
                .collect();
            assert_eq!(y[4 * 37..5 * 37], expected);
            assert_eq!(
                outputs(9 * 37, |y| depthwise_conv2d::<AllKernels>(
                    &q,
                    &cells(&x),
                    y
                )),
                y
            );
        }
    }
}
