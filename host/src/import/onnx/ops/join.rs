//! Concat and Pad, whose axes are those of the storage.

use super::super::call::{Call, axis};
use super::super::context::Value;
use super::super::layout::View;
use super::elementwise::store_constant;
use crate::graph::{Op, TensorId};
use crate::import::builder::Builder;
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

/// Concat along any axis but the batch; constant parts become constant nodes.
pub(super) fn concat(call: &mut Call<'_, '_>) -> OpResult<View> {
    let parts = (0..call.node.input.len())
        .map(|index| call.operand(index))
        .collect::<OpResult<Vec<_>>>()?;
    let Some(first) = parts.iter().find_map(|part| match part {
        Value::View(view) => Some(view.clone()),
        Value::Constant(_) => None,
    }) else {
        return Err(invalid(
            "has no operand that depends on the network's input",
        ));
    };
    let axis = axis(call.attributes.int("axis")?.unwrap_or(1), first.rank())?;
    let is_single = call.builder().is_single();
    if Some(axis) == first.batch && !is_single {
        return Err(ImportErrorKind::MixesBatch(
            "joins along the batch".to_owned(),
        ));
    }
    let views: Vec<&View> = (parts.iter())
        .filter_map(|part| match part {
            Value::View(view) => Some(view),
            Value::Constant(_) => None,
        })
        .collect();
    let Some(views) = call.builder().with_common_batch(&views, Some(axis)) else {
        return Err(invalid("joins values of different rank or batch axis"));
    };
    let first = views[0].clone();
    // As they are, if all are stored alike and the axis is one of the storage.
    let depth = |builder: &Builder, view: &View| builder.stored(view.tensor).len();
    let first_depth = depth(call.builder(), &first);
    let builder = call.builder();
    let alike =
        (views.iter()).all(|view| view.axes == first.axes && depth(builder, view) == first_depth);
    let stays = alike && views.len() == parts.len() && first.axes[axis].len() == 1;
    let mut tensors = Vec::new();
    let mut layout = first.clone();
    let mut views = views.into_iter();
    for part in &parts {
        let tensor = match part {
            Value::View(view) => {
                let view = views.next().unwrap_or_else(|| view.clone());
                if stays {
                    view.tensor
                } else {
                    layout = call.builder().usual_order(&view)?;
                    layout.tensor
                }
            }
            Value::Constant(constant) => {
                // Laid out like the other parts, whose size it shares but for the joined axis.
                let shape = call.builder().shape(&first);
                let fits = constant.shape.len() == shape.len()
                    && !constant.shape.contains(&0)
                    && (0..shape.len())
                        .all(|other| other == axis || constant.shape[other] == shape[other]);
                if !fits {
                    return Err(invalid(format!(
                        "cannot join a constant of the shape {:?} to {shape:?}",
                        constant.shape
                    )));
                }
                let model = constant_model(call, &constant.shape, first.batch)?;
                store_constant(call, &model, constant)?
            }
        };
        tensors.push(tensor);
    }
    let rank = first.rank();
    let order = storage_order(&layout, stays, rank);
    let stored_axis = order
        .iter()
        .position(|&stored| stored == Some(axis))
        .ok_or_else(|| invalid("the joined axis has no place in the storage"))?;
    let tensor = call.emit(Op::Concat { axis: stored_axis }, &tensors)?;
    if stays {
        return Ok(first.over(tensor));
    }
    Ok(View {
        batch: first.batch,
        ..call.builder().view(tensor, rank, &order)
    })
}

/// The ONNX axis of each stored axis, after [`Builder::usual_order`] or as a view has it.
fn storage_order(view: &View, as_stored: bool, rank: usize) -> Vec<Option<usize>> {
    if as_stored {
        let stored = view.axes.iter().flatten().max().map_or(0, |max| max + 1);
        let owner = |index| view.axes.iter().position(|atoms| atoms.contains(&index));
        return (0..stored).map(owner).collect();
    }
    match (view.batch, rank) {
        (Some(0), 3) => vec![None, Some(2), Some(1)],
        (Some(0), 4) => vec![Some(2), Some(3), Some(1)],
        _ => view.sample_axes().into_iter().map(Some).collect(),
    }
}

/// A view without data whose storage is the usual one for a constant of `shape`.
fn constant_model(
    call: &mut Call<'_, '_>,
    shape: &[usize],
    batch: Option<usize>,
) -> OpResult<View> {
    let rank = shape.len();
    let blank = View {
        tensor: TensorId::new(0),
        axes: vec![Vec::new(); rank],
        batch,
    };
    let order = storage_order(&blank, false, rank);
    let stored = order
        .iter()
        .map(|axis| axis.map_or(1, |axis| shape[axis]))
        .collect();
    let name = format!("{}_layout", call.output);
    let builder = call.builder();
    let name = builder.invent_name(&name);
    let tensor = builder.add_tensor(&name, stored)?;
    Ok(View {
        batch,
        ..builder.view(tensor, rank, &order)
    })
}

/// Pad with a constant border.
pub(super) fn pad(call: &mut Call<'_, '_>) -> OpResult<View> {
    let mut view = call.view(0)?;
    let rank = view.rank();
    let mode = call.attributes.string("mode")?.unwrap_or("constant");
    if mode != "constant" {
        return Err(unsupported(
            format!("the border's mode is `{mode}`"),
            "supported is a constant border: train with zero padding",
        ));
    }
    let pads = call
        .ints("pads", 1)?
        .ok_or_else(|| invalid("operand 1, the pads, is missing"))?;
    let value = match call.constant(2)? {
        Some(constant) => constant.scalar()?,
        None => call.attributes.float_or("value", 0.0)?,
    };
    let axes: Vec<usize> = match call.constant(3)? {
        None => (0..rank).collect(),
        Some(axes) => axes
            .as_ints()?
            .iter()
            .map(|&value| axis(value, rank))
            .collect::<OpResult<_>>()?,
    };
    if pads.len() != 2 * axes.len() {
        return Err(invalid(format!(
            "has {} pads for {} axes",
            pads.len(),
            axes.len()
        )));
    }
    if pads.iter().any(|&pad| !(0..=1 << 20).contains(&pad)) {
        return Err(unsupported(
            format!("the pads are {pads:?}"),
            "supported are pads from 0 to 1048576; crop outside the network",
        ));
    }
    if !value.is_finite() {
        return Err(unsupported(
            format!("the border's value is {value}"),
            "let the pool itself do the padding (its attribute `pads`)",
        ));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (index, &axis) in axes.iter().enumerate() {
        before[axis] += pads[index] as usize;
        after[axis] += pads[axes.len() + index] as usize;
    }
    let padded: Vec<usize> = (0..rank)
        .filter(|&axis| before[axis] + after[axis] > 0)
        .collect();
    if padded.is_empty() {
        return Ok(view);
    }
    if view.batch.is_some_and(|batch| padded.contains(&batch)) {
        if !call.builder().is_single() {
            return Err(ImportErrorKind::MixesBatch("pads the batch".to_owned()));
        }
        view.batch = None;
    }
    // As it is, if every padded axis is one of the storage.
    let stays = padded.iter().all(|&axis| view.axes[axis].len() == 1);
    let (view, order) = if stays {
        let order = storage_order(&view, true, rank);
        (view, order)
    } else {
        let arranged = call.builder().usual_order(&view)?;
        let order = storage_order(&arranged, false, rank);
        (arranged, order)
    };
    let stored = call.builder().stored(view.tensor).len();
    let pads_of = |pads: &[usize]| -> Vec<usize> {
        (0..stored)
            .map(|index| order.get(index).copied().flatten())
            .map(|axis| axis.map_or(0, |axis| pads[axis]))
            .collect()
    };
    let op = Op::Pad {
        before: pads_of(&before),
        after: pads_of(&after),
        value,
    };
    let tensor = call.emit(op, &[view.tensor])?;
    if stays {
        return Ok(view.over(tensor));
    }
    Ok(View {
        batch: view.batch,
        ..call.builder().view(tensor, rank, &order)
    })
}
