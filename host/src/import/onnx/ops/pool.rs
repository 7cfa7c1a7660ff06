//! Pools and means over space.

use super::super::call::Call;
use super::super::layout::View;
use super::super::window::read_window;
use crate::graph::{Op, Window};
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

pub(super) fn max_pool(call: &mut Call<'_, '_>) -> OpResult<View> {
    let (view, window, _) = read_pool(call)?;
    emit(call, &view, Op::MaxPool(window))
}

pub(super) fn average_pool(call: &mut Call<'_, '_>) -> OpResult<View> {
    let count_include_pad = call.attributes.flag("count_include_pad", false)?;
    let (view, window, extra) = read_pool(call)?;
    if count_include_pad && extra != [0, 0] {
        return Err(unsupported(
            "ceil_mode with count_include_pad leaves the divisor of the last window open",
            "export with ceil_mode 0 or count_include_pad 0",
        ));
    }
    let op = Op::AveragePool {
        window,
        count_include_pad,
    };
    emit(call, &view, op)
}

/// The operand and the window of a pool.
fn read_pool(call: &mut Call<'_, '_>) -> OpResult<(View, Window, [usize; 2])> {
    let view = call.view(0)?;
    let shape = call.builder().shape(&view);
    require_spatial(&view)?;
    let kernel = call
        .attributes
        .ints("kernel_shape")?
        .ok_or_else(|| invalid("attribute `kernel_shape` is missing"))?
        .iter()
        .map(|&size| usize::try_from(size).unwrap_or(0))
        .collect::<Vec<_>>();
    let (window, extra) = read_window(call, &kernel, &shape[2..])?;
    let size = |axis: usize| match shape[2..] {
        [h, w] => [h, w][axis],
        _ => [1, shape[2]][axis],
    };
    if (0..2).any(|axis| window.misses_input(axis, size(axis))) {
        return Err(unsupported(
            "a window lies wholly in the padding",
            "use pads smaller than the kernel, and dilations no longer than the input",
        ));
    }
    Ok((view, window, extra))
}

fn require_spatial(view: &View) -> OpResult<()> {
    if (3..=4).contains(&view.rank()) {
        Ok(())
    } else {
        Err(unsupported(
            format!("a pool over an operand with {} axes", view.rank()),
            "supported are [n, c, l] and [n, c, h, w]",
        ))
    }
}

fn emit(call: &mut Call<'_, '_>, view: &View, op: Op) -> OpResult<View> {
    let rank = view.rank();
    let input = call.builder().channels_last(view)?;
    let tensor = call.emit(op, &[input.tensor])?;
    let order = match rank {
        3 => vec![None, Some(2), Some(1)],
        _ => vec![Some(2), Some(3), Some(1)],
    };
    Ok(call.builder().view(tensor, rank, &order))
}

pub(super) fn global_max_pool(call: &mut Call<'_, '_>) -> OpResult<View> {
    let (view, window) = global(call)?;
    emit(call, &view, Op::MaxPool(window))
}

pub(super) fn global_average_pool(call: &mut Call<'_, '_>) -> OpResult<View> {
    let (view, window) = global(call)?;
    emit(call, &view, average(window))
}

fn average(window: Window) -> Op {
    Op::AveragePool {
        window,
        count_include_pad: false,
    }
}

fn global(call: &mut Call<'_, '_>) -> OpResult<(View, Window)> {
    let view = call.view(0)?;
    require_spatial(&view)?;
    let shape = call.builder().shape(&view);
    let kernel = match shape[2..] {
        [h, w] => [h, w],
        _ => [1, shape[2]],
    };
    Ok((view, Window::new(kernel)))
}

/// ReduceMean over any axes but the batch: an average over one window.
pub(super) fn reduce_mean(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let rank = view.rank();
    let keep = call.attributes.flag("keepdims", true)?;
    let nothing_if_empty = call.attributes.flag("noop_with_empty_axes", false)?;
    let reduced = match call.axes("axes", 1, rank)? {
        Some(axes) if !axes.is_empty() => axes,
        _ if nothing_if_empty => return Ok(view),
        _ => (0..rank).collect(),
    };
    if view.batch.is_some_and(|batch| reduced.contains(&batch)) && !call.builder().is_single() {
        return Err(ImportErrorKind::MixesBatch(
            "takes the mean over the batch".to_owned(),
        ));
    }
    let stored = call.builder().stored(view.tensor).to_vec();
    let is_reduced = |atom: usize| reduced.iter().any(|&axis| view.axes[axis].contains(&atom));
    // Where the channels stay, each other stored axis is a window's side or stays; otherwise the reduced axes become the height.
    let (tensor, kernel, output) = match stored[..] {
        [h, w, c] if !is_reduced(2) || c == 1 => {
            let side = |atom: usize, size: usize| if is_reduced(atom) { size } else { 1 };
            let kernel = [side(0, h), side(1, w)];
            (view.tensor, kernel, vec![h / kernel[0], w / kernel[1], c])
        }
        _ => {
            let kept: Vec<usize> = view
                .sample_axes()
                .into_iter()
                .filter(|axis| !reduced.contains(axis))
                .collect();
            // Their order does not matter to a mean, so they keep that of the storage.
            let mut first = reduced.clone();
            first.sort_by_key(|&axis| view.axes[axis].first().copied());
            let order: Vec<_> = first.iter().chain(&kept).copied().map(Some).collect();
            let arranged = call.builder().arrange(&view, &order)?;
            let shape = call.builder().stored(arranged.tensor).to_vec();
            let height = shape[..reduced.len()].iter().product();
            let channels = shape[reduced.len()..].iter().product();
            let tensor = call
                .builder()
                .reshape_stored(arranged.tensor, &[height, 1, channels])?;
            let tensor = call.emit(average(Window::new([height, 1])), &[tensor])?;
            let mut dims = shape[reduced.len()..].to_vec();
            if dims.is_empty() {
                dims.push(1);
            }
            let tensor = call.builder().reshape_stored(tensor, &dims)?;
            let order: Vec<_> = kept.into_iter().map(Some).collect();
            let result = View {
                batch: view.batch,
                ..call.builder().view(tensor, rank, &order)
            };
            return Ok(finish(result, &reduced, keep));
        }
    };
    let tensor = call.emit(average(Window::new(kernel)), &[tensor])?;
    let mut result = view.over(tensor);
    for atoms in &mut result.axes {
        atoms.retain(|&atom| output[atom] != 1);
    }
    Ok(finish(result, &reduced, keep))
}

/// Drops the reduced axes unless they are kept with size 1.
fn finish(mut view: View, reduced: &[usize], keep: bool) -> View {
    if !keep {
        for &axis in reduced.iter().rev() {
            view.remove_axis(axis);
        }
    }
    view
}
