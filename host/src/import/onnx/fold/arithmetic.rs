//! Folding of operators that compute new numbers.

use std::rc::Rc;

use super::super::call::Call;
use super::super::constant::{Constant, Data, data_type, element_count};
use super::super::layout::{strides, walk};
use crate::import::error::{OpResult, invalid, unsupported};

pub(super) fn cast(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
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

pub(super) fn arithmetic(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
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

pub(super) fn constant_of_shape(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
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

pub(super) fn range(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
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
