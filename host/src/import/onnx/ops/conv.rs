//! Convolutions over one or two spatial axes.

use super::super::call::Call;
use super::super::layout::{View, strides, walk};
use super::super::window::read_window;
use crate::graph::{Conv2d, Linear, Op};
use crate::import::error::{OpResult, invalid, unsupported};

/// Conv: weights `[out, in / groups, (h,) w]` become OHWI.
pub(super) fn conv(call: &mut Call<'_, '_>) -> OpResult<View> {
    let view = call.view(0)?;
    let weights = call.required_constant(1)?;
    let rank = view.rank();
    if !(3..=4).contains(&rank) {
        return Err(unsupported(
            format!("a convolution of an operand with {rank} axes"),
            "supported are [n, c, l] and [n, c, h, w]",
        ));
    }
    let [out_channels, per_group, ref kernel @ ..] = weights.shape[..] else {
        return Err(invalid(format!(
            "the weights have the shape {:?}",
            weights.shape
        )));
    };
    if let Some(given) = call.attributes.ints("kernel_shape")?
        && !given
            .iter()
            .copied()
            .eq(kernel.iter().map(|&size| size as i64))
    {
        return Err(invalid(format!(
            "kernel_shape is {given:?}, the weights have the shape {:?}",
            weights.shape
        )));
    }
    let shape = call.builder().shape(&view);
    let groups = usize::try_from(call.attributes.int_or("group", 1)?).unwrap_or(0);
    let in_channels = shape[1];
    if groups == 0
        || !in_channels.is_multiple_of(groups)
        || out_channels == 0
        || !out_channels.is_multiple_of(groups)
        || in_channels / groups != per_group
    {
        return Err(invalid(format!(
            "{in_channels} input channels in {groups} groups do not fit weights of the shape {:?}",
            weights.shape
        )));
    }
    let (window, _) = read_window(call, kernel, &shape[2..])?;
    let bias = if call.node.input.get(2).is_some_and(|name| !name.is_empty()) {
        call.vector(2, out_channels)?
    } else {
        vec![0.0; out_channels]
    };
    let values = weights.as_floats()?;
    let input = call.builder().channels_last(&view)?;
    let tensor = call.emit(
        Op::Conv2d(Conv2d {
            linear: Linear {
                weights: to_ohwi(values, &weights.shape),
                bias,
                out_channels,
                folded: None,
            },
            in_channels,
            groups,
            window,
        }),
        &[input.tensor],
    )?;
    let order = match rank {
        3 => vec![None, Some(2), Some(1)],
        _ => vec![Some(2), Some(3), Some(1)],
    };
    Ok(call.builder().view(tensor, rank, &order))
}

/// Moves axis 1 of `[o, i, ...]` to the end.
fn to_ohwi(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let steps = strides(shape);
    let order = || [0].into_iter().chain(2..shape.len()).chain([1]);
    let sizes: Vec<usize> = order().map(|axis| shape[axis]).collect();
    let steps: Vec<usize> = order().map(|axis| steps[axis]).collect();
    walk(&sizes, &steps)
        .into_iter()
        .map(|position| values[position])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_become_ohwi() {
        // [o=1, i=2, h=1, w=3]
        let values = [0., 1., 2., 10., 11., 12.];
        assert_eq!(to_ohwi(&values, &[1, 2, 1, 3]), [0., 10., 1., 11., 2., 12.]);
        assert_eq!(to_ohwi(&values, &[1, 2, 3]), [0., 10., 1., 11., 2., 12.]);
    }
}
