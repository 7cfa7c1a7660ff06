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
use super::epilogue::Epilogue;
use super::tiles;

/// Taps of one tile: enough that starting a task does not show.
const TILE_TAPS: usize = 1 << 16;

/// How taps are combined.
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
        tiles::for_each(output, sample_out, tile_len, cost, |sample, tile, out| {
            let input = &input[sample * sample_in..][..sample_in];
            Arch::new().dispatch(Rows {
                operator: self,
                input,
                output: out,
                first: tile * self.tile,
            });
            epilogue.apply(out, 0, channels);
        });
    }
}

/// The output columns, of `columns`, whose window lies wholly within the `size` columns of the input.
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
}

/// The taps of one output pixel that lie inside the input, and where the first of them is.
#[derive(Clone, Copy)]
pub(super) struct Taps {
    rows: usize,
    columns: usize,
    /// Index of the first tap's input pixel, in elements.
    input: usize,
    /// Input elements from a tap to the one below and to the one at the right.
    input_step: [usize; 2],
    /// Index of the first tap, counted in the whole kernel.
    tap: usize,
    /// Taps in a row of the whole kernel.
    kernel_w: usize,
}

impl Taps {
    /// Calls `tap(at, index)` for every tap: its input element and its place in the whole kernel.
    #[inline(always)]
    pub(super) fn for_each(self, mut tap: impl FnMut(usize, usize)) {
        for ky in 0..self.rows {
            for kx in 0..self.columns {
                let at = self.input + ky * self.input_step[0] + kx * self.input_step[1];
                tap(at, self.tap + ky * self.kernel_w + kx);
            }
        }
    }
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

    /// One output pixel of a pool, or of a depthwise convolution with several filters a channel.
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

/// One output pixel of a depthwise convolution with several filters a channel.
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
