//! From an operator of the program to the kernel that computes it.
//!
//! A kernel takes a parameter struct, its operands and its output; it never sees the program. All families have the same
//! signatures, and this file is the only place that chooses one. The arena is seen as `Cell<i8>`, so that operators in
//! place need no unsafe code; inner loops read cells and store nothing, which costs what plain slices would.
//!
//! Slices are taken with `get`, which costs one comparison a run and leaves no panic path. For a checked model it never
//! misses: an empty slice would only shorten a loop. Sums and indices use plain operators: their bounds are proven in
//! `docs/arithmetic.md` and by the loader, and a debug build checks the proofs.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tests may fail, and their numbers are small"
    )
)]

mod cells;
#[cfg(any(fewbit_family = "all", fewbit_family = "dsp"))]
mod dsp;
#[cfg(any(fewbit_family = "all", fewbit_family = "mve"))]
mod mve;
mod params;
mod planar;
mod scalar;

use crate::format::family::Family;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{
    Add, AveragePool, Concat, Conv2d, Extremum, FullyConnected, Lut, MaxPool, Mul, Op, Pad,
    Requant, ScaledSoftmax, Scratch, Softmax, Tensor, TensorIndex, Transpose,
};
use crate::parts::{self, Kernels};
use core::cell::Cell;
pub(crate) use params::{Axis, Shape};
pub(crate) use planar::{
    DepthMultiplier, lines_of as depthwise_lines, scratch_bytes as depthwise_scratch_bytes,
};

use params::{
    AddParams, AveragePoolParams, Conv2dParams, CopyParams, ExtremumParams, FullyConnectedParams,
    MaxPoolParams, MulParams, PadParams, Stage, TransposeParams,
};

/// Calls the kernel of the vector family where that runs, else the scalar one.
macro_rules! kernel {
    ($memory:ident, $name:ident::<K>($($argument:expr),+)) => {
        match $memory.family {
            #[cfg(any(fewbit_family = "all", fewbit_family = "mve"))]
            Family::Mve => mve::$name::<K>($($argument),+),
            _ => scalar::$name::<K>($($argument),+),
        }
    };
}

/// Memories to which an operator refers by index and offset.
pub(crate) struct Memory<'r> {
    pub(crate) tensors: &'r [Tensor],
    pub(crate) weights: &'r [i8],
    pub(crate) params: &'r [i32],
    pub(crate) arena: &'r [Cell<i8>],
    /// Kernel family that runs: what this firmware was built for, or on the host what the blob was packed for.
    pub(crate) family: Family,
    /// Family that the blob was packed for, which decides how outputs may overwrite inputs.
    pub(crate) packed_for: Family,
}

/// A tensor's shape, encoding and bytes.
struct View<'r> {
    shape: Shape,
    zero_point: i8,
    data: &'r [Cell<i8>],
}

impl<'r> Memory<'r> {
    fn view(&self, index: TensorIndex) -> View<'r> {
        let Some(tensor) = self.tensors.get(usize::from(index)) else {
            return View {
                shape: Shape::default(),
                zero_point: 0,
                data: &[],
            };
        };
        let shape = Shape::of(tensor);
        View {
            shape,
            zero_point: tensor.zero_point,
            data: cells(self.arena, tensor.offset, shape.bytes()),
        }
    }

    /// The output stage of the operator that writes `output`.
    fn stage(&self, output: &View<'_>, requant: &Requant, multipliers: usize) -> Stage<'r> {
        Stage::new(
            output.zero_point,
            requant,
            self.values(requant.multipliers, multipliers),
            self.weights,
        )
    }

    /// `length` bytes of the weights section.
    fn bytes(&self, offset: WeightsOffset, length: usize) -> &'r [i8] {
        offset.slice(self.weights, length).unwrap_or_default()
    }

    /// The weights section from `offset` to its end.
    fn rest_of_weights(&self, offset: WeightsOffset) -> &'r [i8] {
        offset.rest(self.weights).unwrap_or_default()
    }

    /// `length` values of the parameters section.
    fn values(&self, index: ParamIndex, length: usize) -> &'r [i32] {
        index.slice(self.params, length).unwrap_or_default()
    }

    fn scratch(&self, scratch: Scratch) -> &'r [Cell<i8>] {
        cells(self.arena, scratch.offset, scratch.bytes as usize)
    }
}

/// `length` bytes of the arena from `start` on; fewer than that never happens in a checked model.
fn cells(arena: &[Cell<i8>], start: u32, length: usize) -> &[Cell<i8>] {
    let start = start as usize;
    arena
        .get(start..start.saturating_add(length))
        .unwrap_or_default()
}

/// Runs one operator of a checked model.
pub(crate) fn execute<K: Kernels>(op: &Op, memory: &Memory<'_>) {
    match op {
        #[cfg(any(fewbit_family = "all", fewbit_family = "dsp"))]
        Op::Conv2d(op) if K::LINKED.has(parts::PAIRED_CONV_2D) && op.weight_type.is_paired() => {
            memory.convolution(op, dsp::conv2d::<K>);
        }
        Op::Conv2d(op) if K::LINKED.has(parts::CONV_2D) => {
            memory.convolution(op, |p, x, y| kernel!(memory, conv2d::<K>(p, x, y)));
        }
        Op::DepthwiseConv2d(op) if K::LINKED.has(parts::ANY_DEPTHWISE) => {
            memory.depthwise_conv2d::<K>(op);
        }
        Op::FullyConnected(op) if K::LINKED.has(parts::ANY_FULLY_CONNECTED) => {
            memory.fully_connected::<K>(op);
        }
        Op::MaxPool(op) if K::LINKED.has(parts::MAX_POOL) => memory.max_pool::<K>(op),
        Op::AveragePool(op) if K::LINKED.has(parts::AVERAGE_POOL) => memory.average_pool::<K>(op),
        Op::Add(op) if K::LINKED.has(parts::ADD) => memory.add(op),
        Op::Mul(op) if K::LINKED.has(parts::MUL) => memory.mul(op),
        Op::Max(op) if K::LINKED.has(parts::EXTREMUM) => memory.extremum(op, scalar::max),
        Op::Min(op) if K::LINKED.has(parts::EXTREMUM) => memory.extremum(op, scalar::min),
        Op::Lut(op) if K::LINKED.has(parts::LUT) => memory.lut(op),
        Op::Softmax(op) if K::LINKED.has(parts::SOFTMAX) => memory.softmax(op),
        Op::ScaledSoftmax(op) if K::LINKED.has(parts::SCALED_SOFTMAX) => memory.scaled_softmax(op),
        Op::Transpose(op) if K::LINKED.has(parts::TRANSPOSE) => memory.transpose(op),
        Op::Concat(op) if K::LINKED.has(parts::CONCAT) => memory.concat(op),
        Op::Pad(op) if K::LINKED.has(parts::PAD) => memory.pad(op),
        Op::Constant(op) if K::LINKED.has(parts::CONSTANT) => {
            let y = memory.view(op.output);
            scalar::constant(memory.bytes(op.data, y.data.len()), y.data);
        }
        // The same bytes in the same place, or what was ruled out above.
        _ => {}
    }
}

/// One method per operator: it reads what the operator names and calls the kernel. Each has one caller; inlined there it takes less flash.
impl Memory<'_> {
    fn convolution(
        &self,
        op: &Conv2d,
        kernel: impl FnOnce(&Conv2dParams<'_>, &[Cell<i8>], &[Cell<i8>]),
    ) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        let params = Conv2dParams {
            input: x.shape,
            output: y.shape,
            window: op.window,
            groups: op.groups.into(),
            input_zero_point: x.zero_point,
            weight_type: op.weight_type,
            weights: self.rest_of_weights(op.weights),
            bias: self.values(op.bias, y.shape.c),
            stage: self.stage(&y, &op.requant, y.shape.c),
            scratch: self.scratch(op.scratch),
        };
        kernel(&params, x.data, y.data);
    }

    #[inline(always)]
    fn depthwise_conv2d<K: Kernels>(&self, op: &Conv2d) {
        self.convolution(op, |p, x, y| match (self.family, self.packed_for) {
            #[cfg(any(fewbit_family = "all", fewbit_family = "mve"))]
            (Family::Mve, Family::Mve) => mve::depthwise_conv2d::<K>(p, x, y),
            (family, _) => {
                // The loops of the DSP family read int16.
                let elements = if family == Family::Dsp {
                    planar::Elements::Int16
                } else {
                    planar::Elements::Int8
                };
                planar::depthwise_conv2d::<K>(elements, p, x, y);
            }
        });
    }

    #[inline(always)]
    fn fully_connected<K: Kernels>(&self, op: &FullyConnected) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        let params = FullyConnectedParams {
            weight_type: op.weight_type,
            weights: self.rest_of_weights(op.weights),
            bias: self.values(op.bias, y.shape.c),
            stage: self.stage(&y, &op.requant, y.shape.c),
            scratch: self.scratch(op.scratch),
        };
        #[cfg(any(fewbit_family = "all", fewbit_family = "dsp"))]
        if K::LINKED.has(parts::PAIRED_FULLY_CONNECTED) && op.weight_type.is_paired() {
            return dsp::fully_connected::<K>(&params, x.data, y.data);
        }
        if K::LINKED.has(parts::FULLY_CONNECTED) {
            kernel!(self, fully_connected::<K>(&params, x.data, y.data));
        }
    }

    #[inline(always)]
    fn max_pool<K: Kernels>(&self, op: &MaxPool) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        let params = MaxPoolParams {
            input: x.shape,
            output: y.shape,
            window: op.window,
            min: op.min,
            max: op.max,
        };
        if K::LINKED.has(parts::DILATED_POOLS) && parts::is_dilated(&op.window) {
            return scalar::dilated_max_pool(&params, x.data, y.data);
        }
        scalar::max_pool(&params, x.data, y.data);
    }

    #[inline(always)]
    fn average_pool<K: Kernels>(&self, op: &AveragePool) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        let taps = usize::from(op.window.kernel_h) * usize::from(op.window.kernel_w);
        let multipliers = if op.multiplier_per_count { taps } else { 1 };
        let params = AveragePoolParams {
            input: x.shape,
            output: y.shape,
            window: op.window,
            input_zero_point: x.zero_point,
            multiplier_per_count: op.multiplier_per_count,
            stage: self.stage(&y, &op.requant, multipliers),
        };
        if K::LINKED.has(parts::DILATED_POOLS) && parts::is_dilated(&op.window) {
            return scalar::dilated_average_pool(&params, x.data, y.data);
        }
        scalar::average_pool(&params, x.data, y.data);
    }

    #[inline(always)]
    fn add(&self, op: &Add) {
        let (a, b, y) = (self.view(op.a), self.view(op.b), self.view(op.output));
        let params = AddParams {
            channels: y.shape.c,
            a_multiplier: op.a_multiplier,
            b_multiplier: op.b_multiplier,
            a_zero_point: a.zero_point,
            b_zero_point: b.zero_point,
            zero_point: y.zero_point,
            shift: op.shift,
            min: op.min,
            max: op.max,
        };
        match self.family {
            #[cfg(any(fewbit_family = "all", fewbit_family = "dsp"))]
            Family::Dsp => dsp::add(&params, a.data, b.data, y.data),
            _ => scalar::add(&params, a.data, b.data, y.data),
        }
    }

    #[inline(always)]
    fn mul(&self, op: &Mul) {
        let (a, b, y) = (self.view(op.a), self.view(op.b), self.view(op.output));
        let params = MulParams {
            channels: y.shape.c,
            a_zero_point: a.zero_point,
            b_zero_point: b.zero_point,
            stage: self.stage(&y, &op.requant, 1),
        };
        scalar::mul(&params, a.data, b.data, y.data);
    }

    fn extremum(
        &self,
        op: &Extremum,
        kernel: impl FnOnce(&ExtremumParams, &[Cell<i8>], &[Cell<i8>], &[Cell<i8>]),
    ) {
        let (a, b, y) = (self.view(op.a), self.view(op.b), self.view(op.output));
        let params = ExtremumParams {
            channels: y.shape.c,
            a_multiplier: op.a_multiplier,
            b_multiplier: op.b_multiplier,
            a_zero_point: a.zero_point,
            b_zero_point: b.zero_point,
            zero_point: y.zero_point,
            shift: op.shift,
            min: op.min,
            max: op.max,
        };
        kernel(&params, a.data, b.data, y.data);
    }

    #[inline(always)]
    fn lut(&self, op: &Lut) {
        if let Some(table) = self.bytes(op.table, 256).first_chunk() {
            scalar::lut(table, self.view(op.input).data, self.view(op.output).data);
        }
    }

    #[inline(always)]
    fn softmax(&self, op: &Softmax) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        if let Some(table) = self.values(op.table, 256).first_chunk() {
            scalar::softmax(table, x.shape.c, x.data, y.data);
        }
    }

    #[inline(always)]
    fn scaled_softmax(&self, op: &ScaledSoftmax) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        if let Some(table) = self.values(op.table, 256).first_chunk() {
            scalar::scaled_softmax(table, op.steps, x.shape.c, x.data, y.data);
        }
    }

    #[inline(always)]
    fn transpose(&self, op: &Transpose) {
        let params = TransposeParams {
            dims: op.dims.map(usize::from),
            perm: op.perm.map(usize::from),
        };
        let (x, y) = (self.view(op.input), self.view(op.output));
        scalar::transpose(&params, x.data, y.data);
    }

    #[inline(always)]
    fn concat(&self, op: &Concat) {
        let y = self.view(op.output);
        let mut start = 0;
        for &index in &op.inputs {
            let x = self.view(index);
            // In a row of the output, one input's elements are contiguous: everything from the axis inwards.
            let (run, row) = match op.axis {
                0 => (x.data.len(), y.data.len()),
                1 => (x.shape.w * x.shape.c, y.shape.w * y.shape.c),
                _ => (x.shape.c, y.shape.c),
            };
            scalar::copy_runs(&CopyParams { run, start, row }, x.data, y.data);
            start += run;
        }
    }

    #[inline(always)]
    fn pad(&self, op: &Pad) {
        let (x, y) = (self.view(op.input), self.view(op.output));
        let params = PadParams {
            input: x.shape,
            output: y.shape,
            before: op.before.map(usize::from),
            value: op.value,
        };
        scalar::pad(&params, x.data, y.data);
    }
}
