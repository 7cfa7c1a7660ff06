//! Parameters of kernels: shapes as `usize`, sections cut to size.

use crate::arith::Requantizer;
use crate::format::program::{Clamp, Requant, Tensor, WeightType, Window};
use core::cell::Cell;
use core::ops::Range;

/// Dimensions of an activation, NHWC with N = 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
}

impl Shape {
    pub(crate) fn of(tensor: &Tensor) -> Self {
        Shape {
            h: tensor.h.into(),
            w: tensor.w.into(),
            c: tensor.c.into(),
        }
    }

    /// Number of elements; below 2^26 in a checked model.
    pub(crate) fn elements(self) -> usize {
        self.h * self.w * self.c
    }

    /// Number of bytes in the arena: kernels read and write int8.
    pub(crate) fn bytes(self) -> usize {
        self.elements()
    }
}

/// Cuts `cells` into rows of `len`, without a rest: lines of an activation, or pixels of a line.
///
/// As `chunks_exact`, but never divides, and a length of 0 gives no rows instead of a panic.
pub(crate) fn split_rows(cells: &[Cell<i8>], len: usize) -> impl Iterator<Item = &[Cell<i8>]> {
    let mut rest = cells;
    core::iter::from_fn(move || {
        let (row, behind) = rest.split_at_checked(len)?;
        rest = behind;
        (len > 0).then_some(row)
    })
}

/// One direction of a sliding window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Size of the input.
    pub(crate) size: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) pad: usize,
}

impl Axis {
    pub(crate) fn vertical(window: &Window, input: Shape) -> Self {
        Axis {
            size: input.h,
            kernel: window.kernel_h.into(),
            stride: window.stride_h.into(),
            dilation: window.dilation_h.into(),
            pad: window.pad_top.into(),
        }
    }

    pub(crate) fn horizontal(window: &Window, input: Shape) -> Self {
        Axis {
            size: input.w,
            kernel: window.kernel_w.into(),
            stride: window.stride_w.into(),
            dilation: window.dilation_w.into(),
            pad: window.pad_left.into(),
        }
    }

    /// The taps that lie inside the input for the output coordinate `at`.
    pub(crate) fn taps(&self, at: usize) -> Taps {
        // Coordinates are shifted by `pad` to stay unsigned: the input is pad..pad + size.
        let origin = at * self.stride;
        let before = |limit: usize| {
            let distance = limit.saturating_sub(origin);
            // Division only where there is a dilation; smaller cores do it in software.
            let taps = if self.dilation == 1 {
                distance
            } else {
                distance.div_ceil(self.dilation.max(1))
            };
            taps.min(self.kernel)
        };
        let inside = before(self.pad)..before(self.pad + self.size);
        let first = (origin + inside.start * self.dilation).saturating_sub(self.pad);
        Taps { inside, first }
    }

    /// Input coordinates from a tap inside the input to the next one; at most the input's size, as a longer step leads out of it.
    ///
    /// With the size of a line it is a distance in memory, and no larger than the input.
    pub(crate) fn step(&self) -> usize {
        self.dilation.min(self.size)
    }
}

/// A window's taps inside the input, in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taps {
    /// Numbers of the taps; may be empty.
    pub(crate) inside: Range<usize>,
    /// Input coordinate of the first of them; where there is none it means nothing, and may lie behind the input.
    pub(crate) first: usize,
}

impl Taps {
    /// Input coordinates of the taps inside the input.
    #[inline]
    pub(crate) fn places(&self, axis: &Axis) -> impl Iterator<Item = usize> {
        let step = axis.step();
        let mut next = self.first;
        (0..self.inside.len()).map(move |_| {
            let place = next;
            next += step;
            place
        })
    }

    /// The pixels of `channels` elements under a line's taps, of which the first starts at element `start` of the input.
    #[inline]
    pub(crate) fn pixels<'x>(
        &self,
        horizontal: &Axis,
        input: &'x [Cell<i8>],
        start: usize,
        channels: usize,
    ) -> impl Iterator<Item = &'x [Cell<i8>]> {
        let step = horizontal.step() * channels;
        let mut next = start;
        (0..self.inside.len()).map(move |_| {
            let place = next;
            next += step;
            input.get(place..place + channels).unwrap_or_default()
        })
    }

    /// The place in memory of the first of a column's taps, `row` elements a line.
    ///
    /// Where there is none, it is at most the input's end: a line is as long as 2^26 elements, and a pad's 255 of them exceed 32 bits.
    #[inline]
    pub(crate) fn first_line(&self, vertical: &Axis, row: usize) -> usize {
        self.first.min(vertical.size) * row
    }
}

/// Range of the outputs of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limits<'a> {
    PerTensor(i8, i8),
    /// Pairs (min, max).
    PerChannel(&'a [i8]),
}

/// The output stage of an operator: multipliers and clamps of all channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) zero_point: i8,
    pub(crate) pre_shift: u8,
    pub(crate) multipliers: &'a [i32],
    pub(crate) limits: Limits<'a>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        zero_point: i8,
        requant: &Requant,
        multipliers: &'a [i32],
        weights: &'a [i8],
    ) -> Self {
        let limits = match requant.clamp {
            Clamp::PerTensor { min, max } => Limits::PerTensor(min, max),
            Clamp::PerChannel { offset } => {
                Limits::PerChannel(offset.rest(weights).unwrap_or_default())
            }
        };
        Stage {
            zero_point,
            pre_shift: requant.pre_shift,
            multipliers,
            limits,
        }
    }

    /// Whether it is more than a multiplication and a saturation to int8.
    pub(crate) fn is_general(&self) -> bool {
        self.pre_shift != 0 || !matches!(self.limits, Limits::PerTensor(i8::MIN, i8::MAX))
    }

    /// The requantizer of an output channel with one of the multipliers.
    #[inline]
    pub(crate) fn requantizer(&self, channel: usize, multiplier: usize) -> Requantizer {
        let (activation_min, activation_max) = match self.limits {
            Limits::PerTensor(min, max) => (min, max),
            Limits::PerChannel(pairs) => match pairs.get(2 * channel..2 * channel + 2) {
                Some(&[min, max]) => (min, max),
                _ => (i8::MIN, i8::MAX),
            },
        };
        Requantizer {
            multiplier: self.multipliers.get(multiplier).copied().unwrap_or(0),
            pre_shift: self.pre_shift,
            zero_point: self.zero_point,
            activation_min,
            activation_max,
        }
    }
}

/// Parameters of both convolutions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv2dParams<'a> {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
    pub(crate) groups: usize,
    pub(crate) input_zero_point: i8,
    pub(crate) weight_type: WeightType,
    /// OHWI or 1HWO, from the operator's first byte to the end of the section.
    pub(crate) weights: &'a [i8],
    /// `out_c` folded biases.
    pub(crate) bias: &'a [i32],
    /// `out_c` multipliers.
    pub(crate) stage: Stage<'a>,
    /// Intermediate bytes of the plan; the scalar family needs none.
    #[allow(
        dead_code,
        reason = "part of the signature that all kernel families share"
    )]
    pub(crate) scratch: &'a [Cell<i8>],
}

/// Parameters of a fully connected layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FullyConnectedParams<'a> {
    pub(crate) weight_type: WeightType,
    /// OI, from the operator's first byte to the end of the section.
    pub(crate) weights: &'a [i8],
    /// `out_c` folded biases.
    pub(crate) bias: &'a [i32],
    /// `out_c` multipliers.
    pub(crate) stage: Stage<'a>,
    /// Intermediate bytes of the plan; the scalar family needs none.
    #[allow(
        dead_code,
        reason = "part of the signature that all kernel families share"
    )]
    pub(crate) scratch: &'a [Cell<i8>],
}

/// Parameters of a maximum over a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxPoolParams {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
    pub(crate) min: i8,
    pub(crate) max: i8,
}

/// Parameters of a mean over a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AveragePoolParams<'a> {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
    pub(crate) input_zero_point: i8,
    /// Whether there is a multiplier for every number of elements.
    pub(crate) multiplier_per_count: bool,
    pub(crate) stage: Stage<'a>,
}

/// Parameters of a sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddParams {
    pub(crate) channels: usize,
    pub(crate) a_multiplier: i16,
    pub(crate) b_multiplier: i16,
    pub(crate) a_zero_point: i8,
    pub(crate) b_zero_point: i8,
    pub(crate) zero_point: i8,
    pub(crate) shift: u8,
    pub(crate) min: i8,
    pub(crate) max: i8,
}

impl AddParams {
    /// Addend of the products: the zero points' share, and half a step for the rounding.
    pub(crate) fn offset(&self) -> i32 {
        let shift = u32::from(self.shift);
        i32::from(self.zero_point).wrapping_shl(shift) + (1_i32.wrapping_shl(shift) >> 1)
            - i32::from(self.a_zero_point) * i32::from(self.a_multiplier)
            - i32::from(self.b_zero_point) * i32::from(self.b_multiplier)
    }
}

/// Of the larger or smaller of two values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtremumParams {
    pub(crate) channels: usize,
    pub(crate) a_multiplier: i16,
    pub(crate) b_multiplier: i16,
    pub(crate) a_zero_point: i8,
    pub(crate) b_zero_point: i8,
    pub(crate) zero_point: i8,
    pub(crate) shift: u8,
    pub(crate) min: i8,
    pub(crate) max: i8,
}

impl ExtremumParams {
    /// Added to each product: the output's zero point, half a step for the rounding, and the operand's own zero point.
    pub(crate) fn offsets(&self) -> [i32; 2] {
        let shift = u32::from(self.shift);
        let output =
            i32::from(self.zero_point).wrapping_shl(shift) + (1_i32.wrapping_shl(shift) >> 1);
        [
            output - i32::from(self.a_zero_point) * i32::from(self.a_multiplier),
            output - i32::from(self.b_zero_point) * i32::from(self.b_multiplier),
        ]
    }
}

/// Of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MulParams<'a> {
    pub(crate) channels: usize,
    pub(crate) a_zero_point: i8,
    pub(crate) b_zero_point: i8,
    /// One multiplier.
    pub(crate) stage: Stage<'a>,
}

/// Parameters of a permutation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransposeParams {
    pub(crate) dims: [usize; 4],
    pub(crate) perm: [usize; 4],
}

/// Parameters of a copy of equal runs into rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopyParams {
    /// Elements per run; the input is runs, one after the other.
    pub(crate) run: usize,
    /// Start of a run in its row of the output, in elements.
    pub(crate) start: usize,
    /// Elements of a row of the output.
    pub(crate) row: usize,
}

/// Parameters of a border.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PadParams {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// In h, w, c.
    pub(crate) before: [usize; 3],
    pub(crate) value: i8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_those_inside_the_input() {
        // Ten thousand places are too many for an interpreter.
        let sizes = if cfg!(miri) { 2 } else { 7_usize };
        for size in 1..sizes {
            for kernel in 1..5 {
                for stride in 1..4 {
                    for dilation in 1..4 {
                        for pad in 0..6 {
                            let axis = Axis {
                                size,
                                kernel,
                                stride,
                                dilation,
                                pad,
                            };
                            for at in 0..8 {
                                let inside = |tap: &usize| {
                                    let place = at * stride + tap * dilation;
                                    place >= pad && place < pad + size
                                };
                                let taps = axis.taps(at);
                                let expected: Vec<usize> = (0..kernel).filter(inside).collect();
                                assert_eq!(
                                    taps.inside.clone().collect::<Vec<_>>(),
                                    expected,
                                    "{axis:?} {at}"
                                );
                                assert!(taps.first_line(&axis, 1) <= size, "{axis:?} {at}");
                                if let Some(first) = expected.first() {
                                    assert_eq!(
                                        taps.first + pad,
                                        at * stride + first * dilation,
                                        "{axis:?} {at}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
