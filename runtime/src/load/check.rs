//! The checks of one operator.
//!
//! Shapes, ranges, and the bound that keeps accumulators inside int32.
//!
//! Each operator's conditions are those that its section of `docs/arithmetic.md` states. All sizes are computed in u64:
//! three 16-bit dimensions and a kernel stay below 2^48.

use super::needs;
use crate::error::LoadError;
use crate::format::ALIGNMENT;
use crate::format::family::Packing;
use crate::format::header::saturate;
use crate::format::program::{
    Add, AveragePool, Clamp, Concat, Constant, Conv2d, FullyConnected, Lut, MaxPool, Mul, Op, Pad,
    Requant, ScaledSoftmax, Softmax, Tensor, TensorIndex, Transpose, Unary, WeightType, Window,
};
use crate::kernels::{Axis, Shape};
use crate::limits;
use crate::pack::{self, CONV_MULTIPLE, FULLY_CONNECTED_MULTIPLE};
use crate::parts::{self, Kernels};
use core::cell::Cell;

/// An operator's surroundings.
pub(super) struct Checker<'p> {
    op: u16,
    /// Bytes of weights, parameters and clamps that the checks have read.
    reads: Cell<usize>,
    tensors: &'p [Tensor],
    weights: &'p [i8],
    params: &'p [i32],
    packing: Packing,
}

/// Weights of a convolution or a fully connected layer.
struct Layer<'p> {
    weight_type: WeightType,
    /// What rows of weights in pairs are filled up to; `None` where there are no pairs.
    multiple: Option<u64>,
    /// First byte in the section.
    offset: u32,
    /// Number of rows that start on a byte, and weights in a row.
    rows: u64,
    row: u64,
    /// Products an output.
    products: u64,
    /// Index of the first bias.
    bias: u32,
    requant: &'p Requant,
    output: &'p Tensor,
}

impl<'p> Checker<'p> {
    pub(super) fn new(
        op: u16,
        tensors: &'p [Tensor],
        weights: &'p [i8],
        params: &'p [i32],
        packing: Packing,
    ) -> Self {
        Checker {
            op,
            reads: Cell::new(0),
            tensors,
            weights,
            params,
            packing,
        }
    }

    /// Checks an operator whose kernel is linked; the checks of the others are not linked either.
    pub(super) fn check<K: Kernels>(&self, op: &Op) -> Result<(), LoadError> {
        self.operator::<K>(op)?;
        self.scratch(op)
    }

    fn operator<K: Kernels>(&self, op: &Op) -> Result<(), LoadError> {
        match op {
            Op::Conv2d(op) if K::LINKED.has(parts::ANY_CONV_2D) => self.conv2d(op),
            Op::DepthwiseConv2d(op) if K::LINKED.has(parts::ANY_DEPTHWISE) => {
                self.depthwise_conv2d(op)
            }
            Op::FullyConnected(op) if K::LINKED.has(parts::ANY_FULLY_CONNECTED) => {
                self.fully_connected(op)
            }
            Op::MaxPool(op) if K::LINKED.has(parts::MAX_POOL) => self.max_pool::<K>(op),
            Op::AveragePool(op) if K::LINKED.has(parts::AVERAGE_POOL) => self.average_pool::<K>(op),
            Op::Add(op) if K::LINKED.has(parts::ADD) => self.add(op),
            Op::Mul(op) if K::LINKED.has(parts::MUL) => self.mul(op),
            Op::Lut(op) if K::LINKED.has(parts::LUT) => self.lut(op),
            Op::Softmax(op) if K::LINKED.has(parts::SOFTMAX) => self.softmax(op),
            Op::ScaledSoftmax(op) if K::LINKED.has(parts::SCALED_SOFTMAX) => {
                self.scaled_softmax(op)
            }
            Op::Reshape(op) if K::LINKED.has(parts::RESHAPE) => self.reshape(op),
            Op::Transpose(op) if K::LINKED.has(parts::TRANSPOSE) => self.transpose(op),
            Op::Concat(op) if K::LINKED.has(parts::CONCAT) => self.concat(op),
            Op::Pad(op) if K::LINKED.has(parts::PAD) => self.pad(op),
            Op::Constant(op) if K::LINKED.has(parts::CONSTANT) => self.constant(op),
            _ => Err(LoadError::Kernel { op: self.op }),
        }
    }

    fn conv2d(&self, op: &Conv2d) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.window(&op.window, input, output)?;
        let groups = Err(LoadError::Groups {
            op: self.op,
            found: op.groups,
        });
        let (Some(0), Some(0)) = (
            input.c.checked_rem(op.groups),
            output.c.checked_rem(op.groups),
        ) else {
            return groups;
        };
        let channels = input.c.checked_div(op.groups).unwrap_or(0);
        let products = taps(&op.window) * u64::from(channels);
        self.layer(&Layer {
            weight_type: op.weight_type,
            multiple: (op.groups == 1).then_some(CONV_MULTIPLE),
            offset: op.weights,
            rows: output.c.into(),
            row: products,
            products,
            bias: op.bias,
            requant: &op.requant,
            output,
        })
    }

    fn depthwise_conv2d(&self, op: &Conv2d) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.window(&op.window, input, output)?;
        if op.groups != input.c || output.c.checked_rem(input.c) != Some(0) {
            return Err(LoadError::Groups {
                op: self.op,
                found: op.groups,
            });
        }
        self.layer(&Layer {
            weight_type: op.weight_type,
            multiple: None,
            offset: op.weights,
            rows: taps(&op.window),
            row: output.c.into(),
            products: taps(&op.window),
            bias: op.bias,
            requant: &op.requant,
            output,
        })
    }

    fn fully_connected(&self, op: &FullyConnected) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.axis(0, 1, output)?;
        self.axis(1, 1, output)?;
        self.layer(&Layer {
            weight_type: op.weight_type,
            multiple: Some(FULLY_CONNECTED_MULTIPLE),
            offset: op.weights,
            rows: output.c.into(),
            row: input.len(),
            products: input.len(),
            bias: op.bias,
            requant: &op.requant,
            output,
        })
    }

    fn max_pool<K: Kernels>(&self, op: &MaxPool) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.pool::<K>(&op.window, input, output)?;
        self.same_zero_point(input, output)?;
        self.range(op.min, op.max)
    }

    fn average_pool<K: Kernels>(&self, op: &AveragePool) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.pool::<K>(&op.window, input, output)?;
        let count = taps(&op.window);
        self.requant(
            &op.requant,
            if op.multiplier_per_count { count } else { 1 },
            output,
        )?;
        self.accumulator(0, limits::pool_sum(count), op.requant.pre_shift)
    }

    fn add(&self, op: &Add) -> Result<(), LoadError> {
        self.binary(op.a, op.b, op.output)?;
        if !limits::ADD_SHIFTS.contains(&op.shift) {
            return Err(LoadError::AddShift {
                op: self.op,
                found: op.shift,
            });
        }
        if op.a_multiplier == i16::MIN || op.b_multiplier == i16::MIN {
            return Err(LoadError::AddMultiplier { op: self.op });
        }
        self.range(op.min, op.max)
    }

    fn mul(&self, op: &Mul) -> Result<(), LoadError> {
        self.binary(op.a, op.b, op.output)?;
        self.requant(&op.requant, 1, self.tensor(op.output)?)?;
        self.accumulator(0, limits::MAX_PRODUCT, op.requant.pre_shift)
    }

    fn lut(&self, op: &Lut) -> Result<(), LoadError> {
        self.same_shape(self.tensor(op.input)?, self.tensor(op.output)?)?;
        self.bytes(op.table, 256).map(|_| ())
    }

    fn softmax(&self, op: &Softmax) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.same_shape(input, output)?;
        self.zero_point(-128, output)?;
        if input.c > limits::MAX_SOFTMAX_ROW {
            return Err(LoadError::SoftmaxRow {
                op: self.op,
                found: input.c.into(),
            });
        }
        for (&value, at) in self.values_to_read(op.table, 256)?.iter().zip(0_u32..) {
            if !(0..=limits::SOFTMAX_ONE).contains(&value)
                || (at == 0 && value != limits::SOFTMAX_ONE)
            {
                return Err(LoadError::SoftmaxTable {
                    op: self.op,
                    at,
                    found: value,
                });
            }
        }
        Ok(())
    }

    fn scaled_softmax(&self, op: &ScaledSoftmax) -> Result<(), LoadError> {
        if !(limits::MIN_SOFTMAX_STEPS..=limits::MAX_SOFTMAX_STEPS).contains(&op.steps) {
            return Err(LoadError::SoftmaxSteps {
                op: self.op,
                found: op.steps,
            });
        }
        self.softmax(&Softmax {
            input: op.input,
            output: op.output,
            table: op.table,
        })
    }

    fn reshape(&self, op: &Unary) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        self.elements(input.len(), output)?;
        self.same_zero_point(input, output)?;
        if input.offset != output.offset {
            return Err(LoadError::ReshapePlace {
                op: self.op,
                expected: input.offset,
                found: output.offset,
            });
        }
        Ok(())
    }

    fn transpose(&self, op: &Transpose) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        if !(0..4).all(|axis| op.perm.contains(&axis)) {
            return Err(LoadError::Permutation { op: self.op });
        }
        // Four dimensions of 16 bits: below 2^64.
        let product = op
            .dims
            .iter()
            .fold(1, |product, &dim| product * u64::from(dim));
        self.elements(product, input)?;
        self.elements(product, output)?;
        self.same_zero_point(input, output)
    }

    fn concat(&self, op: &Concat) -> Result<(), LoadError> {
        let output = self.tensor(op.output)?;
        if op.axis > 2 {
            return Err(LoadError::Axis {
                op: self.op,
                found: op.axis,
            });
        }
        if op.inputs.is_empty() {
            return Err(LoadError::NoInputs { op: self.op });
        }
        let mut joined = 0_u32;
        for &index in &op.inputs {
            let input = self.tensor(index)?;
            for ((axis, dim), expected) in (0..3).zip(input.shape()).zip(output.shape()) {
                if axis == op.axis {
                    joined += u32::from(dim);
                } else {
                    self.dimension(axis, expected.into(), dim.into())?;
                }
            }
            self.same_zero_point(input, output)?;
        }
        self.axis(op.axis, joined, output)
    }

    fn pad(&self, op: &Pad) -> Result<(), LoadError> {
        let (input, output) = (self.tensor(op.input)?, self.tensor(op.output)?);
        let borders = op.before.iter().zip(&op.after);
        for ((axis, dim), (&before, &after)) in (0..3).zip(input.shape()).zip(borders) {
            self.axis(
                axis,
                u32::from(dim) + u32::from(before) + u32::from(after),
                output,
            )?;
        }
        self.same_zero_point(input, output)
    }

    fn constant(&self, op: &Constant) -> Result<(), LoadError> {
        let output = self.tensor(op.output)?;
        self.bytes(op.data, output.len()).map(|_| ())
    }

    /// Weights, biases and multipliers of a layer, and equation (5) for each of its channels.
    fn layer(&self, layer: &Layer<'_>) -> Result<(), LoadError> {
        let (w_max, limit) = match layer.weight_type {
            WeightType::Int8 | WeightType::PairedInt8 => (limits::MAX_INT8_WEIGHT, 0),
            WeightType::Int4 => (limits::MAX_INT4_WEIGHT, 0),
            WeightType::PairedInt4 => (limits::MAX_INT4_WEIGHT, limits::PAIRED_INT4_SHIFT),
        };
        let bytes = match (layer.weight_type, layer.multiple) {
            (WeightType::Int8, _) => layer.rows.saturating_mul(layer.row),
            (WeightType::Int4, _) => layer.rows.saturating_mul(layer.row.div_ceil(2)),
            (paired, Some(multiple)) if self.packing == Packing::Dsp => {
                pack::paired_bytes(paired, layer.rows, layer.row, multiple)
            }
            _ => return Err(LoadError::WeightOrder { op: self.op }),
        };
        let weights = self.bytes(layer.offset, bytes)?;
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

    /// Kernels with weights in pairs have no way around their scratch; the others run on the scalar kernel without.
    fn scratch(&self, op: &Op) -> Result<(), LoadError> {
        let paired = match op {
            Op::Conv2d(op) => op.weight_type.is_paired(),
            Op::FullyConnected(op) => op.weight_type.is_paired(),
            _ => false,
        };
        let (expected, found) = (
            needs::scratch_bytes(op, self.tensors, self.packing),
            op.scratch(),
        );
        if paired && (expected > u64::from(found.bytes) || !found.offset.is_multiple_of(4)) {
            return Err(LoadError::ScratchSize {
                op: self.op,
                expected,
                found: found.bytes,
            });
        }
        Ok(())
    }

    /// Weights are symmetric: there is no -128 and no -8, on which (5) relies; a spare nibble is 0.
    fn weight_values(&self, layer: &Layer<'_>, weights: &[i8]) -> Result<(), LoadError> {
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
    fn requant(
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
    fn accumulator(&self, channel: u32, magnitude: u64, pre_shift: u8) -> Result<(), LoadError> {
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
    fn window(&self, window: &Window, input: &Tensor, output: &Tensor) -> Result<(), LoadError> {
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

    fn pool<K: Kernels>(
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

    fn pool_pad(&self, extent: u32, pad: u8) -> Result<(), LoadError> {
        if u32::from(pad) >= extent {
            return Err(LoadError::PoolPad {
                op: self.op,
                extent,
                found: pad,
            });
        }
        Ok(())
    }

    fn dilated_pool(
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

    /// Shapes of an elementwise operator with two operands, of which the second may be one value, or one a channel.
    fn binary(&self, a: TensorIndex, b: TensorIndex, output: TensorIndex) -> Result<(), LoadError> {
        let (a, b, output) = (self.tensor(a)?, self.tensor(b)?, self.tensor(output)?);
        self.same_shape(a, output)?;
        if b.shape() == [1, 1, a.c] || b.shape() == [1, 1, 1] {
            return Ok(());
        }
        self.same_shape(a, b)
    }

    fn tensor(&self, index: TensorIndex) -> Result<&'p Tensor, LoadError> {
        self.tensors
            .get(usize::from(index))
            .ok_or(LoadError::TensorIndex {
                op: self.op,
                tensors: u16::try_from(self.tensors.len()).unwrap_or(u16::MAX),
                found: index,
            })
    }

    /// `length` bytes of the weights section, at a multiple of 16.
    fn bytes(&self, offset: u32, length: u64) -> Result<&'p [i8], LoadError> {
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(LoadError::WeightsAlignment {
                op: self.op,
                found: offset,
            });
        }
        slice(self.weights, offset, length).ok_or(LoadError::WeightsRange {
            op: self.op,
            section: saturate(self.weights.len()),
            found: u64::from(offset).saturating_add(length),
        })
    }

    /// Bytes of weights, parameters and clamps that the checks have read so far.
    pub(super) fn reads(&self) -> usize {
        self.reads.get()
    }

    fn count(&self, bytes: usize) {
        self.reads.set(self.reads.get().saturating_add(bytes));
    }

    /// As [`values`](Self::values), for a check that reads them.
    fn values_to_read(&self, index: u32, length: u64) -> Result<&'p [i32], LoadError> {
        let values = self.values(index, length)?;
        self.count(size_of_val(values));
        Ok(values)
    }

    /// `length` values of the parameters section.
    fn values(&self, index: u32, length: u64) -> Result<&'p [i32], LoadError> {
        slice(self.params, index, length).ok_or(LoadError::ParametersRange {
            op: self.op,
            section: saturate(self.params.len()),
            found: u64::from(index).saturating_add(length),
        })
    }

    fn range(&self, min: i8, max: i8) -> Result<(), LoadError> {
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

    fn dimension(&self, axis: u8, expected: u32, found: u32) -> Result<(), LoadError> {
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

    fn axis(&self, axis: u8, expected: u32, tensor: &Tensor) -> Result<(), LoadError> {
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

    fn same_shape(&self, expected: &Tensor, found: &Tensor) -> Result<(), LoadError> {
        for (axis, dim) in (0..3).zip(expected.shape()) {
            self.axis(axis, dim.into(), found)?;
        }
        Ok(())
    }

    fn elements(&self, expected: u64, tensor: &Tensor) -> Result<(), LoadError> {
        if expected != tensor.len() {
            return Err(LoadError::Elements {
                op: self.op,
                expected,
                found: tensor.len(),
            });
        }
        Ok(())
    }

    fn zero_point(&self, expected: i8, tensor: &Tensor) -> Result<(), LoadError> {
        if expected != tensor.zero_point {
            return Err(LoadError::ZeroPoint {
                op: self.op,
                expected,
                found: tensor.zero_point,
            });
        }
        Ok(())
    }

    fn same_zero_point(&self, input: &Tensor, output: &Tensor) -> Result<(), LoadError> {
        self.zero_point(input.zero_point, output)
    }
}

fn taps(window: &Window) -> u64 {
    u64::from(window.kernel_h) * u64::from(window.kernel_w)
}

fn slice<T>(section: &[T], start: u32, length: u64) -> Option<&[T]> {
    let start = start as usize;
    section.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}
