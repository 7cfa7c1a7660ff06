//! Folding of operators that compute new numbers.

use std::rc::Rc;

use super::super::call::Call;
use super::super::constant::{Constant, Data, data_type};
use super::super::layout::{strides, walk};
use crate::import::builder::element_count;
use crate::import::error::{OpResult, invalid, unsupported};

pub(super) fn cast(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    use data_type::*;
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

/// The shape that operands broadcast to, and for each operand the element that stands at each place of it.
fn broadcast(
    call: &mut Call<'_, '_>,
    operands: &[&Constant],
) -> OpResult<(Vec<usize>, Vec<Vec<usize>>)> {
    let rank = operands.iter().map(|operand| operand.shape.len()).max();
    let rank = rank.unwrap_or(0);
    let padded = |shape: &[usize]| {
        let mut result = vec![1; rank - shape.len()];
        result.extend(shape);
        result
    };
    let mut shape = vec![1; rank];
    for operand in operands {
        for (size, found) in shape.iter_mut().zip(padded(&operand.shape)) {
            match (*size, found) {
                (_, 1) => {}
                (1, found) => *size = found,
                _ if *size == found => {}
                _ => {
                    let shapes: Vec<_> = operands.iter().map(|operand| &operand.shape).collect();
                    return Err(invalid(format!("cannot combine the shapes {shapes:?}")));
                }
            }
        }
    }
    let elements = element_count(&shape).unwrap_or(usize::MAX);
    call.builder().spend(elements)?;
    let positions = |own: Vec<usize>| {
        let steps: Vec<usize> = strides(&own)
            .iter()
            .zip(&own)
            .map(|(&step, &size)| if size == 1 { 0 } else { step })
            .collect();
        walk(&shape, &steps)
    };
    let positions = operands.iter().map(|one| positions(padded(&one.shape)));
    let positions = positions.collect();
    Ok((shape, positions))
}

/// Operators of two operands, some of any number; comparisons give 0 and 1.
pub(super) fn arithmetic(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
    let op = call.node.op_type.as_str();
    let any_number = matches!(op, "Max" | "Min" | "Sum");
    if !any_number && operands.len() != 2 {
        return Err(invalid(format!(
            "has {} operands, expected 2",
            operands.len()
        )));
    }
    // The rest with the sign of the dividend instead of the divisor's.
    let op = if op == "Mod" && call.attributes.flag("fmod", false)? {
        "fmod"
    } else {
        op
    };
    let mut total = (*operands[0]).clone();
    for operand in &operands[1..] {
        let (shape, positions) = broadcast(call, &[&total, operand])?;
        let pairs = positions[0].iter().zip(&positions[1]);
        let data = match (&total.data, &operand.data) {
            (Data::Int(a), Data::Int(b)) => Data::Int(
                pairs
                    .map(|(&i, &j)| int_result(op, a[i], b[j]))
                    .collect::<Option<_>>()
                    .ok_or_else(|| invalid("integer overflow or division by zero"))?,
            ),
            (Data::Float(a), Data::Float(b)) if is_comparison(op) => Data::Int(
                pairs
                    .map(|(&i, &j)| i64::from(compare(op, &a[i], &b[j])))
                    .collect(),
            ),
            (Data::Float(a), Data::Float(b)) => {
                Data::Float(pairs.map(|(&i, &j)| float_result(op, a[i], b[j])).collect())
            }
            (Data::Float(a), Data::Int(b)) if op == "Pow" => Data::Float(
                pairs
                    .map(|(&i, &j)| float_result(op, a[i], b[j] as f32))
                    .collect(),
            ),
            (Data::Int(a), Data::Float(b)) if op == "Pow" => Data::Int(
                pairs
                    .map(|(&i, &j)| libm::pow(a[i] as f64, b[j] as f64) as i64)
                    .collect(),
            ),
            _ => return Err(invalid("combines integers with floats")),
        };
        total = Constant { shape, data };
    }
    Ok(total)
}

fn is_comparison(op: &str) -> bool {
    matches!(
        op,
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual"
    )
}

fn compare<T: PartialOrd>(op: &str, a: &T, b: &T) -> bool {
    match op {
        "Equal" => a == b,
        "Greater" => a > b,
        "GreaterOrEqual" => a >= b,
        "Less" => a < b,
        _ => a <= b,
    }
}

fn int_result(op: &str, a: i64, b: i64) -> Option<i64> {
    match op {
        "Add" | "Sum" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        "Max" => Some(a.max(b)),
        "Min" => Some(a.min(b)),
        "Pow" => a.checked_pow(u32::try_from(b).ok()?),
        // The result has the divisor's sign.
        "Mod" => {
            let rest = a.checked_rem(b)?;
            let other_side = rest != 0 && (rest < 0) != (b < 0);
            Some(if other_side { rest + b } else { rest })
        }
        "fmod" => a.checked_rem(b),
        "And" => Some(i64::from(a != 0 && b != 0)),
        "Or" => Some(i64::from(a != 0 || b != 0)),
        _ => Some(i64::from(compare(op, &a, &b))),
    }
}

fn float_result(op: &str, a: f32, b: f32) -> f32 {
    match op {
        "Add" | "Sum" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Max" => a.max(b),
        "Min" => a.min(b),
        "Pow" => libm::powf(a, b),
        "Mod" => {
            let rest = a % b;
            let other_side = rest != 0.0 && (rest < 0.0) != (b < 0.0);
            if other_side { rest + b } else { rest }
        }
        "fmod" => a % b,
        _ => f32::NAN,
    }
}

/// The second operand where the first one is not 0, and the third elsewhere.
pub(super) fn select_where(
    call: &mut Call<'_, '_>,
    operands: &[Rc<Constant>],
) -> OpResult<Constant> {
    let [condition, then, otherwise] = operands else {
        return Err(invalid("a condition and two values are expected"));
    };
    let (shape, positions) = broadcast(call, &[condition, then, otherwise])?;
    let Data::Int(condition) = &condition.data else {
        return Err(invalid("the condition is not boolean"));
    };
    fn pick<T: Copy>(positions: &[Vec<usize>], condition: &[i64], a: &[T], b: &[T]) -> Vec<T> {
        let places = positions[0].iter().zip(&positions[1]).zip(&positions[2]);
        places
            .map(|((&i, &j), &k)| if condition[i] != 0 { a[j] } else { b[k] })
            .collect()
    }
    let data = match (&then.data, &otherwise.data) {
        (Data::Int(a), Data::Int(b)) => Data::Int(pick(&positions, condition, a, b)),
        (Data::Float(a), Data::Float(b)) => Data::Float(pick(&positions, condition, a, b)),
        _ => return Err(invalid("combines integers with floats")),
    };
    Ok(Constant { shape, data })
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
            _ => Err(invalid("start, limit and delta are not single integers")),
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
