//! Analytic bias correction: what rounding the weights shifts, without data.
//!
//! Rounding weights `W` to `W~` shifts the mean of an output by `(W~ - W) * E[x]`, which goes out of the bias again:
//! Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2.1, equation (17).
//! `E[x]`, the mean of an input channel behind its activation, comes from BatchNorm statistics ([`crate::ptq::statistics`]). Where a
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
    for (id, node) in graph.nodes.enumerate() {
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
            *bias = f64::from((*bias - shift) as f32);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;
    use crate::graph::{Conv2d, Linear, NodeId};
    use crate::quantize::{Encodings, simulation_graph};
    use crate::recipe::LayerOverride;
    use crate::testing::{Sequence, graph_of, push};

    /// A 3x3 convolution with padding on `[5, 4, channels]`.
    fn layer(channels: usize, groups: usize, stride: usize) -> Graph {
        let mut window = Window::new([3, 3]);
        window.pad_before = [1, 0];
        window.pad_after = [1, 2];
        window.stride = [stride; 2];
        let conv = Conv2d {
            linear: Linear {
                weights: Sequence::new(1).values(8 * 9 * channels / groups, -1.0, 1.0),
                bias: vec![0.25; 8],
                out_channels: 8,
                folded: None,
            },
            in_channels: channels,
            groups,
            window,
        };
        let mut graph = graph_of(&[&[5, 4, channels]]);
        push(&mut graph, Op::Conv2d(conv), &[TensorId::new(0)], &[]);
        graph
    }

    /// Means of the output channels for an input that is `mean` everywhere.
    fn means(graph: &Graph, mean: &[f64]) -> Vec<f64> {
        let input: Vec<f32> = (0..20)
            .flat_map(|_| mean.iter().map(|&x| x as f32))
            .collect();
        let output = Executor::new(graph)
            .expect("sound")
            .forward(&input, 1)
            .expect("runs");
        let pixels = output.len() / 8;
        (0..8)
            .map(|channel| {
                output
                    .chunks(8)
                    .map(|pixel| f64::from(pixel[channel]))
                    .sum::<f64>()
                    / pixels as f64
            })
            .collect()
    }

    /// Inputs that do not vary leave nothing but the shift, borders included, which the correction has to take out to the last bit.
    #[test]
    fn the_shift_of_constant_inputs_goes_out() {
        for (channels, groups, stride) in [(4, 1, 1), (4, 4, 2), (6, 2, 1)] {
            let graph = layer(channels, groups, stride);
            let mean: Vec<f64> = (0..channels).map(|channel| 0.5 + channel as f64).collect();
            let ranges = [crate::range::Range { min: 0.0, max: 8.0 }];
            let ranges =
                crate::ptq::calibrate::ranges_from_statistics(&graph, &ranges, 6.0).expect("known");
            let encodings = Encodings::choose(&graph, &ranges).expect("chosen");
            let mut recipe = Recipe::default();
            recipe.weights.bits = crate::recipe::WeightBits::Int4;
            let mut weights = NetworkWeights::nearest(&graph, &encodings, &recipe).expect("finite");
            let expected = means(&graph, &mean);
            let error = |weights: &NetworkWeights| {
                let found = means(&simulation_graph(&graph, weights), &mean);
                let errors = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                errors.fold(0.0, f64::max)
            };
            assert!(error(&weights) > 0.05, "rounding shifts nothing");
            let mut excepted = recipe.clone();
            excepted.overrides.push(LayerOverride {
                layers: graph.nodes[NodeId::new(0)].name.clone(),
                bias_correction: Some(false),
                ..LayerOverride::default()
            });
            let before = weights.clone();
            correct_analytically(&graph, &mut weights, |_| &mean, &excepted);
            assert_eq!(weights, before);
            correct_analytically(&graph, &mut weights, |_| &mean, &recipe);
            assert!(error(&weights) < 1e-5, "{}", error(&weights));
        }
    }
}
