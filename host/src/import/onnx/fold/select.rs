//! Folding of operators that pick, join and reorder elements.

use std::rc::Rc;

use super::super::call::{Call, axis as index_of, read_permutation};
use super::super::constant::{Constant, Data};
use super::super::layout::{strides, walk};
use crate::import::builder::element_count;
use crate::import::error::{OpResult, invalid};

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

pub(super) fn gather(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let rank = operand.shape.len();
    let axis = index_of(call.attributes.int_or("axis", 0)?, rank)?;
    let indices = call.required_constant(1)?;
    let Data::Int(values) = &indices.data else {
        return Err(invalid("the indices are not integers"));
    };
    let chosen = values
        .iter()
        .map(|&value| index_of(value, operand.shape[axis]))
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

pub(super) fn slice(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let rank = operand.shape.len();
    let missing = || invalid("its starts or ends are missing");
    let starts = call.ints("starts", 1)?.ok_or_else(missing)?;
    let ends = call.ints("ends", 2)?.ok_or_else(missing)?;
    let axes = call.ints("axes", 3)?;
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = match call.constant(4)? {
        Some(steps) => steps.as_ints()?.to_vec(),
        None => vec![1; starts.len()],
    };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(invalid("starts, ends, axes and steps differ in length"));
    }
    let mut lists: Vec<Vec<usize>> = operand.shape.iter().map(|&n| (0..n).collect()).collect();
    for index in 0..starts.len() {
        let axis = index_of(axes[index], rank)?;
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

/// Repeats axes of size 1 until the operand has the shape that operand 1 broadcasts it to.
pub(super) fn expand(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let target = call.required_constant(1)?;
    let wanted = target
        .as_ints()?
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| invalid("a dimension is negative")))
        .collect::<OpResult<Vec<_>>>()?;
    let rank = wanted.len().max(operand.shape.len());
    let padded = |shape: &[usize]| -> Vec<usize> {
        std::iter::repeat_n(1, rank - shape.len())
            .chain(shape.iter().copied())
            .collect()
    };
    let (own, wanted) = (padded(&operand.shape), padded(&wanted));
    let mut lists = Vec::with_capacity(rank);
    for (&own, &wanted) in own.iter().zip(&wanted) {
        lists.push(match (own, wanted) {
            (own, wanted) if own == wanted || wanted == 1 => (0..own).collect(),
            (1, wanted) => {
                call.builder().spend(wanted)?;
                vec![0; wanted]
            }
            _ => {
                return Err(invalid(format!(
                    "cannot expand {:?} to {:?}",
                    operand.shape,
                    target.as_ints()?
                )));
            }
        });
    }
    let whole = Constant {
        shape: own,
        data: operand.data.clone(),
    };
    let shape = lists.iter().map(Vec::len).collect();
    select(call, &whole, shape, &lists)
}

/// Repeats the operand along each axis by the count in operand 1.
pub(super) fn tile(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let repeats = call.required_constant(1)?;
    let repeats = repeats.as_ints()?;
    if repeats.len() != operand.shape.len() {
        return Err(invalid(format!(
            "has {} repeats for {} axes",
            repeats.len(),
            operand.shape.len()
        )));
    }
    let mut lists = Vec::with_capacity(repeats.len());
    for (&size, &repeats) in operand.shape.iter().zip(repeats) {
        let repeats = usize::try_from(repeats).map_err(|_| invalid("a repeat is negative"))?;
        call.builder().spend(repeats.saturating_mul(size))?;
        lists.push((0..repeats).flat_map(|_| 0..size).collect::<Vec<_>>());
    }
    let shape = lists.iter().map(Vec::len).collect();
    select(call, operand, shape, &lists)
}

pub(super) fn concat(call: &mut Call<'_, '_>, operands: &[Rc<Constant>]) -> OpResult<Constant> {
    let first = &operands[0];
    let axis = index_of(call.attributes.int_or("axis", 0)?, first.shape.len())?;
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

pub(super) fn transpose(call: &mut Call<'_, '_>, operand: &Constant) -> OpResult<Constant> {
    let perm = read_permutation(call, operand.shape.len())?;
    let steps = strides(&operand.shape);
    let shape: Vec<usize> = perm.iter().map(|&axis| operand.shape[axis]).collect();
    let steps: Vec<usize> = perm.iter().map(|&axis| steps[axis]).collect();
    let positions = walk(&shape, &steps);
    take(call, operand, shape, &positions)
}
