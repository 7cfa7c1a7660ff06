//! Sums, means and extremes of a constant along axes.

use super::super::call::Call;
use super::super::constant::{Constant, Data};
use super::super::layout::{strides, walk};
use crate::import::error::{OpResult, invalid};

pub(super) fn reduce(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let rank = operand.shape.len();
    let keep = call.attributes.flag("keepdims", true)?;
    let nothing_if_empty = call.attributes.flag("noop_with_empty_axes", false)?;
    let reduced = match call.axes("axes", 1, rank)? {
        Some(axes) if !axes.is_empty() => axes,
        _ if nothing_if_empty => return Ok(operand.clone()),
        _ => (0..rank).collect(),
    };
    call.builder().spend(operand.len())?;
    let steps = strides(&operand.shape);
    let along = |inside: bool| {
        let axes: Vec<usize> = (0..rank)
            .filter(|axis| reduced.contains(axis) == inside)
            .collect();
        let sizes: Vec<usize> = axes.iter().map(|&axis| operand.shape[axis]).collect();
        let steps: Vec<usize> = axes.iter().map(|&axis| steps[axis]).collect();
        walk(&sizes, &steps)
    };
    let (outer, inner) = (along(false), along(true));
    if inner.is_empty() {
        return Err(invalid("reduces an axis of size 0"));
    }
    let op = call.node.op_type.as_str();
    let data = match &operand.data {
        Data::Float(values) => {
            let of = |&start: &usize| {
                let values = inner.iter().map(|&place| f64::from(values[start + place]));
                float(op, values, inner.len()) as f32
            };
            Data::Float(outer.iter().map(of).collect())
        }
        Data::Int(values) => {
            let of = |&start: &usize| integer(op, inner.iter().map(|&place| values[start + place]));
            let results = outer.iter().map(of).collect::<Option<_>>();
            Data::Int(
                results.ok_or_else(|| {
                    invalid("its result is not an integer, or is too large for one")
                })?,
            )
        }
    };
    let shape = (0..rank).filter_map(|axis| match reduced.contains(&axis) {
        true => keep.then_some(1),
        false => Some(operand.shape[axis]),
    });
    Ok(Constant {
        shape: shape.collect(),
        data,
    })
}

fn float(op: &str, values: impl Iterator<Item = f64>, count: usize) -> f64 {
    match op {
        "ReduceL1" => values.map(f64::abs).sum(),
        "ReduceL2" => values.map(|value| value * value).sum::<f64>().sqrt(),
        "ReduceMax" => values.fold(f64::NEG_INFINITY, f64::max),
        "ReduceMean" => values.sum::<f64>() / count as f64,
        "ReduceMin" => values.fold(f64::INFINITY, f64::min),
        "ReduceProd" => values.product(),
        "ReduceSumSquare" => values.map(|value| value * value).sum(),
        _ => values.sum(),
    }
}

fn integer(op: &str, mut values: impl Iterator<Item = i64>) -> Option<i64> {
    match op {
        "ReduceL1" => values.try_fold(0_i64, |sum, value| sum.checked_add(value.checked_abs()?)),
        "ReduceMax" => values.max(),
        "ReduceMin" => values.min(),
        "ReduceProd" => values.try_fold(1_i64, i64::checked_mul),
        "ReduceSum" => values.try_fold(0_i64, i64::checked_add),
        "ReduceSumSquare" => values.try_fold(0_i64, |sum, value| {
            sum.checked_add(value.checked_mul(value)?)
        }),
        _ => None,
    }
}
