//! Convolution with one or more groups of several channels.
//!
//! Without padding, the inputs of an output pixel are a few contiguous runs of elements, the same distances apart for every
//! pixel; the inner loops read them in place. An input with padding is first copied, with its border, to a buffer that stays in
//! the cache, a tile at a time.

use std::ops::Range;

use crate::graph::{Conv2d, Window};

use super::epilogue::{self, Epilogue, Tail};
use super::products::{Panels, Products};
use super::tiles;

/// Elements that one tile reads and writes: a quarter of a small second-level cache.
const TILE_ELEMENTS: usize = 1 << 15;

/// Weights that are better read by one thread alone: half a mebibyte of them and more.
const MANY_WEIGHTS: usize = 1 << 17;

/// A convolution, prepared for an input size.
#[derive(Clone, Debug)]
pub(super) struct DenseConv {
    window: Window,
    /// Height and width of the input and the output. A pointwise convolution sees one long column of pixels.
    input: [usize; 2],
    output: [usize; 2],
    in_channels: usize,
    out_channels: usize,
    /// Weights of each group.
    groups: Vec<Panels>,
    /// Offsets of a window's runs from its first element, and the length of each.
    runs: Vec<usize>,
    run_len: usize,
}

impl DenseConv {
    pub(super) fn new(conv: &Conv2d, input: [usize; 2], output: [usize; 2]) -> Self {
        let window = conv.window;
        let linear = &conv.linear;
        let depth = linear.weights_per_channel();
        let of_group = linear.out_channels / conv.groups * depth;
        let groups = linear.weights.chunks_exact(of_group);
        let mut prepared = DenseConv {
            window,
            input,
            output,
            in_channels: conv.in_channels,
            out_channels: linear.out_channels,
            groups: groups.map(|rows| Panels::new(rows, depth)).collect(),
            runs: Vec::new(),
            run_len: conv.in_channels / conv.groups,
        };
        if prepared.is_pointwise() {
            prepared.input = [input[0] * input[1], 1];
            prepared.output = prepared.input;
        }
        let line = prepared.line_len() * prepared.tap_lines();
        let column = window.dilation[1] * conv.in_channels;
        let mut columns = window.kernel[1];
        if conv.groups == 1 && window.dilation[1] == 1 {
            prepared.run_len *= columns;
            columns = 1;
        }
        prepared.runs = (0..window.kernel[0])
            .flat_map(|ky| (0..columns).map(move |kx| ky * line + kx * column))
            .collect();
        prepared
    }

    /// Whether output pixel `i` depends on input pixel `i` and no other, for any line length.
    fn is_pointwise(&self) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && !self.window.is_padded()
    }

    /// Elements of a line as the inner loops see it: of the input, or with its border.
    fn line_len(&self) -> usize {
        let pads = self.window.pad_before[1] + self.window.pad_after[1];
        (self.input[1] + pads) * self.in_channels
    }

    /// Lines from a tap to the one below. A padded copy holds only lines that taps touch.
    fn tap_lines(&self) -> usize {
        match self.window.is_padded() {
            true => 1,
            false => self.window.dilation[0],
        }
    }

    /// Output lines in a tile; at least two tiles for `samples`.
    fn tile(&self, samples: usize) -> usize {
        if self.window.is_padded() && self.window.dilation[0] > 1 {
            return 1;
        }
        let cost = self.window.stride[0] * self.line_len() + self.output[1] * self.out_channels;
        let fitting = (TILE_ELEMENTS / cost).max(1);
        let lines = self.output[0];
        if self.is_pointwise() {
            let lines = samples * lines;
            let tiles = lines.div_ceil(fitting).next_multiple_of(2);
            return lines.div_ceil(tiles);
        }
        let two = if samples > 1 { 1 } else { 2 };
        fitting.min(lines.div_ceil(two))
    }

    /// Whether threads share out the output channels, each of them with all pixels: where weights are many, and more than the
    /// input. Elsewhere they share out pixels, which those of the next node then find in their own caches.
    fn shares_channels(&self, input: usize) -> bool {
        let weights = self.runs.len() * self.run_len * self.out_channels;
        let alone = self.groups.len() == 1 && !self.window.is_padded();
        alone && weights > MANY_WEIGHTS.max(input)
    }

    pub(super) fn run(&self, input: &[f32], output: &mut [f32], epilogue: &Epilogue) {
        let line_out = self.output[1] * self.out_channels;
        let mut sample_in = self.input[0] * self.input[1] * self.in_channels;
        let mut sample_out = self.output[0] * line_out;
        let tile = self.tile(output.len() / sample_out);
        if self.is_pointwise() {
            // Samples are more pixels of the same column.
            (sample_in, sample_out) = (input.len(), output.len());
        }
        let cost = output.len() * self.runs.len() * self.run_len;
        let (tail, rest) = epilogue.split();
        if sample_out == output.len() && self.shares_channels(sample_in) {
            let parts: Vec<_> = self.groups[0].parts(rayon::current_num_threads()).collect();
            tiles::for_each_part(output, self.out_channels, &parts, cost, |part, rows| {
                self.multiply(input, 0, rows, part.clone(), tail);
                for row in rows {
                    epilogue::apply(rest, row, part.start, part.len());
                }
            });
            return;
        }
        tiles::for_each(
            output,
            sample_out,
            tile * line_out,
            cost,
            &|sample, index, out| {
                let input = &input[sample * sample_in..][..sample_in];
                let first = index * tile;
                let mut rows: Vec<_> = out.chunks_exact_mut(self.out_channels).collect();
                let all = 0..self.out_channels;
                if self.window.is_padded() {
                    let lines = (rows.len() / self.output[1] - 1) * self.window.stride[0]
                        + self.window.kernel[0];
                    tiles::with_scratch(lines * self.line_len(), |padded| {
                        self.pad(input, first, padded);
                        self.multiply(padded, 0, &mut rows, all, tail);
                    });
                } else {
                    self.multiply(input, first, &mut rows, all, tail);
                }
                epilogue::apply(rest, out, 0, self.out_channels);
            },
        );
    }

    /// Copies the lines that the tile with output line `first` sees to `padded`, with zeros around them.
    fn pad(&self, input: &[f32], first: usize, padded: &mut [f32]) {
        let Window {
            stride,
            dilation,
            pad_before,
            ..
        } = self.window;
        let line_in = self.input[1] * self.in_channels;
        let before = pad_before[1] * self.in_channels;
        for (index, line) in padded.chunks_exact_mut(self.line_len()).enumerate() {
            let y = (first * stride[0] + index * dilation[0]).wrapping_sub(pad_before[0]);
            if y >= self.input[0] {
                line.fill(0.0);
                continue;
            }
            let (left, rest) = line.split_at_mut(before);
            let (inside, right) = rest.split_at_mut(line_in);
            left.fill(0.0);
            inside.copy_from_slice(&input[y * line_in..][..line_in]);
            right.fill(0.0);
        }
    }

    /// The output channels `wanted` of a tile whose output line `first` sees line `first * stride` of `source`; `rows` are these
    /// channels of its pixels.
    fn multiply(
        &self,
        source: &[f32],
        first: usize,
        rows: &mut [&mut [f32]],
        wanted: Range<usize>,
        tail: Tail,
    ) {
        let lines = rows.len() / self.output[1];
        let [step_y, step_x] = self.window.stride;
        let (step_y, step_x) = (step_y * self.line_len(), step_x * self.in_channels);
        let bases: Vec<usize> = (first..first + lines)
            .flat_map(|y| (0..self.output[1]).map(move |x| y * step_y + x * step_x))
            .collect();
        if let [panels] = self.groups.as_slice() {
            Products {
                source,
                bases: &bases,
                runs: &self.runs,
                run_len: self.run_len,
                panels,
                origin: wanted.start,
                wanted,
                tail,
                out: rows,
            }
            .run();
            return;
        }
        let in_channels = self.in_channels / self.groups.len();
        let out_channels = self.out_channels / self.groups.len();
        for (group, panels) in self.groups.iter().enumerate() {
            let first = group * out_channels;
            let mut rows: Vec<_> = rows
                .iter_mut()
                .map(|row| &mut row[first..][..out_channels])
                .collect();
            Products {
                source: &source[group * in_channels..],
                bases: &bases,
                runs: &self.runs,
                run_len: self.run_len,
                panels,
                wanted: 0..out_channels,
                tail: tail.at_channel(first),
                out: &mut rows,
                origin: 0,
            }
            .run();
        }
    }
}
