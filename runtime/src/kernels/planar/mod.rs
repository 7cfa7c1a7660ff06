//! Depthwise convolution over planar lines, equation (8).
//!
//! Four input channels at a time. Their lines are expanded to int16, a plane a channel, in a ring that holds the lines of one
//! window; a line of outputs is computed from it. Where images are narrow, lines run down the columns instead of along the rows.

mod lines;

use super::cells::{int16, overlap, set_int16};
use super::params::Conv2dParams;
use super::scalar;
use crate::format::program::Window;
use crate::parts::{self, KernelSet, Kernels};
use core::cell::Cell;
use core::num::NonZero;
use lines::{Channel, Half, Lines, Loop, Outputs, Stride, planes};

/// Channels of a block.
const BLOCK: usize = 4;

/// Direction of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    Rows,
    Columns,
}

/// Output channels of an input channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DepthMultiplier {
    One,
    Several,
}

impl DepthMultiplier {
    pub(crate) fn of(input_channels: usize, output_channels: usize) -> Self {
        if input_channels == output_channels {
            DepthMultiplier::One
        } else {
            DepthMultiplier::Several
        }
    }
}

/// Elements of the planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// As they are in the arena.
    Int8,
    /// Expanded, for the DSP family's loops.
    Int16,
}

impl Elements {
    /// Bytes of an element.
    const fn bytes(self) -> usize {
        match self {
            Elements::Int8 => 1,
            Elements::Int16 => 2,
        }
    }
}

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

/// Layout of the lines.
#[derive(Clone, Copy, Debug)]
struct Layout {
    along: Direction,
    across: Direction,
}

impl Layout {
    fn new(window: &Window, input: [usize; 2], output: [usize; 2], along: Along) -> Self {
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
        match along {
            Along::Rows => Layout {
                along: horizontal,
                across: vertical,
            },
            Along::Columns => Layout {
                along: vertical,
                across: horizontal,
            },
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
    fn depth(&self) -> NonZero<usize> {
        let behind = (self.across.kernel - 1) * self.across.dilation;
        NonZero::<usize>::MIN.saturating_add(behind)
    }

    fn scratch_bytes(&self) -> u64 {
        (BLOCK as u64 * self.depth().get() as u64 + 1) * self.pitch() as u64 * 2
    }
}

/// Bytes of scratch for a layer; 0 for one that runs on the scalar kernel.
pub(crate) fn scratch_bytes(window: &Window, input: [usize; 2], output: [usize; 2]) -> u64 {
    if usize::from(window.kernel_h) * usize::from(window.kernel_w) > MAX_TAPS {
        return 0;
    }
    let bytes = |along| Layout::new(window, input, output, along).scratch_bytes();
    if wants_columns(output) {
        bytes(Along::Columns).max(bytes(Along::Rows))
    } else {
        bytes(Along::Rows)
    }
}

/// The kernels that a layer needs, as bits of [`kernels`].
///
/// `scratch`: the bytes that it has. Which way the lines run may depend on the arena, so that both ways count.
pub(crate) fn lines_of(
    window: &Window,
    input: [usize; 2],
    output: [usize; 2],
    depth: DepthMultiplier,
    scratch: u64,
) -> KernelSet {
    if !has_room(window, input, output, scratch) {
        return parts::DEPTHWISE_LARGE;
    }
    let along =
        |stride: u8, dilation: u8| kernel_along(window, depth, stride.into(), dilation.into());
    let rows = along(window.stride_w, window.dilation_w);
    if wants_columns(output) {
        rows | along(window.stride_h, window.dilation_h)
    } else {
        rows
    }
}

/// Whether the planar kernels take a layer with so many bytes of scratch; else it runs on the scalar kernel.
fn has_room(window: &Window, input: [usize; 2], output: [usize; 2], scratch: u64) -> bool {
    (1..=scratch).contains(&scratch_bytes(window, input, output))
}

/// The kernel for lines with this stride and dilation along them: one of three bits of [`kernels`].
fn kernel_along(
    window: &Window,
    depth: DepthMultiplier,
    stride: usize,
    dilation: usize,
) -> KernelSet {
    let three = depth == DepthMultiplier::One
        && window.kernel_h == 3
        && window.kernel_w == 3
        && dilation == 1;
    match stride {
        1 if three => parts::DEPTHWISE_3X3_STRIDE_1,
        2 if three => parts::DEPTHWISE_3X3_STRIDE_2,
        _ => parts::DEPTHWISE_ANY,
    }
}

/// Short rows cost more around the loops than in them.
fn wants_columns([h, w]: [usize; 2]) -> bool {
    w < 8 && h > 2 * w
}

/// Computes `output` from `input`; see [`Conv2dParams`].
///
/// With a depth multiplier of 1 the two may overlap as far as the loader allows: whole pixels apart, a line of outputs in the place of rows
/// above those it reads.
pub(super) fn depthwise_conv2d<K: Kernels>(
    elements: Elements,
    p: &Conv2dParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let (input_size, output_size) = ([p.input.h, p.input.w], [p.output.h, p.output.w]);
    let along = if wants_columns(output_size) && !rows_only(p, input, output) {
        Along::Columns
    } else {
        Along::Rows
    };
    if K::LINKED.has(parts::DEPTHWISE_LARGE)
        && !has_room(&p.window, input_size, output_size, p.scratch.len() as u64)
    {
        return scalar::depthwise_conv2d::<K>(p, input, output);
    }
    if !K::LINKED.has(parts::DEPTHWISE_LINES) {
        return;
    }
    let layout = Layout::new(&p.window, input_size, output_size, along);
    let Some(planes) = Planes::new(elements, p, layout, input) else {
        return;
    };
    let multiplier = p.output.c.checked_div(p.input.c).unwrap_or(1);
    let Direction {
        stride, dilation, ..
    } = layout.along;
    let depth = DepthMultiplier::of(p.input.c, p.output.c);
    let kernel = kernel_along(&p.window, depth, stride, dilation) & K::LINKED;
    let outputs = if K::LINKED.has(parts::DEPTHWISE_GENERAL) && p.stage.is_general() {
        Outputs::General
    } else {
        Outputs::Int8
    };
    for first in (0..p.input.c).step_by(BLOCK) {
        let block = Block {
            planes: &planes,
            first,
            count: BLOCK.min(p.input.c - first),
            multiplier,
            output,
        };
        match (kernel, elements) {
            (parts::DEPTHWISE_3X3_STRIDE_1, Elements::Int16) => {
                block.by_loops(&Loop::new(Stride::One, outputs));
            }
            (parts::DEPTHWISE_3X3_STRIDE_2, Elements::Int16) => {
                block.by_loops(&Loop::new(Stride::Two, outputs));
            }
            (parts::DEPTHWISE_3X3_STRIDE_1 | parts::DEPTHWISE_3X3_STRIDE_2, Elements::Int8) => {
                block.by_nines();
            }
            (parts::DEPTHWISE_ANY, _) => block.any(),
            // Refused by the loader.
            _ => {}
        }
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

/// A block of input channels, and where its outputs are.
///
/// The three ways to compute it are compiled with this crate, for any settings of the crate that runs a model.
struct Block<'b> {
    planes: &'b Planes<'b>,
    first: usize,
    count: usize,
    /// Output channels of an input channel.
    multiplier: usize,
    output: &'b [Cell<i8>],
}

/// From a tap across to its line, and how far the next plane's is.
type LineOf<'l> = dyn Fn(usize) -> (&'l [Cell<i8>], usize) + 'l;

impl<'b> Block<'b> {
    /// Takes the lines of outputs in order: the lines of each one's window, and the output from its first place on.
    #[inline]
    fn lines(&self, mut each: impl FnMut(&LineOf<'b>, &'b [Cell<i8>])) {
        let (planes, across) = (self.planes, self.planes.layout.across);
        let mut gathered = 0;
        for at in 0..across.output {
            let top = (at * across.stride).wrapping_sub(across.pad).cast_signed();
            let end = top + planes.depth.get().cast_signed();
            while gathered < across.input && gathered.cast_signed() < end {
                planes.gather(gathered, self.first, self.count);
                gathered += 1;
            }
            let line = move |tap: usize| {
                let line = top + (tap * across.dilation).cast_signed();
                match usize::try_from(line)
                    .ok()
                    .filter(|line| *line < across.input)
                {
                    Some(line) => (planes.line(0, line), planes.depth.get() * planes.pitch),
                    None => (planes.padding, 0),
                }
            };
            let start = at * across.output_step * planes.p.output.c + self.first * self.multiplier;
            each(&line, self.output.get(start..).unwrap_or_default());
        }
    }

    /// Bytes from an output to the next of its line.
    fn output_step(&self) -> usize {
        self.planes.layout.along.output_step * self.planes.p.output.c
    }

    /// The outputs of a line of one of the block's channels.
    fn outputs(
        &self,
        output: &'b [Cell<i8>],
        channel: usize,
    ) -> impl Iterator<Item = &'b Cell<i8>> + use<'b> {
        let output = output.get(channel..).unwrap_or_default();
        let step = self.output_step().max(1);
        output
            .iter()
            .step_by(step)
            .take(self.planes.layout.along.output)
    }

    /// Nine taps of each channel.
    fn nines(&self) -> [[i32; 9]; BLOCK] {
        let weights = Taps::new(self.planes.p);
        let mut nines = [[0; 9]; BLOCK];
        for (taps, channel) in nines.iter_mut().take(self.count).zip(self.first..) {
            weights.read(channel, &self.planes.layout, taps);
        }
        nines
    }

    /// 3x3 by a loop of the DSP family, one line of outputs of all channels at a time.
    #[inline(never)]
    fn by_loops(&self, kernel: &Loop) {
        let (p, along) = (self.planes.p, self.planes.layout.along);
        let nines = self.nines();
        let mut channels = [Channel::default(); BLOCK];
        for ((channel, taps), o) in channels
            .iter_mut()
            .zip(&nines)
            .take(self.count)
            .zip(self.first..)
        {
            let bias = p.bias.get(o).copied().unwrap_or(0);
            *channel = Channel::new(taps, bias, &p.stage.requantizer(o, o));
        }
        self.lines(|line, output| {
            let [a, b, c] = [line(0), line(1), line(2)];
            kernel.run(&Lines {
                lines: [a.0, b.0, c.0],
                steps: [a.1, b.1, c.1],
                channels: channels.get(..self.count).unwrap_or_default(),
                zero_point: p.stage.zero_point,
                pre_shift: p.stage.pre_shift,
                output,
                count: along.output,
                output_step: self.output_step(),
            });
        });
    }

    /// 3x3 in plain Rust, over planes of int8.
    #[inline(never)]
    fn by_nines(&self) {
        let (p, along) = (self.planes.p, self.planes.layout.along);
        let nines = self.nines();
        self.lines(|line, output| {
            let lines = [line(0), line(1), line(2)];
            for (plane, taps) in (0..self.count).zip(&nines) {
                let o = self.first + plane;
                let requantizer = p.stage.requantizer(o, o);
                let bias = p.bias.get(o).copied().unwrap_or(0);
                let rows = lines.map(|(line, step)| line.get(plane * step..).unwrap_or_default());
                let mut start = 0;
                for y in self.outputs(output, plane) {
                    y.set(requantizer.requantize(bias + nine(rows, start, taps)));
                    start += along.stride;
                }
            }
        });
    }

    /// Windows of any size.
    #[inline(never)]
    fn any(&self) {
        let Planes {
            elements,
            p,
            layout,
            ..
        } = *self.planes;
        let Layout { along, across } = layout;
        let weights = Taps::new(p);
        let element = elements.bytes();
        self.lines(|line, output| {
            for plane in 0..self.count {
                for repeat in 0..self.multiplier {
                    let o = (self.first + plane) * self.multiplier + repeat;
                    let requantizer = p.stage.requantizer(o, o);
                    let bias = p.bias.get(o).copied().unwrap_or(0);
                    let mut taps = [0; MAX_TAPS];
                    weights.read(o, &layout, &mut taps);
                    let outputs = self.outputs(output, plane * self.multiplier + repeat);
                    for (place, y) in outputs.enumerate() {
                        let mut sum = bias;
                        let mut rest = &taps[..];
                        for tap in 0..across.kernel {
                            let (line, step) = line(tap);
                            let line = line
                                .get(plane * step + element * place * along.stride..)
                                .unwrap_or_default();
                            let (taps, next) =
                                rest.split_at_checked(along.kernel).unwrap_or((rest, &[]));
                            for (kx, w) in taps.iter().enumerate() {
                                let at = kx * along.dilation;
                                let x = match elements {
                                    Elements::Int8 => line.get(at).map_or(0, |x| x.get().into()),
                                    Elements::Int16 => int16(line, at).into(),
                                };
                                sum += w * x;
                            }
                            rest = next;
                        }
                        y.set(requantizer.requantize(sum));
                    }
                }
            }
        });
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
    elements: Elements,
    p: &'g Conv2dParams<'g>,
    layout: Layout,
    /// A line of zero points.
    padding: &'g [Cell<i8>],
    ring: &'g [Cell<i8>],
    /// Bytes of a line.
    pitch: usize,
    /// Lines of a plane; dividing by it has no panic path, as it is not 0.
    depth: NonZero<usize>,
    input: &'g [Cell<i8>],
}

impl<'g> Planes<'g> {
    /// Fills the scratch with zero points; `None` if there is too little.
    fn new(
        elements: Elements,
        p: &'g Conv2dParams<'g>,
        layout: Layout,
        input: &'g [Cell<i8>],
    ) -> Option<Self> {
        let length = usize::try_from(layout.scratch_bytes()).ok()?;
        let scratch = p.scratch.get(..length)?;
        let pitch = elements.bytes() * layout.pitch();
        match elements {
            Elements::Int8 => scratch.iter().for_each(|cell| cell.set(p.input_zero_point)),
            Elements::Int16 => {
                for place in 0..scratch.len() / 2 {
                    set_int16(scratch, place, p.input_zero_point.into());
                }
            }
        }
        let (padding, ring) = scratch.split_at_checked(pitch)?;
        Some(Planes {
            elements,
            p,
            layout,
            padding,
            ring,
            pitch,
            depth: layout.depth(),
            input,
        })
    }

    /// The place of line `line` of a plane, up to the end of the ring.
    fn line(&self, plane: usize, line: usize) -> &'g [Cell<i8>] {
        let slot = if line < self.depth.get() {
            line
        } else {
            line % self.depth
        };
        let start = (plane * self.depth.get() + slot) * self.pitch;
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
        let plane = self.depth.get() * self.pitch;
        let to = self
            .line(0, line)
            .get(self.elements.bytes() * along.pad..)
            .unwrap_or_default();
        let from = self.input.get(start..).unwrap_or_default();
        if count == BLOCK && self.elements == Elements::Int16 {
            // Words of two int16 start at even places of a line.
            let half = if along.pad % 2 == 1 {
                Half::High
            } else {
                Half::Low
            };
            return planes(to, plane, from, stride, length, half);
        }
        for pixel in 0..length {
            let values = from.get(pixel * stride..).unwrap_or_default();
            for (index, x) in values.iter().enumerate().take(count) {
                let line = to.get(index * plane..).unwrap_or_default();
                match (self.elements, line.get(pixel)) {
                    (Elements::Int16, _) => set_int16(line, pixel, x.get().into()),
                    (Elements::Int8, Some(place)) => place.set(x.get()),
                    (Elements::Int8, None) => {}
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
            for along in [Along::Rows, Along::Columns] {
                let layout = Layout::new(&window, [input; 2], [output; 2], along);
                let pitch = layout.pitch();
                assert_eq!(pitch % 2, 0, "pad {pad}, stride {stride}, input {input}");
                assert!(pitch >= (output - 1) * usize::from(stride) + 3);
            }
        }
    }
}
