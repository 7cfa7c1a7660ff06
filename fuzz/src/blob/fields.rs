//! The fields of an operator, each as something that can be changed.

use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{Clamp, Op, Requant, TensorIndex, WeightType, Window};

/// A field.
#[derive(Debug)]
pub(crate) enum Field<'f> {
    /// Names a tensor.
    Tensor(&'f mut TensorIndex),
    U8(&'f mut u8),
    U16(&'f mut u16),
    U32(&'f mut u32),
    I8(&'f mut i8),
    I16(&'f mut i16),
    Bool(&'f mut bool),
    /// A place in the weights section.
    Weights(&'f mut WeightsOffset),
    /// An index into the parameters section.
    Params(&'f mut ParamIndex),
    Clamp(&'f mut Clamp),
    WeightType(&'f mut WeightType),
}

/// The fields of an operator in their order.
pub(crate) fn fields(op: &mut Op) -> Vec<Field<'_>> {
    let mut all = Vec::new();
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            window(&mut op.window, &mut all);
            all.push(Field::U16(&mut op.groups));
            all.push(Field::WeightType(&mut op.weight_type));
            all.push(Field::Weights(&mut op.weights));
            all.push(Field::Params(&mut op.bias));
            requant(&mut op.requant, &mut all);
            all.push(Field::U32(&mut op.scratch.offset));
            all.push(Field::U32(&mut op.scratch.bytes));
        }
        Op::FullyConnected(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::WeightType(&mut op.weight_type));
            all.push(Field::Weights(&mut op.weights));
            all.push(Field::Params(&mut op.bias));
            requant(&mut op.requant, &mut all);
            all.push(Field::U32(&mut op.scratch.offset));
            all.push(Field::U32(&mut op.scratch.bytes));
        }
        Op::MaxPool(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            window(&mut op.window, &mut all);
            all.push(Field::I8(&mut op.min));
            all.push(Field::I8(&mut op.max));
        }
        Op::AveragePool(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            window(&mut op.window, &mut all);
            all.push(Field::Bool(&mut op.multiplier_per_count));
            requant(&mut op.requant, &mut all);
        }
        Op::Add(op) => {
            all.push(Field::Tensor(&mut op.a));
            all.push(Field::Tensor(&mut op.b));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::I16(&mut op.a_multiplier));
            all.push(Field::I16(&mut op.b_multiplier));
            all.push(Field::U8(&mut op.shift));
            all.push(Field::I8(&mut op.min));
            all.push(Field::I8(&mut op.max));
        }
        Op::Max(op) | Op::Min(op) => {
            all.push(Field::Tensor(&mut op.a));
            all.push(Field::Tensor(&mut op.b));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::I16(&mut op.a_multiplier));
            all.push(Field::I16(&mut op.b_multiplier));
            all.push(Field::U8(&mut op.shift));
            all.push(Field::I8(&mut op.min));
            all.push(Field::I8(&mut op.max));
        }
        Op::Mul(op) => {
            all.push(Field::Tensor(&mut op.a));
            all.push(Field::Tensor(&mut op.b));
            all.push(Field::Tensor(&mut op.output));
            requant(&mut op.requant, &mut all);
        }
        Op::Lut(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::Weights(&mut op.table));
        }
        Op::Softmax(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::Params(&mut op.table));
        }
        Op::ScaledSoftmax(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::Params(&mut op.table));
            all.push(Field::U32(&mut op.steps));
        }
        Op::Reshape(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
        }
        Op::Transpose(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            all.extend(op.dims.iter_mut().map(Field::U16));
            all.extend(op.perm.iter_mut().map(Field::U8));
        }
        Op::Concat(op) => {
            all.extend(op.inputs.iter_mut().map(Field::Tensor));
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::U8(&mut op.axis));
        }
        Op::Pad(op) => {
            all.push(Field::Tensor(&mut op.input));
            all.push(Field::Tensor(&mut op.output));
            all.extend(op.before.iter_mut().map(Field::U16));
            all.extend(op.after.iter_mut().map(Field::U16));
            all.push(Field::I8(&mut op.value));
        }
        Op::Constant(op) => {
            all.push(Field::Tensor(&mut op.output));
            all.push(Field::Weights(&mut op.data));
        }
    }
    all
}

/// The window of an operator that has one.
pub(crate) fn window_of(op: &mut Op) -> Option<&mut Window> {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => Some(&mut op.window),
        Op::MaxPool(op) => Some(&mut op.window),
        Op::AveragePool(op) => Some(&mut op.window),
        _ => None,
    }
}

fn window<'f>(window: &'f mut Window, all: &mut Vec<Field<'f>>) {
    all.push(Field::U16(&mut window.kernel_h));
    all.push(Field::U16(&mut window.kernel_w));
    for value in [
        &mut window.stride_h,
        &mut window.stride_w,
        &mut window.dilation_h,
        &mut window.dilation_w,
        &mut window.pad_top,
        &mut window.pad_left,
        &mut window.pad_bottom,
        &mut window.pad_right,
    ] {
        all.push(Field::U8(value));
    }
}

fn requant<'f>(requant: &'f mut Requant, all: &mut Vec<Field<'f>>) {
    all.push(Field::Params(&mut requant.multipliers));
    all.push(Field::U8(&mut requant.pre_shift));
    all.push(Field::Clamp(&mut requant.clamp));
}
