//! Sums, differences, products, quotients, maxima and minima.
//!
//! With a constant that differs at most along one axis the first four are affine functions a channel, which folding can absorb. A maximum or minimum
//! with one number is a clip.

use super::super::call::Call;
use super::super::constant::Constant;
use super::super::context::Value;
use super::super::layout::{View, strides, walk};
use crate::graph::{Activation, BatchNorm, Op, TensorId};
use crate::import::error::{OpResult, invalid, unsupported};

/// Function of the operands `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
}

impl Kind {
    fn op(self) -> Op {
        match self {
            Kind::Add => Op::Add,
            Kind::Sub => Op::Sub,
            Kind::Mul | Kind::Div => Op::Mul,
            Kind::Max => Op::Max,
            Kind::Min => Op::Min,
        }
    }

    /// Scale and shift of the function of the other operand, if `constant` is the right one, or else the left one.
    fn affine(self, constant: f32, is_right: bool) -> Option<(f32, f32)> {
        match (self, is_right) {
            (Kind::Add, _) => Some((1.0, constant)),
            (Kind::Mul, _) => Some((constant, 0.0)),
            (Kind::Sub, true) => Some((1.0, -constant)),
            (Kind::Sub, false) => Some((-1.0, constant)),
            (Kind::Div, true) => Some((1.0 / constant, 0.0)),
            (Kind::Div, false) | (Kind::Max | Kind::Min, _) => None,
        }
    }
}

pub(super) fn add(call: &mut Call<'_, '_>) -> OpResult<View> {
    binary(call, Kind::Add)
}

pub(super) fn sub(call: &mut Call<'_, '_>) -> OpResult<View> {
    binary(call, Kind::Sub)
}

pub(super) fn mul(call: &mut Call<'_, '_>) -> OpResult<View> {
    binary(call, Kind::Mul)
}

pub(super) fn div(call: &mut Call<'_, '_>) -> OpResult<View> {
    binary(call, Kind::Div)
}

pub(super) fn sum(call: &mut Call<'_, '_>) -> OpResult<View> {
    chain(call, Kind::Add)
}

pub(super) fn max(call: &mut Call<'_, '_>) -> OpResult<View> {
    chain(call, Kind::Max)
}

pub(super) fn min(call: &mut Call<'_, '_>) -> OpResult<View> {
    chain(call, Kind::Min)
}

/// Any number of operands, two at a time.
fn chain(call: &mut Call<'_, '_>, kind: Kind) -> OpResult<View> {
    let operands = (0..call.node.input.len())
        .map(|index| call.operand(index))
        .collect::<OpResult<Vec<_>>>()?;
    let mut operands = operands.into_iter();
    let mut total = (operands.next()).ok_or_else(|| invalid("has no operand"))?;
    let count = operands.len();
    for (index, operand) in operands.enumerate() {
        call.is_partial = index + 1 < count;
        total = match (&total, &operand) {
            (Value::Constant(_), Value::Constant(_)) => {
                return Err(unsupported(
                    "its first two operands are both constant",
                    "put the network's values first",
                ));
            }
            _ => Value::View(of_values(call, kind, total, operand)?),
        };
    }
    match total {
        Value::View(view) => Ok(view),
        Value::Constant(_) => Err(invalid("its operand is constant")),
    }
}

fn binary(call: &mut Call<'_, '_>, kind: Kind) -> OpResult<View> {
    let (a, b) = (call.operand(0)?, call.operand(1)?);
    of_values(call, kind, a, b)
}

fn of_values(call: &mut Call<'_, '_>, kind: Kind, a: Value, b: Value) -> OpResult<View> {
    match (a, b) {
        (Value::View(view), Value::Constant(constant)) => {
            with_constant(call, kind, &view, &constant, true)
        }
        (Value::Constant(constant), Value::View(view)) => {
            with_constant(call, kind, &view, &constant, false)
        }
        (Value::View(a), Value::View(b)) => of_two(call, kind, &a, &b),
        (Value::Constant(_), Value::Constant(_)) => Err(invalid("both operands are constant")),
    }
}

fn with_constant(
    call: &mut Call<'_, '_>,
    kind: Kind,
    view: &View,
    constant: &Constant,
    is_right: bool,
) -> OpResult<View> {
    let values = constant.as_floats()?;
    let shape = call.builder().shape(view);
    let varying = broadcast_axes(view, &shape, constant)?;
    if matches!(kind, Kind::Max | Kind::Min) {
        return extremum_with_constant(call, kind, view, constant, &varying);
    }
    let coefficients = values
        .iter()
        .map(|&value| kind.affine(value, is_right))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| {
            unsupported(
                "a constant is divided by a value of the network",
                "only the divisor may be constant; rewrite the expression in the source model",
            )
        })?;
    if coefficients
        .iter()
        .any(|(scale, shift)| !scale.is_finite() || !shift.is_finite())
    {
        return Err(invalid(
            "the constant operand is infinite or a divisor is 0",
        ));
    }
    if kind == Kind::Add
        && call.node.input.len() == 2
        && varying.len() <= 1
        && let Some(view) = add_to_bias(call, view, &varying, values)
    {
        return Ok(view);
    }
    match varying[..] {
        [] => {
            let channels = call.builder().stored(view.tensor).last().copied();
            let channels = channels.unwrap_or(1);
            call.builder().spend(4 * channels)?;
            let (scale, shift) = coefficients[0];
            let norm = BatchNorm::affine(vec![scale; channels], vec![shift; channels]);
            let tensor = call.emit(Op::BatchNorm(norm), &[view.tensor])?;
            Ok(view.over(tensor))
        }
        // Along an axis that is neither the channels nor stored last a constant tensor is cheaper than moving the data.
        [axis] if axis == 1 || super::norm::fits_storage(call, view, axis) => {
            let (scale, shift) = coefficients.into_iter().unzip();
            super::norm::along_axis(call, view, axis, BatchNorm::affine(scale, shift))
        }
        _ => {
            let values = match kind {
                Kind::Div => values.iter().map(|value| 1.0 / value).collect(),
                _ => values.to_vec(),
            };
            let constant = Constant::floats(constant.shape.clone(), values);
            let stored = store_constant(call, view, &constant)?;
            let operands = if is_right || kind != Kind::Sub {
                [view.tensor, stored]
            } else {
                [stored, view.tensor]
            };
            let tensor = call.emit(kind.op(), &operands)?;
            Ok(view.over(tensor))
        }
    }
}

/// The larger or smaller of a value and a constant: a clip, or a tensor of constants, which has one value for each channel where that is enough.
fn extremum_with_constant(
    call: &mut Call<'_, '_>,
    kind: Kind,
    view: &View,
    constant: &Constant,
    varying: &[usize],
) -> OpResult<View> {
    let values = constant.as_floats()?;
    if varying.is_empty() {
        let (min, max) = match kind {
            Kind::Max => (values[0], f32::INFINITY),
            _ => (f32::NEG_INFINITY, values[0]),
        };
        let clip = Op::Activation(Activation::Clip { min, max });
        let tensor = call.emit(clip, &[view.tensor])?;
        return Ok(view.over(tensor));
    }
    let last = call.builder().stored(view.tensor).len() - 1;
    let is_channels = matches!(*varying, [axis] if view.axes[axis] == [last]);
    let stored = if is_channels {
        call.builder().spend(values.len())?;
        let shape = Some(vec![values.len()]);
        call.emit_helper("constant", Op::Constant(values.to_vec()), &[], shape)?
    } else {
        store_constant(call, view, constant)?
    };
    let tensor = call.emit(kind.op(), &[view.tensor, stored])?;
    Ok(view.over(tensor))
}

/// The axes of the view along which the constant varies.
fn broadcast_axes(view: &View, shape: &[usize], constant: &Constant) -> OpResult<Vec<usize>> {
    let misfit = || {
        invalid(format!(
            "a constant of the shape {:?} does not fit an operand of the shape {shape:?}",
            constant.shape
        ))
    };
    let dims = &constant.shape[..];
    let Some(first) = shape.len().checked_sub(dims.len()) else {
        return Err(misfit());
    };
    let mut varying = Vec::new();
    for (index, &dim) in dims.iter().enumerate() {
        if dim == 1 {
            continue;
        }
        let axis = first + index;
        if dim != shape[axis] || Some(axis) == view.batch {
            return Err(misfit());
        }
        varying.push(axis);
    }
    Ok(varying)
}

/// Adds the constant to the bias of the layer that has just been made, if nothing else reads that layer's output.
///
/// Exporters write a layer without bias and an Add where the source model has a bias.
fn add_to_bias(
    call: &mut Call<'_, '_>,
    view: &View,
    varying: &[usize],
    values: &[f32],
) -> Option<View> {
    let output = call.output.to_owned();
    let builder = call.builder();
    let name = builder.graph.tensors[view.tensor].name.clone();
    let stored_last = builder.stored(view.tensor).len() - 1;
    let is_channels = varying.iter().all(|&axis| view.axes[axis] == [stored_last]);
    if !is_channels || !call.node.input.contains(&name) || !call.is_read_once(&name) {
        return None;
    }
    let writer = *call.builder().writers.get(&view.tensor)?;
    let graph = &mut call.builder().graph;
    let node = &mut graph.nodes[writer];
    let linear = node.op.linear_mut()?;
    for (channel, bias) in linear.bias.iter_mut().enumerate() {
        *bias += values[if values.len() == 1 { 0 } else { channel }];
    }
    graph.tensors[view.tensor].name = output;
    Some(view.clone())
}

/// A constant node with the values laid out, and repeated, as the view's tensor is.
pub(super) fn store_constant(
    call: &mut Call<'_, '_>,
    view: &View,
    constant: &Constant,
) -> OpResult<TensorId> {
    let stored = call.builder().stored(view.tensor).to_vec();
    let missing = view.rank() - constant.shape.len();
    let own = strides(&constant.shape);
    let mut steps = vec![0; stored.len()];
    for (axis, atoms) in view.axes.iter().enumerate().skip(missing) {
        if constant.shape[axis - missing] == 1 {
            continue;
        }
        let mut step = own[axis - missing];
        for &atom in atoms.iter().rev() {
            steps[atom] = step;
            step *= stored[atom];
        }
    }
    call.builder().spend(stored.iter().product())?;
    let values = constant.as_floats()?;
    let laid_out = walk(&stored, &steps)
        .into_iter()
        .map(|position| values[position])
        .collect();
    call.emit_helper("constant", Op::Constant(laid_out), &[], Some(stored))
}

/// Two values of the network; the smaller may have one element per channel, or one in all.
fn of_two(call: &mut Call<'_, '_>, kind: Kind, a: &View, b: &View) -> OpResult<View> {
    if kind == Kind::Div {
        return Err(unsupported(
            "divides by a value of the network",
            "the divisor must be constant; rewrite the expression in the source model",
        ));
    }
    let builder = call.builder();
    let (a_shape, b_shape) = (builder.shape(a), builder.shape(b));
    let Some([a, b]) = (builder.with_common_batch(&[a, b], None))
        .and_then(|views| <[View; 2]>::try_from(views).ok())
    else {
        return Err(invalid(format!(
            "cannot combine the shapes {a_shape:?} and {b_shape:?}; their batch axes differ"
        )));
    };
    let (a, b) = (&a, &b);
    if a_shape == b_shape {
        let same_storage = a.axes == b.axes && builder.stored(a.tensor) == builder.stored(b.tensor);
        let (a, b) = if same_storage {
            (a.clone(), b.clone())
        } else {
            (builder.usual_order(a)?, builder.usual_order(b)?)
        };
        let tensor = call.emit(kind.op(), &[a.tensor, b.tensor])?;
        return Ok(a.over(tensor));
    }
    let fits = |small: &[usize], large: &[usize]| {
        let fits = |(small, large): (&usize, &usize)| *small == 1 || small == large;
        small.iter().zip(large).all(fits)
    };
    let (large, small, swapped) = if fits(&b_shape, &a_shape) {
        (a, b, false)
    } else if fits(&a_shape, &b_shape) {
        (b, a, true)
    } else {
        return Err(unsupported(
            format!(
                "combines the shapes {a_shape:?} and {b_shape:?}, each smaller than the other somewhere"
            ),
            "one operand must have the shape of the result",
        ));
    };
    if swapped && kind == Kind::Sub {
        return Err(unsupported(
            "subtracts a larger operand from a smaller one",
            "swap the operands and negate the result by a Mul with -1",
        ));
    }
    let (large, small) = (builder.usual_order(large)?, builder.usual_order(small)?);
    let (large_shape, small_shape) = (builder.stored(large.tensor), builder.stored(small.tensor));
    let elements: usize = small_shape.iter().product();
    if elements != 1
        && (small_shape.last() != large_shape.last() || Some(&elements) != small_shape.last())
    {
        return Err(unsupported(
            format!("combines the shapes {a_shape:?} and {b_shape:?}"),
            "supported are equal shapes, one value per channel, and a single value",
        ));
    }
    let tensor = call.emit(kind.op(), &[large.tensor, small.tensor])?;
    Ok(large.over(tensor))
}
