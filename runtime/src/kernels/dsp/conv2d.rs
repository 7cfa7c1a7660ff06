//! Convolution without groups, equation (7), four pixels at a time.

use super::super::params::{Axis, Conv2dParams};
use super::QUAD;
use super::expand::{copy_lines, expand4, sums};
use super::fully_connected::OddChannel;
use super::multiply::{Multiply, STEP_BYTES, SUMS_BYTES};
use crate::parts::{self, KernelSet, Kernels};
use core::cell::Cell;

/// Computes `output` from `input`; see [`Conv2dParams`].
///
/// A row of outputs is written after the rows of inputs that it reads; outputs may take the place of rows above those.
pub(in super::super) fn conv2d<K: Kernels>(
    p: &Conv2dParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let int4 = parts::is_int4::<K>(p.weight_type);
    let kernel_w = usize::from(p.window.kernel_w);
    let quads = (usize::from(p.window.kernel_h) * kernel_w * p.input.c).div_ceil(QUAD);
    let Some((activations, rest)) = p.scratch.split_at_checked(SUMS_BYTES + quads * STEP_BYTES)
    else {
        return;
    };
    let Some((sums_area, expanded)) = activations.split_at_checked(SUMS_BYTES) else {
        return;
    };
    let gather = Gather {
        p,
        input,
        expanded,
        rest,
        quads,
    };
    let kind = parts::windows(&p.window, p.input.c) & K::LINKED;
    gather.prepare(kind);
    let expand = |group: &Group| {
        gather.expand(kind, group);
        if int4 {
            sums(sums_area, expanded);
        }
    };
    let even = p.output.c / 2 * 2;
    let whole = Multiply {
        activations,
        weights: p.weights,
        int4,
        bias: p.bias,
        multipliers: p.stage.multipliers,
        quads,
        pairs: even / 2,
        stage: &p.stage,
        first_channel: 0,
        output,
    };
    if !K::LINKED.has(parts::ODD_CHANNELS) || even == p.output.c {
        return whole.blocks(|block| {
            groups(p, |group| {
                expand(&group);
                block(group.offsets);
            });
        });
    }
    // The last of an odd number of channels, into a place of its own.
    let word_bytes = if int4 { 4 } else { 8 };
    let odd = OddChannel::of(&p.stage, p.bias, even);
    let outputs = [const { Cell::new(0) }; 8];
    let last = Multiply {
        weights: p
            .weights
            .get(even / 2 * quads * word_bytes..)
            .unwrap_or_default(),
        bias: &odd.bias,
        multipliers: &odd.multipliers,
        pairs: 1,
        stage: &odd.stage,
        output: &outputs,
        ..whole
    };
    groups(p, |group| {
        expand(&group);
        if even > 0 {
            whole.blocks(|block| block(group.offsets));
        }
        last.blocks(|block| block([0, 2, 4, 6]));
        for (offset, from) in group.offsets.into_iter().zip(outputs.iter().step_by(2)) {
            if let Some(y) = output.get(offset + even) {
                y.set(from.get());
            }
        }
    });
}

/// Four output pixels in a row, and their positions in the output; after the last one, that one again.
struct Group {
    pixels: [Pixel; 4],
    offsets: [usize; 4],
}

/// Takes all output pixels by four.
fn groups(p: &Conv2dParams<'_>, mut each: impl FnMut(Group)) {
    let (width, channels) = (p.output.w, p.output.c);
    let end = p.output.h * width;
    let mut at = Pixel::default();
    let (mut index, mut offset) = (0, 0);
    while index < end {
        let mut group = Group {
            pixels: [at; 4],
            offsets: [offset; 4],
        };
        for (pixel, place) in group.pixels.iter_mut().zip(&mut group.offsets) {
            (*pixel, *place) = (at, offset);
            index += 1;
            if index < end {
                offset += channels;
                at.x += 1;
                if at.x == width {
                    at = Pixel { y: at.y + 1, x: 0 };
                }
            }
        }
        each(group);
    }
}

/// An output pixel.
#[derive(Clone, Copy, Default)]
struct Pixel {
    y: usize,
    x: usize,
}

/// Start of an output pixel's window in the input; negative in the padding.
#[derive(Clone, Copy, Default)]
struct Lane {
    y: isize,
    x: isize,
}

/// From windows of the input to expanded activations.
struct Gather<'g> {
    p: &'g Conv2dParams<'g>,
    input: &'g [Cell<i8>],
    expanded: &'g [Cell<i8>],
    /// A pixel of zero points where pixels are whole words, else the bytes of four windows.
    rest: &'g [Cell<i8>],
    quads: usize,
}

impl Gather<'_> {
    /// Zero points to read in the padding, or the zeros behind windows of bytes.
    fn prepare(&self, kind: KernelSet) {
        let value = if kind == parts::BYTE_WINDOWS {
            0
        } else {
            self.p.input_zero_point
        };
        self.rest.iter().for_each(|cell| cell.set(value));
    }

    #[inline]
    fn lane(&self, at: Pixel) -> Lane {
        let window = &self.p.window;
        let start = |at: usize, stride: u8, pad: u8| {
            (at * usize::from(stride))
                .wrapping_sub(pad.into())
                .cast_signed()
        };
        Lane {
            y: start(at.y, window.stride_h, window.pad_top),
            x: start(at.x, window.stride_w, window.pad_left),
        }
    }

    /// Expands the windows of four pixels; `kind` is one of the bits that [`parts::windows`] gives.
    #[inline]
    fn expand(&self, kind: KernelSet, group: &Group) {
        match kind {
            parts::POINTWISE_WINDOWS => self.expand_pixels(group),
            parts::WORD_WINDOWS => self.expand_words(group),
            parts::BYTE_WINDOWS => self.expand_bytes(group),
            _ => {}
        }
    }

    // Compiled with this crate, whatever the settings of the one that runs a model.

    /// Windows of one pixel, of whole words.
    #[inline(never)]
    fn expand_pixels(&self, group: &Group) {
        let (window, channels) = (&self.p.window, self.p.input.c);
        let (down, right) = (
            usize::from(window.stride_h) * self.p.input.w,
            usize::from(window.stride_w),
        );
        let from = group.pixels.map(|at| {
            let start = (at.y * down + at.x * right) * channels;
            self.input.get(start..start + channels).unwrap_or_default()
        });
        expand4(self.expanded, from, self.quads);
    }

    /// Up to `length` elements of line `y` from column `x` on; `None` outside.
    #[inline]
    fn run(&self, y: isize, x: isize, length: usize) -> Option<&[Cell<i8>]> {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        if y >= self.p.input.h || x >= self.p.input.w {
            return None;
        }
        let start = (y * self.p.input.w + x) * self.p.input.c;
        self.input.get(start..start + length)
    }

    /// Windows whose pixels are whole words.
    #[inline(never)]
    fn expand_words(&self, group: &Group) {
        let lanes = group.pixels.map(|at| self.lane(at));
        let (p, channels) = (self.p, self.p.input.c);
        let kernel_w = usize::from(p.window.kernel_w);
        let step = usize::from(p.window.dilation_w);
        // A line of a window is one run of memory when it lies inside as a whole.
        let last = p.input.w.wrapping_sub(kernel_w).cast_signed();
        let contiguous =
            (step == 1 || kernel_w == 1) && lanes.iter().all(|lane| lane.x >= 0 && lane.x <= last);
        let mut to = self.expanded;
        let mut put = |from: [&[Cell<i8>]; 4], length: usize| {
            expand4(to, from, length / QUAD);
            to = to.get(8 * length..).unwrap_or_default();
        };
        for ky in 0..usize::from(p.window.kernel_h) {
            let down = (ky * usize::from(p.window.dilation_h)).cast_signed();
            if contiguous {
                let length = kernel_w * channels;
                let [a, b, c, d] = lanes.map(|lane| self.run(lane.y + down, lane.x, length));
                if let (Some(a), Some(b), Some(c), Some(d)) = (a, b, c, d) {
                    put([a, b, c, d], length);
                    continue;
                }
            }
            for kx in 0..kernel_w {
                let right = (kx * step).cast_signed();
                let from = lanes.map(|lane| {
                    self.run(lane.y + down, lane.x + right, channels)
                        .unwrap_or(self.rest)
                });
                put(from, channels);
            }
        }
    }

    /// Any windows, of which lines are copied first.
    #[inline(never)]
    fn expand_bytes(&self, group: &Group) {
        let lanes = group.pixels.map(|at| self.lane(at));
        let row = self.quads * QUAD;
        let mut rows = [&[][..]; 4];
        let mut rest = self.rest;
        for (lane, bytes) in lanes.iter().zip(&mut rows) {
            let Some((window, behind)) = rest.split_at_checked(row) else {
                return;
            };
            (*bytes, rest) = (window, behind);
            self.copy_window(*lane, window);
        }
        expand4(self.expanded, rows, self.quads);
    }

    /// Copies a window, line by line as its weights are.
    fn copy_window(&self, lane: Lane, to: &[Cell<i8>]) {
        let (p, channels) = (self.p, self.p.input.c);
        let (kernel_h, kernel_w) = (
            usize::from(p.window.kernel_h),
            usize::from(p.window.kernel_w),
        );
        let (down, right) = (
            usize::from(p.window.dilation_h),
            usize::from(p.window.dilation_w),
        );
        let contiguous = right == 1 || kernel_w == 1;
        let inside = |start: isize, reach: usize, size: usize| {
            usize::try_from(start)
                .ok()
                .filter(|start| start + reach < size)
        };
        let y = inside(lane.y, (kernel_h - 1) * down, p.input.h);
        let x = inside(lane.x, (kernel_w - 1) * right, p.input.w);
        if let (Some(y), Some(x), true) = (y, x, contiguous) {
            let from = self
                .input
                .get((y * p.input.w + x) * channels..)
                .unwrap_or_default();
            let step = Axis::vertical(&p.window, p.input).step();
            return copy_lines(
                to,
                from,
                kernel_h,
                kernel_w * channels,
                step * p.input.w * channels,
            );
        }
        let mut to = to;
        for ky in 0..kernel_h {
            let y = lane.y + (ky * down).cast_signed();
            for kx in 0..kernel_w {
                let Some((place, next)) = to.split_at_checked(channels) else {
                    return;
                };
                match self.run(y, lane.x + (kx * right).cast_signed(), channels) {
                    Some(from) => place
                        .iter()
                        .zip(from)
                        .for_each(|(to, from)| to.set(from.get())),
                    None => place.iter().for_each(|cell| cell.set(p.input_zero_point)),
                }
                to = next;
            }
        }
    }
}
