//! Putting scales into a graph.

use super::classes::Classes;
use crate::graph::{Activation, Graph, TensorId};

/// Divides the channels of every class by its scale, in place. The function stays, up to rounding.
pub(super) fn apply(graph: &mut Graph, classes: &Classes, logs: &[f64]) {
    let scale = |tensor: TensorId, channel: usize| {
        classes.of[tensor][channel].map_or(1.0, |place: usize| libm::exp(logs[place]))
    };
    for id in graph.nodes.ids() {
        let (input, output) = (
            graph.nodes[id].inputs.first().copied(),
            graph.nodes[id].output,
        );
        let channels = graph.tensors[output].channels();
        let out_scales: Vec<f64> = (0..channels)
            .map(|channel| scale(output, channel))
            .collect();
        let node = &mut graph.nodes[id];
        if let Some(activation) = &mut node.activation {
            scale_bounds(activation, &out_scales);
        }
        let (per_row, rows_per_group) = match &node.op {
            crate::graph::Op::Conv2d(conv) => (
                conv.in_channels / conv.groups.max(1),
                conv.linear.out_channels / conv.groups.max(1),
            ),
            _ => (0, usize::MAX),
        };
        let (Some(input), Some(linear)) = (input, node.op.linear_mut()) else {
            continue;
        };
        // A fully connected layer reads all elements, channels last.
        let per_row = if per_row == 0 {
            classes.of[input].len()
        } else {
            per_row
        };
        for (row, weights) in linear.rows_mut().enumerate() {
            let first = row / rows_per_group * per_row;
            for (place, weight) in weights.iter_mut().enumerate() {
                let factor = scale(input, first + place % per_row) / out_scales[row];
                *weight = (f64::from(*weight) * factor) as f32;
            }
        }
        let divide = |values: &mut [f32]| {
            for (value, scale) in values.iter_mut().zip(&out_scales) {
                *value = (f64::from(*value) / scale) as f32;
            }
        };
        divide(&mut linear.bias);
        if let Some(norm) = &mut linear.folded {
            divide(&mut norm.gamma);
            divide(&mut norm.beta);
        }
    }
}

/// Divides the bounds of a clamp by the scale of each channel; bounds that stay alike stay one pair.
fn scale_bounds(activation: &mut Activation, scales: &[f64]) {
    let (min, max) = match activation {
        Activation::Clip { min, max } => (vec![*min; scales.len()], vec![*max; scales.len()]),
        Activation::ClipPerChannel { min, max } => (min.clone(), max.clone()),
        _ => return,
    };
    if scales.iter().all(|&scale| scale == 1.0) {
        return;
    }
    let divided = |bounds: Vec<f32>| -> Vec<f32> {
        bounds
            .iter()
            .zip(scales)
            .map(|(bound, scale)| (f64::from(*bound) / scale) as f32)
            .collect()
    };
    *activation = Activation::ClipPerChannel {
        min: divided(min),
        max: divided(max),
    };
}
