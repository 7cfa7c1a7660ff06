//! Convolution as matrix product: windows as rows, filters as columns.
//!
//! A 1x1 convolution multiplies the input where it lies; any other one gathers a tile of windows (im2col) into a buffer that stays
//! in the cache. Weights are transposed once to `[group][kernel_h][kernel_w][in][out]`, the layout that gemm reads without packing.

use crate::graph::{Conv2d, Window};

use super::epilogue::Epilogue;
use super::{matmul, tiles};

/// Elements of the gathered windows of one tile: half of a small second-level cache.
const TILE_ELEMENTS: usize = 1 << 15;

/// A convolution with one or more groups, prepared for an input size.
#[derive(Clone, Debug)]
pub(super) struct DenseConv {
    window: Window,
    /// Height and width of the input.
    input: [usize; 2],
    /// Height and width of the output.
    output: [usize; 2],
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    weights: Vec<f32>,
    /// Output pixels in a tile.
    tile: usize,
}

impl DenseConv {
    pub(super) fn new(conv: &Conv2d, input: [usize; 2], output: [usize; 2]) -> Self {
        let depth = conv.linear.weights_per_channel();
        let out_channels = conv.linear.out_channels;
        let columns = out_channels / conv.groups;
        let mut weights = vec![0.0; conv.linear.weights.len()];
        for (row, values) in conv.linear.rows().enumerate() {
            let (group, column) = (row / columns, row % columns);
            let matrix = &mut weights[group * depth * columns..][..depth * columns];
            for (k, &value) in values.iter().enumerate() {
                matrix[k * columns + column] = value;
            }
        }
        DenseConv {
            window: conv.window,
            input,
            output,
            in_channels: conv.in_channels,
            out_channels,
            groups: conv.groups,
            weights,
            tile: tiles::rows(output[0] * output[1], depth, TILE_ELEMENTS),
        }
    }

    fn depth(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1] * (self.in_channels / self.groups)
    }

    /// Whether row `i` of the gathered matrix is pixel `i` of the input.
    fn is_pointwise(&self) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && !self.window.is_padded()
    }

    pub(super) fn run(&self, input: &[f32], output: &mut [f32], epilogue: &Epilogue) {
        let sample_in = self.input[0] * self.input[1] * self.in_channels;
        let sample_out = self.output[0] * self.output[1] * self.out_channels;
        let depth = self.depth();
        let columns = self.out_channels / self.groups;
        let cost = output.len() * depth;
        let tile_len = self.tile * self.out_channels;
        tiles::for_each(output, sample_out, tile_len, cost, |sample, tile, out| {
            let input = &input[sample * sample_in..][..sample_in];
            let rows = out.len() / self.out_channels;
            let first = tile * self.tile;
            let mut shape = matmul::Shape {
                rows,
                depth,
                columns,
                lhs_stride: depth,
                out_stride: self.out_channels,
            };
            for group in 0..self.groups {
                let weights = &self.weights[group * depth * columns..][..depth * columns];
                let out = &mut out[group * columns..];
                if self.is_pointwise() {
                    shape.lhs_stride = self.in_channels;
                    let lhs = &input[first * self.in_channels + group * depth..];
                    shape.multiply(lhs, weights, out);
                } else {
                    tiles::with_scratch(rows * depth, |windows| {
                        self.gather(input, first, group, windows);
                        shape.multiply(windows, weights, out);
                    });
                }
            }
            epilogue.apply(out, 0, self.out_channels);
        });
    }

    /// Copies the windows of output pixels `first..` of one group to `windows`, one a row, zeros for padding.
    fn gather(&self, input: &[f32], first: usize, group: usize, windows: &mut [f32]) {
        let Window {
            kernel,
            stride,
            dilation,
            pad_before,
            ..
        } = self.window;
        let channels = self.in_channels / self.groups;
        let pixel = |y: usize, x: usize| {
            &input[(y * self.input[1] + x) * self.in_channels + group * channels..]
        };
        let contiguous = self.groups == 1 && dilation[1] == 1;
        for (row, window) in windows.chunks_exact_mut(self.depth()).enumerate() {
            let (out_y, out_x) = (
                (first + row) / self.output[1],
                (first + row) % self.output[1],
            );
            let taps_x = valid_taps(&self.window, 1, out_x, self.input[1]);
            for (ky, line) in window.chunks_exact_mut(kernel[1] * channels).enumerate() {
                let y = (out_y * stride[0] + ky * dilation[0]).wrapping_sub(pad_before[0]);
                if y >= self.input[0] || taps_x.is_empty() {
                    line.fill(0.0);
                    continue;
                }
                let x = |kx: usize| out_x * stride[1] + kx * dilation[1] - pad_before[1];
                let (start, end) = (taps_x.start * channels, taps_x.end * channels);
                line[..start].fill(0.0);
                line[end..].fill(0.0);
                if contiguous {
                    let from = pixel(y, x(taps_x.start));
                    line[start..end].copy_from_slice(&from[..end - start]);
                } else {
                    for kx in taps_x.clone() {
                        line[kx * channels..][..channels]
                            .copy_from_slice(&pixel(y, x(kx))[..channels]);
                    }
                }
            }
        }
    }
}

/// The taps of a window that lie inside an input of `size`, for output position `position` along `axis`.
#[inline(always)]
pub(super) fn valid_taps(
    window: &Window,
    axis: usize,
    position: usize,
    size: usize,
) -> std::ops::Range<usize> {
    let (dilation, pad) = (window.dilation[axis], window.pad_before[axis]);
    let origin = position * window.stride[axis];
    let first = pad.saturating_sub(origin).div_ceil(dilation);
    let end = (size + pad)
        .saturating_sub(origin)
        .div_ceil(dilation)
        .min(window.kernel[axis]);
    first.min(end)..end
}
