//! Arithmetic on constants: what exporters leave behind of shape computations and of transposed weights.
//!
//! The batch counts as 1 here, as everywhere.

use std::rc::Rc;

use super::Value;
use super::call::{Call, axis};
use super::constant::{Constant, Data, data_type, element_count};
use super::layout::{strides, walk};
use crate::import::error::{OpResult, invalid, unsupported};

/// The operator's result if it is constant and this operator can be folded; otherwise `None`.
pub(super) fn fold(call: &mut Call<'_, '_>) -> OpResult<Option<Constant>> {
    match call.node.op_type.as_str() {
        "Constant" => return constant_node(call).map(Some),
        "Shape" => return shape(call).map(Some),
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
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(call, &operands)?,
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
    Err(unsupported(
        "the constant is neither a tensor nor numbers",
        "sparse tensors and strings are not supported; store it as a dense tensor",
    ))
}

fn shape(call: &mut Call<'_, '_>) -> OpResult<Constant> {
    let shape = match call.operand(0)? {
        Value::View(view) => call.builder().shape(&view),
        Value::Constant(constant) => constant.shape.clone(),
    };
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

fn cast(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    use data_type::*;
    call.attributes.ignore("saturate");
    let to = call.attributes.int_or("to", 0)?;
    let to = i32::try_from(to).unwrap_or(0);
    call.builder().spend(operand.len())?;
    let data = match (&operand.data, to) {
        (Data::Float(values), FLOAT | DOUBLE | FLOAT16 | BFLOAT16) => Data::Float(values.clone()),
        (Data::Int(values), FLOAT | DOUBLE | FLOAT16 | BFLOAT16) => {
            Data::Float(values.iter().map(|&value| value as f32).collect())
        }
        (Data::Int(values), BOOL) => {
            Data::Int(values.iter().map(|&value| i64::from(value != 0)).collect())
        }
        (Data::Float(values), BOOL) => Data::Int(
            values
                .iter()
                .map(|&value| i64::from(value != 0.0))
                .collect(),
        ),
        (Data::Int(values), INT64 | INT32) => Data::Int(values.clone()),
        (Data::Float(values), INT64 | INT32) => {
            Data::Int(values.iter().map(|&value| value as i64).collect())
        }
        _ => {
            return Err(unsupported(
                format!("a cast of a constant to the element type {to}"),
                "fold constants first, for instance with onnxsim",
            ));
        }
    };
    Ok(Constant {
        shape: operand.shape.clone(),
        data,
    })
}

/// The elements at `positions`, in a new shape.
fn take(
    call: &mut Call<'_, '_>,
    operand: &Constant,
    shape: Vec<usize>,
    positions: &[usize],
) -> OpResult<Constant> {
    call.builder().spend(positions.len())?;
    let data = match &operand.data {
        Data::Float(values) => Data::Float(positions.iter().map(|&i| values[i]).collect()),
        Data::Int(values) => Data::Int(positions.iter().map(|&i| values[i]).collect()),
    };
    Ok(Constant { shape, data })
}

/// The elements at the cartesian product of `indices`, one list of indices an axis.
fn select(
    call: &mut Call<'_, '_>,
    operand: &Constant,
    shape: Vec<usize>,
    indices: &[Vec<usize>],
) -> OpResult<Constant> {
    let elements = element_count(&shape).unwrap_or(usize::MAX);
    call.builder().spend(elements)?;
    let mut positions = vec![0];
    for (indices, step) in indices.iter().zip(strides(&operand.shape)) {
        positions = positions
            .iter()
            .flat_map(|&position| indices.iter().map(move |&index| position + index * step))
            .collect();
    }
    take(call, operand, shape, &positions)
}

fn gather(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let rank = operand.shape.len();
    let axis = axis(call.attributes.int_or("axis", 0)?, rank)?;
    let indices = call.required_constant(1)?;
    let Data::Int(values) = &indices.data else {
        return Err(invalid("the indices are no integers"));
    };
    let chosen = values
        .iter()
        .map(|&value| self::axis(value, operand.shape[axis]))
        .collect::<OpResult<Vec<_>>>()
        .map_err(|_| {
            invalid(format!(
                "an index lies outside the axis of size {}",
                operand.shape[axis]
            ))
        })?;
    let mut lists: Vec<Vec<usize>> = operand.shape.iter().map(|&n| (0..n).collect()).collect();
    lists[axis] = chosen;
    let mut shape = operand.shape.clone();
    shape.splice(axis..=axis, indices.shape.iter().copied());
    select(call, operand, shape, &lists)
}

fn slice(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let rank = operand.shape.len();
    let starts = call.required_constant(1)?;
    let ends = call.required_constant(2)?;
    let (starts, ends) = (starts.as_ints()?, ends.as_ints()?);
    let axes = match call.constant(3)? {
        Some(axes) => axes.as_ints()?.to_vec(),
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match call.constant(4)? {
        Some(steps) => steps.as_ints()?.to_vec(),
        None => vec![1; starts.len()],
    };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(invalid("starts, ends, axes and steps differ in length"));
    }
    let mut lists: Vec<Vec<usize>> = operand.shape.iter().map(|&n| (0..n).collect()).collect();
    for index in 0..starts.len() {
        let axis = axis(axes[index], rank)?;
        let size = operand.shape[axis] as i64;
        let step = steps[index];
        let clamp = |value: i64| {
            let value = if value < 0 {
                value.saturating_add(size)
            } else {
                value
            };
            if step < 0 {
                value.clamp(-1, size - 1)
            } else {
                value.clamp(0, size)
            }
        };
        let (mut position, end) = (clamp(starts[index]), clamp(ends[index]));
        let mut chosen = Vec::new();
        if step == 0 {
            return Err(invalid("a step is 0"));
        }
        while (step > 0 && position < end) || (step < 0 && position > end) {
            chosen.push(position as usize);
            position = position.saturating_add(step);
        }
        lists[axis] = chosen;
    }
    let shape = lists.iter().map(Vec::len).collect();
    select(call, operand, shape, &lists)
}

fn concat(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
    let first = &operands[0];
    let axis = axis(call.attributes.int_or("axis", 0)?, first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for operand in operands {
        let same_elsewhere = operand.shape.len() == shape.len()
            && (0..shape.len()).all(|i| i == axis || operand.shape[i] == shape[i]);
        if !same_elsewhere {
            return Err(invalid(format!(
                "cannot join {:?} to {:?} along axis {axis}",
                operand.shape, first.shape
            )));
        }
        shape[axis] += operand.shape[axis];
    }
    call.builder()
        .spend(operands.iter().map(|operand| operand.len()).sum())?;
    let outer: usize = shape[..axis].iter().product();
    fn join<T: Copy>(parts: &[&[T]], outer: usize) -> Vec<T> {
        (0..outer)
            .flat_map(|row| {
                parts.iter().flat_map(move |part| {
                    let length = part.len() / outer;
                    &part[row * length..][..length]
                })
            })
            .copied()
            .collect()
    }
    let data = match &first.data {
        Data::Int(_) => {
            let parts = operands
                .iter()
                .map(|operand| match &operand.data {
                    Data::Int(values) => Ok(values.as_slice()),
                    Data::Float(_) => Err(invalid("joins integers and floats")),
                })
                .collect::<OpResult<Vec<_>>>()?;
            Data::Int(join(&parts, outer))
        }
        Data::Float(_) => {
            let parts = operands
                .iter()
                .map(|operand| operand.as_floats())
                .collect::<OpResult<Vec<_>>>()?;
            Data::Float(join(&parts, outer))
        }
    };
    Ok(Constant { shape, data })
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
    let shape = super::ops::resolve_reshape(&operand.shape, target.as_ints()?, allow_zero)?;
    reshaped(call, operand, shape)
}

fn transpose(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let perm = super::ops::read_permutation(call, operand.shape.len())?;
    let steps = strides(&operand.shape);
    let shape: Vec<usize> = perm.iter().map(|&axis| operand.shape[axis]).collect();
    let steps: Vec<usize> = perm.iter().map(|&axis| steps[axis]).collect();
    let positions = walk(&shape, &steps);
    take(call, operand, shape, &positions)
}

fn arithmetic(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
    let [a, b] = operands else {
        return Err(invalid(format!(
            "has {} operands, expected 2",
            operands.len()
        )));
    };
    let rank = a.shape.len().max(b.shape.len());
    let padded = |shape: &[usize]| {
        let mut result = vec![1; rank - shape.len()];
        result.extend(shape);
        result
    };
    let (a_shape, b_shape) = (padded(&a.shape), padded(&b.shape));
    let mut shape = Vec::new();
    for (&x, &y) in a_shape.iter().zip(&b_shape) {
        match (x, y) {
            (1, size) | (size, 1) => shape.push(size),
            _ if x == y => shape.push(x),
            _ => {
                return Err(invalid(format!(
                    "cannot combine {:?} with {:?}",
                    a.shape, b.shape
                )));
            }
        }
    }
    let elements = element_count(&shape).unwrap_or(usize::MAX);
    call.builder().spend(elements)?;
    let positions = |own: &[usize]| {
        let steps: Vec<usize> = strides(own)
            .iter()
            .zip(own)
            .map(|(&step, &size)| if size == 1 { 0 } else { step })
            .collect();
        walk(&shape, &steps)
    };
    let pairs = positions(&a_shape).into_iter().zip(positions(&b_shape));
    let op = call.node.op_type.as_str();
    let data = match (&a.data, &b.data) {
        (Data::Int(a), Data::Int(b)) => Data::Int(
            pairs
                .map(|(i, j)| int_result(op, a[i], b[j]))
                .collect::<Option<_>>()
                .ok_or_else(|| invalid("integer overflow or division by zero"))?,
        ),
        (Data::Float(a), Data::Float(b)) => {
            Data::Float(pairs.map(|(i, j)| float_result(op, a[i], b[j])).collect())
        }
        _ => return Err(invalid("combines integers with floats")),
    };
    Ok(Constant { shape, data })
}

fn int_result(op: &str, a: i64, b: i64) -> Option<i64> {
    match op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        _ => a.checked_div(b),
    }
}

fn float_result(op: &str, a: f32, b: f32) -> f32 {
    match op {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        _ => a / b,
    }
}

fn constant_of_shape(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let value = match call.attributes.tensor("value")? {
        Some(tensor) => call.read_tensor(tensor)?,
        None => Constant::floats(vec![1], vec![0.0]),
    };
    let shape = operand
        .as_ints()?
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| invalid("a dimension is negative")))
        .collect::<OpResult<Vec<_>>>()?;
    let elements = element_count(&shape).unwrap_or(usize::MAX);
    call.builder().spend(elements)?;
    let data = match value.data {
        Data::Float(values) if values.len() == 1 => Data::Float(vec![values[0]; elements]),
        Data::Int(values) if values.len() == 1 => Data::Int(vec![values[0]; elements]),
        _ => return Err(invalid("attribute `value` is not one number")),
    };
    Ok(Constant { shape, data })
}

fn range(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
    let values = operands
        .iter()
        .map(|operand| match operand.as_ints()? {
            [value] => Ok(*value),
            _ => Err(invalid("start, limit and delta are no single integers")),
        })
        .collect::<OpResult<Vec<_>>>()?;
    let &[start, limit, delta] = &values[..] else {
        return Err(invalid("start, limit and delta are expected"));
    };
    if delta == 0 {
        return Err(invalid("delta is 0"));
    }
    // In i128 nothing overflows.
    let span = i128::from(limit) - i128::from(start);
    let steps = (span + i128::from(delta) - i128::from(delta.signum())) / i128::from(delta);
    let steps = usize::try_from(steps.max(0)).unwrap_or(usize::MAX);
    call.builder().spend(steps)?;
    let numbers = (0..steps as i64).map(|step| start + step * delta).collect();
    Ok(Constant::ints(vec![steps], numbers))
}
