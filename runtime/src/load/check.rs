//! The checks that operators share.
//!
//! Shapes, ranges, and the bound that keeps accumulators inside int32.
//!
//! Each operator's conditions are those that its section of `docs/arithmetic.md` states. All sizes are computed in u64:
//! three 16-bit dimensions and a kernel stay below 2^48.

use super::site::Site;
use crate::error::LoadError;
use crate::format::ALIGNMENT;
use crate::format::family::Family;
use crate::format::header::saturate;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{Clamp, Requant, Tensor, TensorIndex, WeightType, Window};
use crate::kernels::{Axis, Shape};
use crate::limits;
use crate::pack;
use crate::parts::{self, Kernels};
use core::cell::Cell;

/// An operator's surroundings.
pub(super) struct Checker<'p> {
    pub(super) op: u16,
    /// Bytes of weights, parameters and clamps that the checks have read.
    reads: Cell<usize>,
    weights: &'p [i8],
    params: &'p [i32],
    pub(super) site: Site<'p>,
}

/// Weights of a convolution or a fully connected layer.
pub(super) struct Layer<'p> {
    pub(super) weight_type: WeightType,
    /// Multiple to which rows of weights in pairs are padded; `None` if there are no pairs.
    pub(super) multiple: Option<u64>,
    pub(super) weights: WeightsOffset,
    /// Number of rows that start on a byte, and weights in a row.
    pub(super) rows: u64,
    pub(super) row: u64,
    /// Products an output.
    pub(super) products: u64,
    pub(super) bias: ParamIndex,
    pub(super) requant: &'p Requant,
    pub(super) output: &'p Tensor,
}

impl<'p> Checker<'p> {
    pub(super) fn new(op: u16, site: Site<'p>, weights: &'p [i8], params: &'p [i32]) -> Self {
        Checker {
            op,
            reads: Cell::new(0),
            weights,
            params,
            site,
        }
    }

    /// Weights, biases and multipliers of a layer, and equation (5) for each of its channels.
    pub(super) fn layer(&self, layer: &Layer<'_>) -> Result<(), LoadError> {
        let (w_max, limit) = match layer.weight_type {
            WeightType::Int8 | WeightType::PairedInt8 => (limits::MAX_INT8_WEIGHT, 0),
            WeightType::Int4 => (limits::MAX_INT4_WEIGHT, 0),
            WeightType::PairedInt4 => (limits::MAX_INT4_WEIGHT, limits::PAIRED_INT4_SHIFT),
        };
        let bytes = match (layer.weight_type, layer.multiple) {
            (WeightType::Int8, _) => layer.rows.saturating_mul(layer.row),
            (WeightType::Int4, _) => layer.rows.saturating_mul(layer.row.div_ceil(2)),
            (paired, Some(multiple)) if self.site.packing == Family::Dsp => {
                pack::paired_bytes(paired, layer.rows, layer.row, multiple)
            }
            _ => return Err(LoadError::WeightOrder { op: self.op }),
        };
        let weights = self.bytes(layer.weights, bytes)?;
        self.count(weights.len());
        self.weight_values(layer, weights)?;
        let channels = u64::from(layer.output.c);
        let bias = self.values_to_read(layer.bias, channels)?;
        self.requant(layer.requant, channels, layer.output)?;
        // Products are below 2^48: the weights are in the blob. The sum stays below 2^63.
        for (&bias, channel) in bias.iter().zip(0..) {
            let magnitude =
                layer.products * w_max * limits::MAX_ACTIVATION + u64::from(bias.unsigned_abs());
            self.accumulator(channel, magnitude, layer.requant.pre_shift.max(limit))?;
        }
        Ok(())
    }

    /// Weights are symmetric: there is no -128 and no -8, on which (5) relies; a spare nibble is 0.
    pub(super) fn weight_values(&self, layer: &Layer<'_>, weights: &[i8]) -> Result<(), LoadError> {
        let wrong = |(byte, at): (&i8, u32)| LoadError::WeightValue {
            op: self.op,
            at,
            found: *byte,
        };
        let mut bytes = weights.iter().zip(0_u32..);
        let found = match layer.weight_type {
            WeightType::Int8 => bytes.find(|(byte, _)| **byte == i8::MIN),
            WeightType::Int4 => {
                let row_bytes = usize::try_from(layer.row.div_ceil(2)).unwrap_or(usize::MAX);
                let spare =
                    |at: u32| layer.row % 2 == 1 && (at as usize + 1).is_multiple_of(row_bytes);
                bytes.find(|&(&byte, at)| {
                    let high = byte >> 4;
                    byte & 0x0F == 8 || high == -8 || (spare(at) && high != 0)
                })
            }
            // Halfwords 256 * w1 + w0: where w0 is negative, w1 is one more than the high byte.
            WeightType::PairedInt8 => {
                let mut low = 0;
                bytes.find(|&(&byte, at)| {
                    let even = at % 2 == 0;
                    let wrong = byte == i8::MIN && (even || low >= 0)
                        || (!even && byte == i8::MAX && low < 0);
                    low = byte;
                    wrong
                })
            }
            WeightType::PairedInt4 => {
                bytes.find(|(byte, _)| **byte & 0x0F == 0 || **byte & -16 == 0)
            }
        };
        found.map_or(Ok(()), |found| Err(wrong(found)))
    }

    /// Multipliers, pre_shift and clamp.
    pub(super) fn requant(
        &self,
        requant: &Requant,
        multipliers: u64,
        output: &Tensor,
    ) -> Result<(), LoadError> {
        for (&multiplier, at) in self
            .values_to_read(requant.multipliers, multipliers)?
            .iter()
            .zip(0..)
        {
            if multiplier < 0 {
                return Err(LoadError::Multiplier {
                    op: self.op,
                    at,
                    found: multiplier,
                });
            }
        }
        if requant.pre_shift > limits::MAX_PRE_SHIFT {
            return Err(LoadError::PreShift {
                op: self.op,
                found: requant.pre_shift,
            });
        }
        match requant.clamp {
            Clamp::PerTensor { min, max } => self.range(min, max),
            Clamp::PerChannel { offset } => {
                let pairs = self.bytes(offset, 2 * u64::from(output.c))?;
                self.count(pairs.len());
                for pair in pairs.chunks_exact(2) {
                    if let [min, max] = *pair {
                        self.range(min, max)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Equation (5): `magnitude * 2^pre_shift < 2^31`, divided by the power of two.
    pub(super) fn accumulator(
        &self,
        channel: u32,
        magnitude: u64,
        pre_shift: u8,
    ) -> Result<(), LoadError> {
        let limit = limits::accumulator_limit(pre_shift);
        if magnitude >= limit {
            return Err(LoadError::Accumulator {
                op: self.op,
                channel,
                limit,
                found: magnitude,
            });
        }
        Ok(())
    }

    /// A window by itself, and equation (6). One copy for all operators: flash is dearer than a call.
    #[inline(never)]
    pub(super) fn window(
        &self,
        window: &Window,
        input: &Tensor,
        output: &Tensor,
    ) -> Result<(), LoadError> {
        let w = window;
        let sizes = [w.kernel_h, w.kernel_w];
        if sizes.contains(&0) || [w.stride_h, w.stride_w, w.dilation_h, w.dilation_w].contains(&0) {
            return Err(LoadError::Window { op: self.op });
        }
        let directions = [
            (
                0,
                input.h,
                w.pad_top,
                w.pad_bottom,
                w.kernel_h,
                w.dilation_h,
                w.stride_h,
            ),
            (
                1,
                input.w,
                w.pad_left,
                w.pad_right,
                w.kernel_w,
                w.dilation_w,
                w.stride_w,
            ),
        ];
        for (axis, size, before, after, kernel, dilation, stride) in directions {
            let extent = u32::from(dilation) * (u32::from(kernel) - 1) + 1;
            let padded = u32::from(size) + u32::from(before) + u32::from(after);
            let steps = padded
                .checked_sub(extent)
                .ok_or(LoadError::Window { op: self.op })?;
            let positions = steps.checked_div(stride.into()).unwrap_or(0) + 1;
            self.axis(axis, positions, output)?;
        }
        Ok(())
    }

    pub(super) fn pool<K: Kernels>(
        &self,
        window: &Window,
        input: &Tensor,
        output: &Tensor,
    ) -> Result<(), LoadError> {
        self.window(window, input, output)?;
        self.axis(2, input.c.into(), output)?;
        let dilated = parts::is_dilated(window);
        if K::LINKED.has(parts::DILATED_POOLS) && dilated {
            return self.dilated_pool(window, input, output);
        }
        if dilated {
            return Err(LoadError::Kernel { op: self.op });
        }
        let pads = [
            (window.kernel_h, window.pad_top),
            (window.kernel_h, window.pad_bottom),
            (window.kernel_w, window.pad_left),
            (window.kernel_w, window.pad_right),
        ];
        match pads
            .into_iter()
            .find(|&(kernel, pad)| u16::from(pad) >= kernel)
        {
            Some((kernel, pad)) => Err(LoadError::PoolPad {
                op: self.op,
                extent: kernel.into(),
                found: pad,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn pool_pad(&self, extent: u32, pad: u8) -> Result<(), LoadError> {
        if u32::from(pad) >= extent {
            return Err(LoadError::PoolPad {
                op: self.op,
                extent,
                found: pad,
            });
        }
        Ok(())
    }

    pub(super) fn dilated_pool(
        &self,
        window: &Window,
        input: &Tensor,
        output: &Tensor,
    ) -> Result<(), LoadError> {
        let shape = Shape::of(input);
        let directions = [
            (
                Axis::vertical(window, shape),
                output.h,
                [window.pad_top, window.pad_bottom],
            ),
            (
                Axis::horizontal(window, shape),
                output.w,
                [window.pad_left, window.pad_right],
            ),
        ];
        for (axis, positions, pads) in directions {
            // Below 2^24, as `window` has seen no 0.
            let extent = saturate(axis.dilation * (axis.kernel - 1) + 1);
            for pad in pads {
                self.pool_pad(extent, pad)?;
            }
            // A window that reaches into the input has a tap there, unless its taps are so far apart that they lie on either side: then
            // input and padding are so short that there are few windows.
            let wide = axis.dilation > axis.size && pads != [0, 0];
            if wide && (0..positions.into()).any(|at| axis.taps(at).inside.is_empty()) {
                return Err(LoadError::PoolWindow { op: self.op });
            }
        }
        Ok(())
    }

    /// Shapes of an elementwise operator with two operands, of which the second may be one value, or one per channel.
    pub(super) fn binary(
        &self,
        a: TensorIndex,
        b: TensorIndex,
        output: TensorIndex,
    ) -> Result<(), LoadError> {
        let (a, b, output) = (self.tensor(a)?, self.tensor(b)?, self.tensor(output)?);
        self.same_shape(a, output)?;
        if b.shape() == [1, 1, a.c] || b.shape() == [1, 1, 1] {
            return Ok(());
        }
        self.same_shape(a, b)
    }

    pub(super) fn tensor(&self, index: TensorIndex) -> Result<&'p Tensor, LoadError> {
        self.site
            .tensors
            .get(usize::from(index))
            .ok_or(LoadError::TensorIndex {
                op: self.op,
                tensors: u16::try_from(self.site.tensors.len()).unwrap_or(u16::MAX),
                found: index,
            })
    }

    /// `length` bytes of the weights section, at a multiple of 16.
    pub(super) fn bytes(&self, offset: WeightsOffset, length: u64) -> Result<&'p [i8], LoadError> {
        if !offset.get().is_multiple_of(ALIGNMENT) {
            return Err(LoadError::WeightsAlignment {
                op: self.op,
                found: offset.get(),
            });
        }
        in_memory(length)
            .and_then(|length| offset.slice(self.weights, length))
            .ok_or(LoadError::WeightsRange {
                op: self.op,
                section: saturate(self.weights.len()),
                found: u64::from(offset.get()).saturating_add(length),
            })
    }

    /// Bytes of weights, parameters and clamps that the checks have read so far.
    pub(super) fn reads(&self) -> usize {
        self.reads.get()
    }

    pub(super) fn count(&self, bytes: usize) {
        self.reads.set(self.reads.get().saturating_add(bytes));
    }

    /// As [`values`](Self::values), for a check that reads them.
    pub(super) fn values_to_read(
        &self,
        index: ParamIndex,
        length: u64,
    ) -> Result<&'p [i32], LoadError> {
        let values = self.values(index, length)?;
        self.count(size_of_val(values));
        Ok(values)
    }

    /// `length` values of the parameters section.
    pub(super) fn values(&self, index: ParamIndex, length: u64) -> Result<&'p [i32], LoadError> {
        in_memory(length)
            .and_then(|length| index.slice(self.params, length))
            .ok_or(LoadError::ParametersRange {
                op: self.op,
                section: saturate(self.params.len()),
                found: u64::from(index.get()).saturating_add(length),
            })
    }

    pub(super) fn range(&self, min: i8, max: i8) -> Result<(), LoadError> {
        if min > max {
            Err(LoadError::Clamp {
                op: self.op,
                min,
                max,
            })
        } else {
            Ok(())
        }
    }

    pub(super) fn dimension(&self, axis: u8, expected: u32, found: u32) -> Result<(), LoadError> {
        if expected != found {
            return Err(LoadError::Shape {
                op: self.op,
                axis,
                expected,
                found,
            });
        }
        Ok(())
    }

    pub(super) fn axis(&self, axis: u8, expected: u32, tensor: &Tensor) -> Result<(), LoadError> {
        let [h, w, c] = tensor.shape();
        self.dimension(
            axis,
            expected,
            [h, w, c]
                .get(usize::from(axis))
                .copied()
                .unwrap_or(0)
                .into(),
        )
    }

    pub(super) fn same_shape(&self, expected: &Tensor, found: &Tensor) -> Result<(), LoadError> {
        for (axis, dim) in (0..3).zip(expected.shape()) {
            self.axis(axis, dim.into(), found)?;
        }
        Ok(())
    }

    pub(super) fn elements(&self, expected: u64, tensor: &Tensor) -> Result<(), LoadError> {
        if expected != tensor.elements() {
            return Err(LoadError::Elements {
                op: self.op,
                expected,
                found: tensor.elements(),
            });
        }
        Ok(())
    }

    pub(super) fn zero_point(&self, expected: i8, tensor: &Tensor) -> Result<(), LoadError> {
        if expected != tensor.zero_point {
            return Err(LoadError::ZeroPoint {
                op: self.op,
                expected,
                found: tensor.zero_point,
            });
        }
        Ok(())
    }

    pub(super) fn same_zero_point(&self, input: &Tensor, output: &Tensor) -> Result<(), LoadError> {
        self.zero_point(input.zero_point, output)
    }
}

/// Taps of a window.
pub(super) fn taps(window: &Window) -> u64 {
    u64::from(window.kernel_h) * u64::from(window.kernel_w)
}

/// A length as a number of elements in memory, which no section has more of.
fn in_memory(length: u64) -> Option<usize> {
    usize::try_from(length).ok()
}
