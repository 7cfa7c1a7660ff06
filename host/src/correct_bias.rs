//! Analytic bias correction: what rounding the weights shifts, without data.
//!
//! Rounding weights `W` to `W~` shifts the mean of an output by `(W~ - W) * E[x]`, which goes out of the bias again:
//! Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2.1, equation (17).
//! `E[x]`, the mean of an input channel behind its activation, comes from BatchNorm statistics ([`crate::statistics`]). Where a
//! window's tap often lies in the padding, which is 0, it counts only as often as it does not.

use crate::graph::{Graph, Node, Op, TensorId, Window};
use crate::quantize::NetworkWeights;
use crate::recipe::Recipe;

/// Corrects the biases of all layers that `recipe` does not except; `mean` gives the mean of each channel of a tensor.
pub fn correct_analytically<'m>(
    graph: &Graph,
    weights: &mut NetworkWeights,
    mean: impl Fn(TensorId) -> &'m [f64],
    recipe: &Recipe,
) {
    for (id, node) in graph.nodes.iter().enumerate() {
        let (Some(linear), Some(layer)) = (node.op.linear(), weights.of_mut(id)) else {
            continue;
        };
        if !recipe.layer(&node.name).correct_bias {
            continue;
        }
        let expected = expected_inputs(graph, node, mean(node.inputs[0]));
        let (group_rows, row) = match &node.op {
            Op::Conv2d(conv) => (
                linear.out_channels / conv.groups.max(1),
                linear.weights_per_channel(),
            ),
            _ => (linear.out_channels, linear.weights_per_channel()),
        };
        let found = layer.dequantized();
        let rows = linear.rows().zip(found.chunks_exact(row.max(1)));
        for ((channel, (weights, found)), bias) in rows.enumerate().zip(&mut layer.bias) {
            let group = channel / group_rows.max(1);
            let shift: f64 = weights
                .iter()
                .zip(found)
                .zip(&expected[group * row..])
                .map(|((weight, found), mean)| f64::from(found - weight) * mean)
                .sum();
            *bias = (f64::from(*bias) - shift) as f32;
        }
    }
}

/// Mean of what each weight of a row is multiplied with, for each group of a convolution: `[group][kh][kw][in]`.
fn expected_inputs(graph: &Graph, node: &Node, mean: &[f64]) -> Vec<f64> {
    let Op::Conv2d(conv) = &node.op else {
        // A fully connected layer reads all elements, channels last.
        let elements = graph.tensors[node.inputs[0]].elements();
        return mean.iter().copied().cycle().take(elements).collect();
    };
    let shape = &graph.tensors[node.inputs[0]].shape;
    let share = |axis: usize| {
        let size = shape.get(axis).copied().unwrap_or(1);
        (0..conv.window.kernel[axis])
            .map(|tap| inside_share(&conv.window, axis, tap, size))
            .collect::<Vec<f64>>()
    };
    let (vertical, horizontal) = (share(0), share(1));
    let per_group = conv.in_channels / conv.groups.max(1);
    let mut expected = Vec::new();
    for group in 0..conv.groups {
        let means = &mean[group * per_group..][..per_group];
        for h in &vertical {
            for w in &horizontal {
                expected.extend(means.iter().map(|mean| mean * h * w));
            }
        }
    }
    expected
}

/// Share of output positions along `axis` at which `tap` of the window lies within an input of `size`.
fn inside_share(window: &Window, axis: usize, tap: usize, size: usize) -> f64 {
    let outputs = window.output_size(axis, size).unwrap_or(0).max(1);
    let inside = (0..outputs).filter(|output| {
        let place = output * window.stride[axis] + tap * window.dilation[axis];
        (window.pad_before[axis]..window.pad_before[axis] + size).contains(&place)
    });
    inside.count() as f64 / outputs as f64
}
