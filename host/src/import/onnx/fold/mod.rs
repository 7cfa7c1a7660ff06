//! Arithmetic on constants.
//!
//! Exporters leave such nodes from shape computations and transposed weights.
//!
//! The batch counts as the file fixes it, else as 1.

mod arithmetic;
mod dequantize;
mod reduce;
mod select;
mod unary;

use self::arithmetic::{arithmetic, cast, constant_of_shape, range, select_where};
use self::dequantize::dequantize;
use self::reduce::reduce;
use self::select::{concat, expand, gather, slice, tile, transpose};
use self::unary::{function, unary};
use super::call::{Call, resolve_reshape};
use super::constant::Constant;
use super::context::Value;
use crate::import::builder::element_count;
use crate::import::error::{OpResult, invalid};

/// All operators of [`fold`].
pub(super) const FOLDED: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "DequantizeLinear",
    "Div",
    "Equal",
    "Exp",
    "Expand",
    "Floor",
    "Gather",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Round",
    "Shape",
    "Sigmoid",
    "Sign",
    "Size",
    "Slice",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Those whose result depends on the shape of their operand alone, which is known.
pub(super) const OF_SHAPES: &[&str] = &["Shape", "Size"];

/// The operator's result if it is constant and this operator can be folded; otherwise `None`.
pub(super) fn fold(call: &mut Call<'_, '_>) -> OpResult<Option<Constant>> {
    match call.node.op_type.as_str() {
        "Constant" => return constant_node(call).map(Some),
        "Shape" | "Size" => return shape(call).map(Some),
        _ => {}
    }
    let mut operands = Vec::new();
    for index in 0..call.node.input.len() {
        match call.optional(index)? {
            Some(Value::Constant(constant)) => operands.push(constant),
            Some(Value::View(_)) => return Ok(None),
            None => {}
        }
    }
    // Inputs come first, so an operator without operands is none of those below.
    let Some(first) = operands.first().cloned() else {
        return Ok(None);
    };
    Ok(Some(match call.node.op_type.as_str() {
        "Identity" => (*first).clone(),
        "Cast" => cast(call, &first)?,
        "Gather" => gather(call, &first)?,
        "Slice" => slice(call, &first)?,
        "Concat" => concat(call, &operands)?,
        "Squeeze" => squeeze(call, &first)?,
        "Unsqueeze" => unsqueeze(call, &first)?,
        "Reshape" => reshape(call, &first)?,
        "Transpose" => transpose(call, &first)?,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "Sum" | "Mod" | "Equal"
        | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" => {
            arithmetic(call, &operands)?
        }
        "Where" => select_where(call, &operands)?,
        "Expand" => expand(call, &first)?,
        "Tile" => tile(call, &first)?,
        "DequantizeLinear" => dequantize(call, &first)?,
        "ReduceL1" | "ReduceL2" | "ReduceMax" | "ReduceMean" | "ReduceMin" | "ReduceProd"
        | "ReduceSum" | "ReduceSumSquare" => reduce(call, &first)?,
        op if function(op).is_some() => unary(call, &first)?,
        "ConstantOfShape" => constant_of_shape(call, &first)?,
        "Range" => range(call, &operands)?,
        _ => return Ok(None),
    }))
}

fn constant_node(call: &mut Call<'_, '_>) -> OpResult<Constant> {
    let attributes = &call.attributes;
    if let Some(tensor) = attributes.tensor("value")? {
        return call.read_tensor(tensor);
    }
    if let Some(value) = attributes.float("value_float")? {
        return Ok(Constant::floats(vec![], vec![value]));
    }
    if let Some(values) = attributes.floats("value_floats")? {
        return Ok(Constant::floats(vec![values.len()], values.to_vec()));
    }
    if let Some(value) = attributes.int("value_int")? {
        return Ok(Constant::ints(vec![], vec![value]));
    }
    if let Some(values) = attributes.ints("value_ints")? {
        return Ok(Constant::ints(vec![values.len()], values.to_vec()));
    }
    Err(invalid("it has no value"))
}

fn shape(call: &mut Call<'_, '_>) -> OpResult<Constant> {
    let shape = match call.operand(0)? {
        Value::View(view) => call.builder().file_shape(&view),
        Value::Constant(constant) => constant.shape.clone(),
    };
    if call.node.op_type == "Size" {
        let elements = element_count(&shape).unwrap_or(usize::MAX);
        return Ok(Constant::ints(vec![], vec![elements as i64]));
    }
    let rank = shape.len() as i64;
    let bound = |value: i64| {
        let from_front = if value < 0 {
            value.saturating_add(rank)
        } else {
            value
        };
        from_front.clamp(0, rank) as usize
    };
    let start = bound(call.attributes.int_or("start", 0)?);
    let end = bound(call.attributes.int_or("end", rank)?);
    let dims: Vec<i64> = shape[start..end.max(start)]
        .iter()
        .map(|&dim| dim as i64)
        .collect();
    Ok(Constant::ints(vec![dims.len()], dims))
}

fn reshaped(call: &mut Call<'_, '_>, operand: &Constant, shape: Vec<usize>) -> OpResult<Constant> {
    call.builder().spend(operand.len())?;
    if element_count(&shape) != Some(operand.len()) {
        return Err(invalid(format!(
            "cannot turn {:?} into {shape:?}",
            operand.shape
        )));
    }
    Ok(Constant {
        shape,
        data: operand.data.clone(),
    })
}

fn squeeze(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let rank = operand.shape.len();
    let axes = call.axes("axes", 1, rank)?;
    let shape = (0..rank)
        .filter(|axis| match &axes {
            Some(axes) => !axes.contains(axis),
            None => operand.shape[*axis] != 1,
        })
        .map(|axis| operand.shape[axis])
        .collect();
    reshaped(call, operand, shape)
}

fn unsqueeze(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let new = call.ints("axes", 1)?.map_or(0, |axes| axes.len());
    let axes = call.axes("axes", 1, operand.shape.len() + new)?;
    let mut shape = operand.shape.clone();
    for axis in axes.unwrap_or_default() {
        shape.insert(axis, 1);
    }
    reshaped(call, operand, shape)
}

fn reshape(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let target = call.required_constant(1)?;
    let allow_zero = call.attributes.flag("allowzero", false)?;
    let shape = resolve_reshape(&operand.shape, target.as_ints()?, allow_zero)?;
    reshaped(call, operand, shape)
}
