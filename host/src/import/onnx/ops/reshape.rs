//! Operators that change axes and leave the elements alone.

use super::super::call::{Call, axis, read_permutation, resolve_reshape};
use super::super::constant::data_type::{BFLOAT16, DOUBLE, FLOAT, FLOAT16};
use super::super::layout::View;
use crate::import::builder::MAX_RANK;
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
    Ok(View {
        tensor: view.tensor,
        axes: perm.iter().map(|&axis| view.axes[axis].clone()).collect(),
        batch: perm.iter().position(|&axis| Some(axis) == view.batch),
    })
}

/// Flatten: the batch stays, everything else becomes one axis; at any axis where the file fixes the batch to 1.
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
    let after: usize = shape[axis..].iter().product();
    let keeps_batch = before == 1 && view.batch.is_some_and(|batch| batch < axis);
    if !keeps_batch && !call.builder().is_single() {
        return Err(ImportErrorKind::MixesBatch(format!(
            "flattens the shape {shape:?} at axis {axis}"
        )));
    }
    let (name, output) = (call.name, call.output);
    let batch = (before == 1).then_some(0);
    call.builder()
        .reshape_view(&view, &[before, after], batch, name, output)
}

pub(super) fn reshape(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let target = call.required_constant(1)?;
    let allow_zero = call.attributes.flag("allowzero", false)?;
    let shape = call.builder().file_shape(&view);
    let mut new = resolve_reshape(&shape, target.as_ints()?, allow_zero)?;
    require_rank(new.len())?;
    let batch = if call.builder().is_single() {
        (new.first() == Some(&1)).then_some(0)
    } else {
        require_sample_order(&view, &shape)?;
        let batch = batch_of_reshape(&shape, view.batch, &new)?;
        new[batch] = 1;
        Some(batch)
    };
    let (name, output) = (call.name, call.output);
    call.builder()
        .reshape_view(&view, &new, batch, name, output)
}

/// The axis of the shape `new` that is the batch of `shape` as a whole: the first one but for axes of size 1 in front of it.
fn batch_of_reshape(shape: &[usize], batch: Option<usize>, new: &[usize]) -> OpResult<usize> {
    let size = batch.map_or(1, |batch| shape[batch]);
    let first = new.iter().position(|&dim| dim != 1 || size == 1);
    match first.filter(|&first| new[first] == size) {
        Some(first) => Ok(first),
        None if size == 1 => Err(ImportErrorKind::MixesBatch(format!(
            "turns the shape {shape:?} of one sample into {new:?}"
        ))),
        None => Err(ImportErrorKind::MixesBatch(format!(
            "turns the shape {shape:?} of {size} samples into {new:?}"
        ))),
    }
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
    match view.batch {
        Some(batch) if shape[..batch].iter().any(|&dim| dim != 1) => Err(
            ImportErrorKind::MixesBatch(format!("reshapes a value whose batch is axis {batch}")),
        ),
        _ => Ok(()),
    }
}

/// Squeeze; without axes all axes of size 1, the batch among them where the file fixes it to 1.
pub(super) fn squeeze(call: &mut Call<'_, '_>) -> OpResult<View> {
    let mut view = call.view(0)?;
    let rank = view.rank();
    let shape = call.builder().shape(&view);
    let is_single = call.builder().is_single();
    let axes = match call.axes("axes", 1, rank)? {
        Some(axes) => axes,
        None => (0..rank)
            .filter(|&axis| shape[axis] == 1 && (is_single || Some(axis) != view.batch))
            .collect(),
    };
    for &axis in axes.iter().rev() {
        if Some(axis) == view.batch && !is_single {
            return Err(ImportErrorKind::MixesBatch(
                "removes the batch axis".to_owned(),
            ));
        }
        if shape[axis] != 1 {
            return Err(invalid(format!(
                "axis {axis} of the shape {shape:?} is not 1"
            )));
        }
        view.remove_axis(axis);
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
        view.insert_axis(axis);
    }
    let (name, output) = (call.name, call.output);
    call.builder().renamed_axes(view, name, output)
}
