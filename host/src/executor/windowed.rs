//! Operators that slide a window over each channel on its own.
//!
//! Depthwise convolution and pools.
//!
//! All three walk output pixels and go through the taps of each always in the same order: vector lanes are channels, so the width
//! of the vectors changes no sum.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::graph::{Conv2d, Window};

use super::depthwise;
use super::epilogue::{self, Epilogue, Tail};
use super::strips::{self, Strip};
use super::taps::Taps;
use super::tiles;

/// Taps of one tile: enough that starting a task does not show, and that lines of the input are used again while they are in the
/// first-level cache.
const TILE_TAPS: usize = 1 << 18;

/// Combination of taps.
#[derive(Clone, Debug)]
pub(super) enum Reduction {
    /// Weighted sum; weights `[kernel_h][kernel_w][out_channels]`.
    Depthwise { weights: Vec<f32> },
    /// Largest value.
    Max,
    /// Sum divided by the number of taps: all of them, or those inside the input.
    Average { count_include_pad: bool },
}

/// An operator with a window, prepared for an input size.
#[derive(Clone, Debug)]
pub(super) struct Windowed {
    window: Window,
    /// Height and width of the input.
    input: [usize; 2],
    /// Height and width of the output.
    output: [usize; 2],
    in_channels: usize,
    /// Output channels for each input channel; output channel `c` reads input channel `c / multiplier`.
    multiplier: usize,
    reduction: Reduction,
    /// Output rows in a tile.
    tile: usize,
    /// Output columns that see all columns of the kernel.
    inner: Range<usize>,
}

impl Windowed {
    pub(super) fn depthwise(conv: &Conv2d, input: [usize; 2], output: [usize; 2]) -> Self {
        let taps = conv.linear.weights_per_channel();
        let channels = conv.linear.out_channels;
        let mut weights = vec![0.0; conv.linear.weights.len()];
        for (channel, row) in conv.linear.rows().enumerate() {
            for tap in 0..taps {
                weights[tap * channels + channel] = row[tap];
            }
        }
        Windowed::new(
            conv.window,
            input,
            output,
            conv.in_channels,
            channels / conv.in_channels,
            Reduction::Depthwise { weights },
        )
    }

    pub(super) fn pool(
        window: Window,
        input: [usize; 2],
        output: [usize; 2],
        channels: usize,
        reduction: Reduction,
    ) -> Self {
        Windowed::new(window, input, output, channels, 1, reduction)
    }

    fn new(
        window: Window,
        input: [usize; 2],
        output: [usize; 2],
        in_channels: usize,
        multiplier: usize,
        reduction: Reduction,
    ) -> Self {
        let row_taps = output[1] * in_channels * multiplier * window.kernel[0] * window.kernel[1];
        Windowed {
            window,
            input,
            output,
            in_channels,
            multiplier,
            reduction,
            tile: tiles::rows(output[0], row_taps, TILE_TAPS),
            inner: inner(&window, output[1], input[1]),
        }
    }

    pub(super) fn run(&self, input: &[f32], output: &mut [f32], epilogue: &Epilogue) {
        let channels = self.in_channels * self.multiplier;
        let row_len = self.output[1] * channels;
        let sample_in = self.input[0] * self.input[1] * self.in_channels;
        let cost = output.len() * self.window.kernel[0] * self.window.kernel[1];
        let (sample_out, tile_len) = (self.output[0] * row_len, self.tile * row_len);
        // Strips have a tail; the other loops leave the whole epilogue to passes of their own.
        let (tail, rest) = match self.has_strips() {
            true => epilogue.split(),
            false => (Tail::default(), epilogue.steps.as_slice()),
        };
        tiles::for_each(output, sample_out, tile_len, cost, &|sample, tile, out| {
            let input = &input[sample * sample_in..][..sample_in];
            Arch::new().dispatch(Rows {
                operator: self,
                input,
                output: out,
                first: tile * self.tile,
                tail,
            });
            epilogue::apply(rest, out, 0, channels);
        });
    }
}

/// Output columns, of `columns`, whose window is inside the `size` columns of the input.
fn inner(window: &Window, columns: usize, size: usize) -> Range<usize> {
    let whole = |&x: &usize| window.taps_inside(1, x, size) == (0..window.kernel[1]);
    let first = (0..columns).find(whole).unwrap_or(columns);
    let len = (first..columns).take_while(whole).count();
    first..first + len
}

/// Output rows `first..` of one sample.
struct Rows<'a> {
    operator: &'a Windowed,
    input: &'a [f32],
    output: &'a mut [f32],
    first: usize,
    /// For strips.
    tail: Tail<'a>,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let operator = self.operator;
        let channels = operator.in_channels * operator.multiplier;
        let line_len = operator.output[1] * channels;
        if let Reduction::Depthwise { weights } = &operator.reduction
            && operator.multiplier == 1
        {
            let lines = self.output.len() / line_len;
            if operator.has_strips() {
                strips::Tile {
                    input: self.input,
                    out: self.output,
                    weights,
                    channels,
                    line_step: operator.line_step(),
                    kernel: operator.window.kernel[1],
                    stride: operator.window.stride[1],
                    strips: &operator.strips(self.first, lines),
                    tail: self.tail,
                }
                .run(simd);
                return;
            }
            depthwise::Tile {
                input: self.input,
                out: self.output,
                weights,
                channels,
                parts: &operator.parts(self.first, lines),
            }
            .run(simd);
            return;
        }
        for (row, line) in self.output.chunks_exact_mut(line_len).enumerate() {
            let out_y = self.first + row;
            for (out_x, out) in line.chunks_exact_mut(channels).enumerate() {
                operator.reduce(self.input, out, operator.taps(out_y, out_x));
            }
        }
    }
}

impl Windowed {
    /// Whether this is a convolution for which there are loops over strips.
    fn has_strips(&self) -> bool {
        let window = &self.window;
        matches!(self.reduction, Reduction::Depthwise { .. })
            && self.multiplier == 1
            && window.dilation[1] == 1
            && strips::has_kernel(window.kernel[1], window.stride[1])
    }

    /// Input elements from a line of the kernel to the next.
    fn line_step(&self) -> usize {
        self.window.dilation[0] * self.input[1] * self.in_channels
    }

    /// The pixels of `lines` output lines, cut into strips.
    fn strips(&self, first: usize, lines: usize) -> Vec<Strip> {
        let window = &self.window;
        let channels = self.in_channels * self.multiplier;
        (first..first + lines)
            .flat_map(|y| {
                tiles::even_parts(self.output[1], strips::MOST_PIXELS).map(move |part| (y, part))
            })
            .map(|(y, part)| {
                let taps = window.taps_inside(0, y, self.input[0]);
                let origin = part.start * window.stride[1];
                let pad = window.pad_before[1];
                let seen = (part.len() - 1) * window.stride[1] + window.kernel[1];
                let start = pad.saturating_sub(origin).min(seen);
                let end = (self.input[1] + pad).saturating_sub(origin).min(seen);
                let line = y * window.stride[0] + taps.start * window.dilation[0];
                let inside = !taps.is_empty() && start < end;
                Strip {
                    out: ((y - first) * self.output[1] + part.start) * channels,
                    pixels: part.len(),
                    columns: start..end,
                    // Without taps the index is meaningless and unused.
                    input: if inside {
                        ((line - window.pad_before[0]) * self.input[1] + origin + start - pad)
                            * self.in_channels
                    } else {
                        0
                    },
                    lines: if inside { taps } else { 0..0 },
                }
            })
            .collect()
    }

    /// The pixels of `lines` output lines, cut into parts that see the same taps.
    fn parts(&self, first: usize, lines: usize) -> Vec<depthwise::Pixels> {
        let channels = self.in_channels * self.multiplier;
        let Range { start, end } = self.inner;
        let inner = tiles::even_parts(end - start, depthwise::MOST_PIXELS)
            .map(|part| start + part.start..start + part.end);
        let single = |x: usize| x..x + 1;
        let columns: Vec<_> = (0..start)
            .map(single)
            .chain(inner)
            .chain((end..self.output[1]).map(single))
            .collect();
        (0..lines)
            .flat_map(|line| columns.iter().map(move |part| (line, part)))
            .map(|(line, part)| depthwise::Pixels {
                out: (line * self.output[1] + part.start) * channels,
                pixels: part.len(),
                taps: self.taps(first + line, part.start),
                step: self.window.stride[1] * self.in_channels,
            })
            .collect()
    }

    /// The taps of the output pixel at row `out_y` and column `out_x`.
    #[inline(always)]
    fn taps(&self, out_y: usize, out_x: usize) -> Taps {
        let window = &self.window;
        let row_pixels = self.input[1] * self.in_channels;
        let taps_y = window.taps_inside(0, out_y, self.input[0]);
        let taps_x = window.taps_inside(1, out_x, self.input[1]);
        let y = (out_y * window.stride[0] + taps_y.start * window.dilation[0])
            .wrapping_sub(window.pad_before[0]);
        let x = (out_x * window.stride[1] + taps_x.start * window.dilation[1])
            .wrapping_sub(window.pad_before[1]);
        Taps {
            rows: taps_y.len(),
            columns: taps_x.len(),
            // Without taps the index is meaningless and unused.
            input: if taps_y.is_empty() || taps_x.is_empty() {
                0
            } else {
                y * row_pixels + x * self.in_channels
            },
            input_step: [
                window.dilation[0] * row_pixels,
                window.dilation[1] * self.in_channels,
            ],
            tap: taps_y.start * window.kernel[1] + taps_x.start,
            kernel_w: window.kernel[1],
        }
    }

    /// One output pixel of a pool, or of a depthwise convolution with several filters per channel.
    #[inline(always)]
    fn reduce(&self, input: &[f32], out: &mut [f32], taps: Taps) {
        match &self.reduction {
            Reduction::Depthwise { weights } => {
                multiplied(input, out, taps, weights, self.multiplier);
            }
            Reduction::Max => {
                pixel(input, out, taps, f32::NEG_INFINITY, |acc, x| {
                    *acc = if *acc > x { *acc } else { x };
                });
            }
            Reduction::Average { count_include_pad } => {
                pixel(input, out, taps, 0.0, |acc, x| *acc += x);
                let count = if *count_include_pad {
                    self.window.kernel[0] * self.window.kernel[1]
                } else {
                    taps.rows * taps.columns
                };
                let count = count as f32;
                out.iter_mut().for_each(|x| *x /= count);
            }
        }
    }
}

/// One output pixel: blocks of channels, each through all taps. `combine(acc, x)` takes in one element.
#[inline(always)]
fn pixel(input: &[f32], out: &mut [f32], taps: Taps, start: f32, combine: impl Fn(&mut f32, f32)) {
    let mut first = 0;
    while out.len() - first >= 32 {
        block::<32>(input, out, first, taps, start, &combine);
        first += 32;
    }
    while out.len() - first >= 8 {
        block::<8>(input, out, first, taps, start, &combine);
        first += 8;
    }
    while out.len() > first {
        block::<1>(input, out, first, taps, start, &combine);
        first += 1;
    }
}

#[inline(always)]
fn block<const WIDTH: usize>(
    input: &[f32],
    out: &mut [f32],
    first: usize,
    taps: Taps,
    start: f32,
    combine: &impl Fn(&mut f32, f32),
) {
    let mut acc = [start; WIDTH];
    taps.for_each(|at, _| {
        let x = &input[at + first..][..WIDTH];
        for (acc, &x) in acc.iter_mut().zip(x) {
            combine(acc, x);
        }
    });
    out[first..first + WIDTH].copy_from_slice(&acc);
}

/// One output pixel of a depthwise convolution with several filters per channel.
#[inline(always)]
fn multiplied(input: &[f32], out: &mut [f32], taps: Taps, weights: &[f32], multiplier: usize) {
    let channels = out.len();
    out.fill(0.0);
    taps.for_each(|at, tap| {
        let x = &input[at..][..channels / multiplier];
        let weights = weights[tap * channels..][..channels].chunks_exact(multiplier);
        for ((out, weights), &x) in out.chunks_exact_mut(multiplier).zip(weights).zip(x) {
            for (out, &w) in out.iter_mut().zip(weights) {
                *out += x * w;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::epilogue::Step;
    use crate::graph::{Activation, Linear};
    use crate::random::Sequence;
    use pulp::{Scalar, Scalar128b, Scalar256b, Scalar512b};

    /// The sum of each output element, its taps one after the other, and then its tail.
    fn expected(conv: &Conv2d, size: [usize; 2], input: &[f32], steps: &[Step]) -> Vec<u32> {
        let (window, channels) = (&conv.window, conv.in_channels);
        let [out_h, out_w] = [0, 1].map(|axis| window.output_size(axis, size[axis]).unwrap());
        let mut values = Vec::new();
        for place in 0..out_h * out_w * channels {
            let (y, x, channel) = (
                place / channels / out_w,
                place / channels % out_w,
                place % channels,
            );
            let row = conv.linear.rows().nth(channel).unwrap();
            let mut sum = 0.0f32;
            for (tap, &weight) in row.iter().enumerate() {
                let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
                let at = (y * window.stride[0] + ky * window.dilation[0])
                    .checked_sub(window.pad_before[0])
                    .filter(|&y| y < size[0])
                    .zip(
                        (x * window.stride[1] + kx)
                            .checked_sub(window.pad_before[1])
                            .filter(|&x| x < size[1]),
                    );
                if let Some((y, x)) = at {
                    sum = input[(y * size[1] + x) * channels + channel].mul_add(weight, sum);
                }
            }
            for step in steps {
                sum = match step {
                    Step::Bias(bias) => sum + bias[channel],
                    Step::Affine { scale, shift } => sum * scale[channel] + shift[channel],
                    Step::Activation(activation) => activation.apply(channel, sum),
                };
            }
            values.push(sum.to_bits());
        }
        values
    }

    fn found<S: Simd>(simd: S, operator: &Windowed, input: &[f32], tail: Tail) -> Vec<u32> {
        let channels = operator.in_channels;
        let mut output = vec![f32::NAN; operator.output[0] * operator.output[1] * channels];
        // The last lines first, as a tile of their own.
        let first = operator.output[0] / 2;
        let (above, below) = output.split_at_mut(first * operator.output[1] * channels);
        for (first, output) in [(first, below), (0, above)] {
            let rows = Rows {
                operator,
                input,
                output,
                first,
                tail,
            };
            rows.with_simd(simd);
        }
        output.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn no_vector_changes_a_bit_of_a_strip() {
        let mut random = Sequence::new(7);
        // Channels, size, kernel, strides, dilation of lines, pads before and behind.
        let cases = [
            (5, [7, 7], [5, 5], [1, 1], 1, [2; 4]),
            (37, [9, 14], [3, 3], [1, 1], 1, [1; 4]),
            (16, [11, 19], [3, 3], [2, 2], 1, [0, 0, 1, 1]),
            (48, [12, 12], [5, 5], [2, 2], 1, [1, 1, 2, 2]),
            (33, [6, 3], [5, 5], [1, 1], 1, [2; 4]),
            (21, [9, 17], [3, 5], [1, 2], 2, [3, 4, 0, 1]),
            (17, [5, 1], [1, 3], [1, 1], 1, [0, 1, 0, 1]),
        ];
        for (channels, size, kernel, stride, dilation, pads) in cases {
            let mut numbers = |count: usize| -> Vec<f32> {
                let each = |_| (random.unit() - 0.5) * libm::exp2f(random.unit() * 20.0 - 10.0);
                (0..count).map(each).collect()
            };
            let conv = Conv2d {
                linear: Linear {
                    weights: numbers(channels * kernel[0] * kernel[1]),
                    bias: vec![0.0; channels],
                    out_channels: channels,
                    folded: None,
                },
                in_channels: channels,
                groups: channels,
                window: Window {
                    kernel,
                    stride,
                    dilation: [dilation, 1],
                    pad_before: [pads[0], pads[1]],
                    pad_after: [pads[2], pads[3]],
                },
            };
            let input = numbers(size[0] * size[1] * channels);
            let clip = Activation::Clip {
                min: -0.5,
                max: 60.0,
            };
            let affine = Step::Affine {
                scale: numbers(channels),
                shift: numbers(channels),
            };
            let output = [0, 1].map(|axis| conv.window.output_size(axis, size[axis]).unwrap());
            let operator = Windowed::depthwise(&conv, size, output);
            assert!(operator.has_strips());
            let bias = Step::Bias(numbers(channels));
            let epilogues = [
                vec![],
                vec![bias.clone()],
                vec![affine.clone(), Step::Activation(clip.clone())],
                vec![bias, affine, Step::Activation(clip)],
            ];
            for steps in epilogues {
                let expected = expected(&conv, size, &input, &steps);
                let epilogue = Epilogue { steps };
                let (tail, rest) = epilogue.split();
                assert!(rest.is_empty());
                for found in [
                    found(Scalar, &operator, &input, tail),
                    found(Scalar128b, &operator, &input, tail),
                    found(Scalar256b, &operator, &input, tail),
                    found(Scalar512b, &operator, &input, tail),
                ] {
                    assert_eq!(
                        found, expected,
                        "{channels} channels, {kernel:?}, {stride:?}"
                    );
                }
            }
        }
    }
}
