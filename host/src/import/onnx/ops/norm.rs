//! BatchNormalization and Softmax.

use super::super::call::{Call, axis};
use super::super::layout::View;
use crate::graph::{BatchNorm, Op};
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

/// BatchNormalization with its statistics.
pub(super) fn batch_normalization(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    if call.attributes.flag("training_mode", false)? {
        return Err(unsupported(
            "training_mode is 1",
            "export the model in inference mode (`model.eval()`)",
        ));
    }
    if call.node.output.iter().skip(1).any(|name| !name.is_empty()) {
        return Err(unsupported(
            "it also writes the statistics of the batch, as in training",
            "export the model in inference mode (`model.eval()`)",
        ));
    }
    if !call.attributes.flag("spatial", true)? {
        return Err(unsupported(
            "spatial is 0: every pixel has statistics of its own",
            "normalize by channels",
        ));
    }
    let epsilon = call.attributes.float_or("epsilon", 1e-5)?;
    if view.rank() < 2 {
        return Err(invalid("the operand has no channel axis"));
    }
    if view.batch == Some(1) && !call.builder().is_single() {
        return Err(ImportErrorKind::MixesBatch(
            "the operand has its batch at axis 1, the axis of the channels".to_owned(),
        ));
    }
    let channels = call.builder().dim(&view, 1);
    let norm = BatchNorm {
        gamma: call.vector(1, channels)?,
        beta: call.vector(2, channels)?,
        mean: call.vector(3, channels)?,
        variance: call.vector(4, channels)?,
        epsilon,
    };
    for channel in 0..channels {
        let (scale, shift) = norm.scale_and_shift(channel);
        if !scale.is_finite() || !shift.is_finite() {
            return Err(invalid(format!(
                "channel {channel} has the variance {} and epsilon {epsilon}, which give no finite scale and shift",
                norm.variance[channel]
            )));
        }
    }
    along_axis(call, &view, 1, norm)
}

/// Whether the axis is the last one of the storage.
fn is_stored_last(stored: &[usize], view: &View, axis: usize) -> bool {
    match view.axes[axis][..] {
        [] => stored.last() == Some(&1),
        [atom] => atom + 1 == stored.len(),
        _ => false,
    }
}

/// Whether [`along_axis`] can do without moving data.
pub(super) fn fits_storage(call: &mut Call<'_, '_>, view: &View, axis: usize) -> bool {
    let builder = call.builder();
    let stored = builder.stored(view.tensor);
    is_stored_last(stored, view, axis)
        || stored.iter().product::<usize>() == builder.dim(view, axis)
}

/// Adds a BatchNorm along an axis of the operand, one that is stored last if possible without moving data.
pub(super) fn along_axis(
    call: &mut Call<'_, '_>,
    view: &View,
    axis: usize,
    norm: BatchNorm,
) -> OpResult<View> {
    let builder = call.builder();
    let stored = builder.stored(view.tensor).to_vec();
    if is_stored_last(&stored, view, axis) {
        let tensor = call.emit(Op::BatchNorm(norm), &[view.tensor])?;
        return Ok(view.over(tensor));
    }
    let elements: usize = stored.iter().product();
    if elements == norm.channels() {
        // Nothing but this axis: parameters follow the storage instead of data the parameters.
        let vector = builder.reshape_stored(view.tensor, &[elements])?;
        let positions = builder.positions(view);
        let follow = |values: &[f32]| {
            let mut result = vec![0.0; elements];
            for (&position, &value) in positions.iter().zip(values) {
                result[position] = value;
            }
            result
        };
        let norm = BatchNorm {
            gamma: follow(&norm.gamma),
            beta: follow(&norm.beta),
            mean: follow(&norm.mean),
            variance: follow(&norm.variance),
            epsilon: norm.epsilon,
        };
        let tensor = call.emit(Op::BatchNorm(norm), &[vector])?;
        let tensor = call.builder().reshape_stored(tensor, &stored)?;
        return Ok(view.over(tensor));
    }
    let view = if axis == 1 && view.batch == Some(0) && (2..=4).contains(&view.rank()) {
        builder.channels_last(view)?
    } else {
        with_axis_last(call, view, axis)?
    };
    let tensor = call.emit(Op::BatchNorm(norm), &[view.tensor])?;
    Ok(view.over(tensor))
}

fn with_axis_last(call: &mut Call<'_, '_>, view: &View, axis: usize) -> OpResult<View> {
    let mut order = view.sample_axes();
    order.retain(|&other| other != axis);
    order.push(axis);
    let order: Vec<_> = order.into_iter().map(Some).collect();
    call.builder().arrange(view, &order)
}

/// Softmax; before opset 13 over all axes from `axis` on, since then over `axis` alone.
pub(super) fn softmax(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let rank = view.rank();
    let flattens = call.opset() < 13;
    let default = if flattens { 1 } else { -1 };
    let first = axis(call.attributes.int_or("axis", default)?, rank)?;
    let over: Vec<usize> = if flattens {
        (first..rank).collect()
    } else {
        vec![first]
    };
    if view.batch.is_some_and(|batch| over.contains(&batch)) && !call.builder().is_single() {
        return Err(ImportErrorKind::MixesBatch(
            "normalizes over the batch".to_owned(),
        ));
    }
    let stored = call.builder().stored(view.tensor).to_vec();
    let last = stored.len() - 1;
    let atoms: Vec<usize> = over
        .iter()
        .flat_map(|&axis| &view.axes[axis])
        .copied()
        .collect();
    if atoms == [last] || atoms.is_empty() && stored[last] == 1 {
        let tensor = call.emit(Op::Softmax, &[view.tensor])?;
        return Ok(view.over(tensor));
    }
    if let [axis] = over[..] {
        let view = with_axis_last(call, &view, axis)?;
        let tensor = call.emit(Op::Softmax, &[view.tensor])?;
        return Ok(view.over(tensor));
    }
    let ordered = call.builder().onnx_order(&view)?;
    let shape = call.builder().stored(ordered.tensor).to_vec();
    let sample_axes = view.sample_axes();
    let kept = sample_axes.iter().filter(|&&axis| axis < first).count();
    let mut merged = shape[..kept].to_vec();
    merged.push(shape[kept..].iter().product());
    let tensor = call.builder().reshape_stored(ordered.tensor, &merged)?;
    let tensor = call.emit(Op::Softmax, &[tensor])?;
    let tensor = call.builder().reshape_stored(tensor, &shape)?;
    Ok(ordered.over(tensor))
}
