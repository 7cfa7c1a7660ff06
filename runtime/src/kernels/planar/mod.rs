//! Depthwise convolution over planar lines, equation (8).
//!
//! Four input channels at a time. Their lines are expanded to int16, a plane a channel, in a ring that holds the lines of one
//! window; a line of outputs is computed from it. Where images are narrow, lines run down the columns instead of along the rows.

mod lines;

use super::cells::{int16, overlap, set_int16};
use super::params::{Conv2dParams, Limits};
use super::scalar;
use crate::format::program::Window;
use core::cell::Cell;
use lines::{Channel, Lines, lines, planes};

/// Channels of a block.
const BLOCK: usize = 4;

/// Largest number of taps of a window; layers with more run on the scalar kernel.
const MAX_TAPS: usize = 64;

/// One direction of the image and its window.
#[derive(Clone, Copy, Debug)]
struct Direction {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    /// Pixels from one to the next in input and output.
    input_step: usize,
    output_step: usize,
    /// Taps from one to the next.
    tap_step: usize,
}

/// How the lines lie.
#[derive(Clone, Copy, Debug)]
struct Layout {
    along: Direction,
    across: Direction,
}

impl Layout {
    fn new(window: &Window, input: [usize; 2], output: [usize; 2], columns: bool) -> Self {
        let [input_h, input_w] = input;
        let [output_h, output_w] = output;
        let vertical = Direction {
            input: input_h,
            output: output_h,
            kernel: window.kernel_h.into(),
            stride: window.stride_h.into(),
            dilation: window.dilation_h.into(),
            pad: window.pad_top.into(),
            input_step: input_w,
            output_step: output_w,
            tap_step: window.kernel_w.into(),
        };
        let horizontal = Direction {
            input: input_w,
            output: output_w,
            kernel: window.kernel_w.into(),
            stride: window.stride_w.into(),
            dilation: window.dilation_w.into(),
            pad: window.pad_left.into(),
            input_step: 1,
            output_step: 1,
            tap_step: 1,
        };
        if columns {
            Layout {
                along: vertical,
                across: horizontal,
            }
        } else {
            Layout {
                along: horizontal,
                across: vertical,
            }
        }
    }

    /// int16 of a line: all that windows reach, and what the loops load ahead; even.
    fn pitch(&self) -> usize {
        let d = &self.along;
        ((d.output - 1) * d.stride + (d.kernel - 1) * d.dilation + 1)
            .max(d.pad + 2)
            .next_multiple_of(2)
    }

    /// Lines of a window.
    fn depth(&self) -> usize {
        (self.across.kernel - 1) * self.across.dilation + 1
    }

    fn scratch_bytes(&self) -> u64 {
        (BLOCK as u64 * self.depth() as u64 + 1) * self.pitch() as u64 * 2
    }
}

/// Bytes of scratch for a layer; 0 for one that runs on the scalar kernel.
pub(crate) fn scratch_bytes(window: &Window, input: [usize; 2], output: [usize; 2]) -> u64 {
    if usize::from(window.kernel_h) * usize::from(window.kernel_w) > MAX_TAPS {
        return 0;
    }
    let bytes = |columns| Layout::new(window, input, output, columns).scratch_bytes();
    if wants_columns(output) {
        bytes(true).max(bytes(false))
    } else {
        bytes(false)
    }
}

/// Short rows cost more around the loops than in them.
fn wants_columns([h, w]: [usize; 2]) -> bool {
    w < 8 && h > 2 * w
}

/// Computes `output` from `input`; see [`Conv2dParams`].
///
/// `wide`: planes of int16, for the DSP family's loops, instead of int8.
///
/// With a depth multiplier of 1 the two may overlap as far as the loader allows: whole pixels apart, a line of outputs in the place of rows
/// above those it reads.
pub(super) fn depthwise_conv2d(
    wide: bool,
    p: &Conv2dParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let (input_size, output_size) = ([p.input.h, p.input.w], [p.output.h, p.output.w]);
    let columns = wants_columns(output_size) && !rows_only(p, input, output);
    let needed = scratch_bytes(&p.window, input_size, output_size);
    if needed == 0 || (p.scratch.len() as u64) < needed {
        return scalar::depthwise_conv2d(p, input, output);
    }
    let layout = Layout::new(&p.window, input_size, output_size, columns);
    let length = usize::try_from(layout.scratch_bytes()).unwrap_or(usize::MAX);
    let Some(scratch) = p.scratch.get(..length) else {
        return;
    };
    let element = if wide { 2 } else { 1 };
    let (pitch, depth) = (element * layout.pitch(), layout.depth());
    if wide {
        for place in 0..scratch.len() / 2 {
            set_int16(scratch, place, p.input_zero_point.into());
        }
    } else {
        scratch.iter().for_each(|cell| cell.set(p.input_zero_point));
    }
    let Some((padding, ring)) = scratch.split_at_checked(pitch) else {
        return;
    };
    let planes = Planes {
        wide,
        p,
        layout,
        ring,
        pitch,
        depth,
        input,
    };
    for first in (0..p.input.c).step_by(BLOCK) {
        let count = BLOCK.min(p.input.c - first);
        block(&planes, padding, first, count, output);
    }
}

/// Whether outputs are written over inputs in a way that leaves only the order of the rows: not whole rows apart.
fn rows_only(p: &Conv2dParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) -> bool {
    let row = p.input.w * p.input.c;
    let apart = input.as_ptr().addr().wrapping_sub(output.as_ptr().addr());
    // A column is in the ring before outputs take its place.
    let reach = (usize::from(p.window.kernel_w) - 1) * usize::from(p.window.dilation_w) + 1;
    let aligned = p.input == p.output
        && apart.checked_rem(row) == Some(0)
        && reach > usize::from(p.window.pad_left);
    overlap(input, output) && !aligned
}

/// All outputs of the input channels `first..first + count`.
#[inline(never)]
fn block(
    planes: &Planes<'_>,
    padding: &[Cell<i8>],
    first: usize,
    count: usize,
    output: &[Cell<i8>],
) {
    let (p, Layout { along, across }) = (planes.p, planes.layout);
    let multiplier = p.output.c.checked_div(p.input.c).unwrap_or(1);
    let weights = Taps::new(p);
    let three = along.kernel == 3 && across.kernel == 3 && along.dilation == 1 && multiplier == 1;
    let loops = three && planes.wide && along.stride <= 2;
    let general =
        p.stage.pre_shift != 0 || !matches!(p.stage.limits, Limits::PerTensor(i8::MIN, i8::MAX));
    // What the 3x3 loops need of each channel.
    let mut channels = [Channel::default(); BLOCK];
    let mut nines = [[0; 9]; BLOCK];
    if three {
        for ((channel, taps), o) in channels.iter_mut().zip(&mut nines).take(count).zip(first..) {
            weights.read(o, &planes.layout, taps);
            if loops {
                let bias = p.bias.get(o).copied().unwrap_or(0);
                *channel = Channel::new(taps, bias, &p.stage.requantizer(o, o));
            }
        }
    }
    let mut gathered = 0;
    for at in 0..across.output {
        let top = (at * across.stride).wrapping_sub(across.pad).cast_signed();
        let end = top + planes.depth.cast_signed();
        while gathered < across.input && gathered.cast_signed() < end {
            planes.gather(gathered, first, count);
            gathered += 1;
        }
        // Line `tap` of the window, and how far the next plane's is.
        let line = |tap: usize| {
            let line = top + (tap * across.dilation).cast_signed();
            match usize::try_from(line)
                .ok()
                .filter(|line| *line < across.input)
            {
                Some(line) => (planes.line(0, line), planes.depth * planes.pitch),
                None => (padding, 0),
            }
        };
        let start = at * across.output_step * p.output.c + first * multiplier;
        let output = output.get(start..).unwrap_or_default();
        let output_step = along.output_step * p.output.c;
        if loops {
            let [a, b, c] = [0, 1, 2].map(line);
            lines(&Lines {
                lines: [a.0, b.0, c.0],
                steps: [a.1, b.1, c.1],
                channels: channels.get(..count).unwrap_or_default(),
                stride: along.stride,
                zero_point: p.stage.zero_point,
                pre_shift: p.stage.pre_shift,
                general,
                output,
                count: along.output,
                output_step,
            });
            continue;
        }
        let element = if planes.wide { 2 } else { 1 };
        for (plane, nine_taps) in (0..count).zip(&nines) {
            for repeat in 0..multiplier {
                let o = (first + plane) * multiplier + repeat;
                let requantizer = p.stage.requantizer(o, o);
                let bias = p.bias.get(o).copied().unwrap_or(0);
                let output = output
                    .get(plane * multiplier + repeat..)
                    .unwrap_or_default();
                let outputs = output.iter().step_by(output_step.max(1)).take(along.output);
                let row = |tap: usize| {
                    let (line, step) = line(tap);
                    line.get(plane * step..).unwrap_or_default()
                };
                if three && !planes.wide {
                    let rows = [row(0), row(1), row(2)];
                    let mut start = 0;
                    for y in outputs {
                        y.set(requantizer.requantize(bias + nine(rows, start, nine_taps)));
                        start += along.stride;
                    }
                    continue;
                }
                let mut taps = [0; MAX_TAPS];
                weights.read(o, &planes.layout, &mut taps);
                for (place, y) in outputs.enumerate() {
                    let mut sum = bias;
                    let mut rest = &taps[..];
                    for tap in 0..across.kernel {
                        let line = row(tap)
                            .get(element * place * along.stride..)
                            .unwrap_or_default();
                        let (taps, next) =
                            rest.split_at_checked(along.kernel).unwrap_or((rest, &[]));
                        for (kx, w) in taps.iter().enumerate() {
                            let x = if planes.wide {
                                int16(line, kx * along.dilation).into()
                            } else {
                                line.get(kx * along.dilation)
                                    .map_or(0, |x| i32::from(x.get()))
                            };
                            sum += w * x;
                        }
                        rest = next;
                    }
                    y.set(requantizer.requantize(sum));
                }
            }
        }
    }
}

/// The sum of nine taps, three of each line from `start` on.
#[inline]
fn nine(lines: [&[Cell<i8>]; 3], start: usize, taps: &[i32; 9]) -> i32 {
    let mut sum = 0;
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8] = taps;
    for (line, [p, q, r]) in lines
        .into_iter()
        .zip([[w0, w1, w2], [w3, w4, w5], [w6, w7, w8]])
    {
        if let Some([a, b, c]) = line.get(start..start + 3) {
            sum += p * i32::from(a.get()) + q * i32::from(b.get()) + r * i32::from(c.get());
        }
    }
    sum
}

/// The weights, tap by tap, of either type.
struct Taps<'w> {
    weights: scalar::TapWeights<'w>,
}

impl<'w> Taps<'w> {
    fn new(p: &Conv2dParams<'w>) -> Self {
        Taps {
            weights: scalar::TapWeights::new(p),
        }
    }

    /// A channel's weights, line by line as `layout` has them.
    fn read(&self, channel: usize, layout: &Layout, taps: &mut [i32]) {
        let (along, across) = (layout.along, layout.across);
        let mut place = taps.iter_mut();
        for line in 0..across.kernel {
            for tap in 0..along.kernel {
                if let Some(w) = place.next() {
                    *w = self
                        .weights
                        .get(line * across.tap_step + tap * along.tap_step, channel);
                }
            }
        }
    }
}

/// The ring of expanded lines.
struct Planes<'g> {
    /// Whether elements are int16.
    wide: bool,
    p: &'g Conv2dParams<'g>,
    layout: Layout,
    ring: &'g [Cell<i8>],
    /// Bytes of a line.
    pitch: usize,
    /// Lines of a plane.
    depth: usize,
    input: &'g [Cell<i8>],
}

impl Planes<'_> {
    /// The place of line `line` of a plane, up to the end of the ring.
    fn line(&self, plane: usize, line: usize) -> &[Cell<i8>] {
        let slot = if line < self.depth {
            line
        } else {
            line % self.depth
        };
        let start = (plane * self.depth + slot) * self.pitch;
        self.ring.get(start..).unwrap_or_default()
    }

    /// Expands line `line` of `count` channels from `first` on.
    #[inline(never)]
    fn gather(&self, line: usize, first: usize, count: usize) {
        let (along, channels) = (self.layout.along, self.p.input.c);
        let start = line * self.layout.across.input_step * channels + first;
        let stride = along.input_step * channels;
        let length = along
            .input
            .min(self.layout.pitch().saturating_sub(along.pad));
        let plane = self.depth * self.pitch;
        let element = if self.wide { 2 } else { 1 };
        let to = self
            .line(0, line)
            .get(element * along.pad..)
            .unwrap_or_default();
        let from = self.input.get(start..).unwrap_or_default();
        if count == BLOCK && self.wide {
            // Words of two int16 start at even places of a line.
            return planes(to, plane, from, stride, length, along.pad % 2 == 1);
        }
        for pixel in 0..length {
            let values = from.get(pixel * stride..).unwrap_or_default();
            for (index, x) in values.iter().enumerate().take(count) {
                let line = to.get(index * plane..).unwrap_or_default();
                if self.wide {
                    set_int16(line, pixel, x.get().into());
                } else if let Some(place) = line.get(pixel) {
                    place.set(x.get());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loops read words of two int16: every line starts at one, whatever the pad.
    #[test]
    fn lines_are_whole_words() {
        for (pad, stride, input) in (0..6).flat_map(|pad| {
            (1..4).flat_map(move |stride| (1..12).map(move |input| (pad, stride, input)))
        }) {
            // Padded on one side only, where the line need not reach the pad's end by itself.
            let padded = input + usize::from(pad);
            let Some(output) = padded
                .checked_sub(3)
                .map(|rest| rest / usize::from(stride) + 1)
            else {
                continue;
            };
            let window = Window {
                kernel_h: 3,
                kernel_w: 3,
                stride_h: stride,
                stride_w: stride,
                pad_top: pad,
                pad_left: pad,
                pad_bottom: 0,
                pad_right: 0,
                dilation_h: 1,
                dilation_w: 1,
            };
            for columns in [false, true] {
                let layout = Layout::new(&window, [input; 2], [output; 2], columns);
                let pitch = layout.pitch();
                assert_eq!(pitch % 2, 0, "pad {pad}, stride {stride}, input {input}");
                assert!(pitch >= (output - 1) * usize::from(stride) + 3);
            }
        }
    }
}
