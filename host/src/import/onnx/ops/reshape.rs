//! Operators that change axes and leave the elements alone.

use super::super::builder::MAX_RANK;
use super::super::call::{Call, axis};
use super::super::constant::data_type::{BFLOAT16, DOUBLE, FLOAT, FLOAT16};
use super::super::layout::View;
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

pub(super) fn identity(call: &mut Call<'_, '_>) -> OpResult<View> {
    call.view(0)
}

/// Dropout does nothing at inference.
pub(super) fn dropout(call: &mut Call<'_, '_>) -> OpResult<View> {
    if let Some(training) = call.constant(2)?
        && training.as_ints()? != [0]
        && drops(call)?
    {
        return Err(unsupported(
            "training_mode is on",
            "export the model in inference mode (`model.eval()`)",
        ));
    }
    call.view(0)
}

/// Whether a Dropout in training drops anything: the ratio, half by default, is an operand.
fn drops(call: &mut Call<'_, '_>) -> OpResult<bool> {
    Ok(match call.constant(1)? {
        None => true,
        Some(ratio) => ratio.scalar()? != 0.0,
    })
}

/// A cast between floating-point types.
pub(super) fn cast(call: &mut Call<'_, '_>) -> OpResult<View> {
    let to = call.attributes.int_or("to", 0)?;
    if [FLOAT, DOUBLE, FLOAT16, BFLOAT16]
        .iter()
        .any(|&kind| i64::from(kind) == to)
    {
        return call.view(0);
    }
    Err(unsupported(
        format!("casts a value of the network to the element type {to}"),
        "supported are floating-point values only; choose an output before it",
    ))
}

pub(super) fn transpose(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let perm = read_permutation(call, view.rank())?;
    let batch = perm.iter().position(|&axis| axis == view.batch);
    Ok(View {
        tensor: view.tensor,
        axes: perm.iter().map(|&axis| view.axes[axis].clone()).collect(),
        batch: batch.unwrap_or(0),
    })
}

/// The attribute `perm`, by default the reversal.
pub(in super::super) fn read_permutation(call: &Call<'_, '_>, rank: usize) -> OpResult<Vec<usize>> {
    let Some(values) = call.attributes.ints("perm")? else {
        return Ok((0..rank).rev().collect());
    };
    let perm: Vec<usize> = values
        .iter()
        .map(|&value| usize::try_from(value).unwrap_or(usize::MAX))
        .collect();
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(invalid(format!(
            "perm is {values:?}, no permutation of {rank} axes"
        )));
    }
    Ok(perm)
}

/// Flatten at axis 1: the batch stays, everything else becomes one axis.
pub(super) fn flatten(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let rank = view.rank();
    let given = call.attributes.int_or("axis", 1)?;
    let axis = if given == rank as i64 {
        rank
    } else {
        axis(given, rank)?
    };
    let shape = call.builder().shape(&view);
    let before: usize = shape[..axis].iter().product();
    if before != 1 || axis <= view.batch {
        return Err(ImportErrorKind::MixesBatch(format!(
            "flattens the shape {shape:?} at axis {axis}"
        )));
    }
    let elements = shape.iter().product();
    let (name, output) = (call.name, call.output);
    require_sample_order(&view, &shape)?;
    call.builder()
        .reshape_view(&view, &[1, elements], name, output)
}

pub(super) fn reshape(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let target = call.required_constant(1)?;
    let allow_zero = call.attributes.flag("allowzero", false)?;
    let mut target = target.as_ints()?.to_vec();
    let shape = call.builder().shape(&view);
    // One sample is looked at, so a batch that the file fixes is 1.
    let fixed = call.builder().fixed_batch;
    if let Some(first) = target.first_mut()
        && *first == fixed as i64
    {
        *first = 1;
    }
    let new = resolve_reshape(&shape, &target, allow_zero)?;
    if new.first() != Some(&1) {
        return Err(ImportErrorKind::MixesBatch(format!(
            "turns the shape {shape:?} of one sample into {new:?}"
        )));
    }
    require_sample_order(&view, &shape)?;
    require_rank(new.len())?;
    let (name, output) = (call.name, call.output);
    call.builder().reshape_view(&view, &new, name, output)
}

fn require_rank(rank: usize) -> OpResult<()> {
    if rank <= MAX_RANK {
        Ok(())
    } else {
        Err(unsupported(
            format!("the result has {rank} axes"),
            "supported are at most 8",
        ))
    }
}

/// Refuses a batch axis behind axes that it would be mixed with.
fn require_sample_order(view: &View, shape: &[usize]) -> OpResult<()> {
    if shape[..view.batch].iter().all(|&dim| dim == 1) {
        Ok(())
    } else {
        Err(ImportErrorKind::MixesBatch(format!(
            "reshapes a value whose batch is axis {}",
            view.batch
        )))
    }
}

/// The shape that a Reshape of `shape` to `target` gives: 0 copies (unless `allow_zero`), -1 takes what is left.
pub(in super::super) fn resolve_reshape(
    shape: &[usize],
    target: &[i64],
    allow_zero: bool,
) -> OpResult<Vec<usize>> {
    let misfit = || invalid(format!("cannot turn the shape {shape:?} into {target:?}"));
    let elements: usize = shape.iter().product();
    let mut known = 1usize;
    let mut open = None;
    let mut result = Vec::new();
    for (axis, &dim) in target.iter().enumerate() {
        let size = match dim {
            -1 if open.is_some() => return Err(misfit()),
            -1 => {
                open = Some(axis);
                1
            }
            0 if !allow_zero => *shape.get(axis).ok_or_else(misfit)?,
            _ => usize::try_from(dim).map_err(|_| misfit())?,
        };
        known = known.checked_mul(size).ok_or_else(misfit)?;
        result.push(size);
    }
    if let Some(axis) = open {
        if known == 0 || !elements.is_multiple_of(known) {
            return Err(misfit());
        }
        result[axis] = elements / known;
        known *= result[axis];
    }
    if known == elements {
        Ok(result)
    } else {
        Err(misfit())
    }
}

/// Squeeze; without axes all axes of size 1 but the batch.
pub(super) fn squeeze(call: &mut Call<'_, '_>) -> OpResult<View> {
    let mut view = call.view(0)?;
    let rank = view.rank();
    let shape = call.builder().shape(&view);
    let axes = match call.axes("axes", 1, rank)? {
        Some(axes) => axes,
        None => (0..rank)
            .filter(|&axis| axis != view.batch && shape[axis] == 1)
            .collect(),
    };
    for &axis in axes.iter().rev() {
        if axis == view.batch {
            return Err(ImportErrorKind::MixesBatch(
                "removes the batch axis".to_owned(),
            ));
        }
        if shape[axis] != 1 {
            return Err(invalid(format!(
                "axis {axis} of the shape {shape:?} is not 1"
            )));
        }
        view.axes.remove(axis);
        view.batch -= usize::from(axis < view.batch);
    }
    let (name, output) = (call.name, call.output);
    call.builder().renamed_axes(view, name, output)
}

pub(super) fn unsqueeze(call: &mut Call<'_, '_>) -> OpResult<View> {
    let mut view = call.view(0)?;
    let new = call.ints("axes", 1)?.map_or(0, |axes| axes.len());
    require_rank(view.rank() + new)?;
    let axes = call.axes("axes", 1, view.rank() + new)?;
    for axis in axes.unwrap_or_default() {
        view.axes.insert(axis, Vec::new());
        view.batch += usize::from(axis <= view.batch);
    }
    let (name, output) = (call.name, call.output);
    call.builder().renamed_axes(view, name, output)
}
