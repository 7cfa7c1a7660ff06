//! A naive evaluation of graphs, to see whether a network's function was kept.

use crate::graph::{Graph, Node, Op, TensorMap, Window};

/// The output for an input in the file's own layout.
pub(super) fn evaluate(graph: &Graph, source: &[f32]) -> Vec<f32> {
    let mut values: TensorMap<Vec<f32>> = graph.tensors.map(|_| Vec::new());
    let input = &graph.inputs[0];
    let shape = &graph.tensors[input.tensor].shape;
    let order: Vec<usize> = input.source_axes.clone();
    let strides = strides(&input.source_shape);
    assert_eq!(source.len(), input.source_shape.iter().product::<usize>());
    values[input.tensor] = indices(shape)
        .map(|index| {
            let position: usize = index
                .iter()
                .zip(&order)
                .map(|(i, &axis)| i * strides[axis])
                .sum();
            source[position]
        })
        .collect();
    for node in &graph.nodes {
        let result = node_value(graph, node, &values);
        assert_eq!(
            result.len(),
            graph.tensors[node.output].elements(),
            "{}",
            node.name
        );
        values[node.output] = result;
    }
    values[graph.outputs[0]].clone()
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len())
        .map(|axis| shape[axis + 1..].iter().product())
        .collect()
}

/// All indices of a tensor in memory order.
fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<'_> {
    let strides = strides(shape);
    (0..shape.iter().product()).map(move |position: usize| {
        (0..shape.len())
            .map(|axis| position / strides[axis] % shape[axis])
            .collect()
    })
}

fn node_value(graph: &Graph, node: &Node, values: &TensorMap<Vec<f32>>) -> Vec<f32> {
    let shape = |index: usize| &graph.tensors[node.inputs[index]].shape;
    let x = node.inputs.first().map_or(&[][..], |&input| &values[input]);
    let out = &graph.tensors[node.output].shape;
    match &node.op {
        Op::Conv2d(conv) => {
            let (window, out_channels) = (&conv.window, conv.linear.out_channels);
            let per_group = conv.in_channels / conv.groups;
            indices(out)
                .map(|at| {
                    let group = at[2] / (out_channels / conv.groups);
                    let mut sum = conv.linear.bias[at[2]];
                    for (ky, kx, position) in taps(window, shape(0), at[0], at[1]) {
                        for i in 0..per_group {
                            let [kh, kw] = window.kernel;
                            let w = ((at[2] * kh + ky) * kw + kx) * per_group + i;
                            sum += conv.linear.weights[w] * x[position + group * per_group + i];
                        }
                    }
                    sum
                })
                .collect()
        }
        Op::FullyConnected(linear) => linear
            .rows()
            .zip(&linear.bias)
            .map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>())
            .collect(),
        Op::BatchNorm(norm) => x
            .iter()
            .enumerate()
            .map(|(index, &x)| {
                let (scale, shift) = norm.scale_and_shift(index % norm.channels());
                (f64::from(x) * scale + shift) as f32
            })
            .collect(),
        Op::Activation(activation) => x.iter().map(|&x| activation.apply(0, x)).collect(),
        Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min => {
            let b = &values[node.inputs[1]];
            x.iter()
                .enumerate()
                .map(|(index, &a)| match node.op {
                    Op::Add => a + b[index % b.len()],
                    Op::Sub => a - b[index % b.len()],
                    Op::Max => a.max(b[index % b.len()]),
                    Op::Min => a.min(b[index % b.len()]),
                    _ => a * b[index % b.len()],
                })
                .collect()
        }
        Op::MaxPool(window) => indices(out)
            .map(|at| {
                taps(window, shape(0), at[0], at[1])
                    .map(|(_, _, position)| x[position + at[2]])
                    .fold(f32::NEG_INFINITY, f32::max)
            })
            .collect(),
        Op::AveragePool {
            window,
            count_include_pad,
        } => indices(out)
            .map(|at| {
                let taken: Vec<f32> = taps(window, shape(0), at[0], at[1])
                    .map(|(_, _, position)| x[position + at[2]])
                    .collect();
                let count = if *count_include_pad {
                    window.kernel[0] * window.kernel[1]
                } else {
                    taken.len()
                };
                taken.iter().sum::<f32>() / count as f32
            })
            .collect(),
        Op::Softmax => x
            .chunks(*out.last().unwrap())
            .flat_map(|row| {
                let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = row.iter().map(|x| (x - max).exp()).sum();
                row.iter().map(move |x| (x - max).exp() / sum)
            })
            .collect(),
        Op::Reshape => x.to_vec(),
        Op::Transpose { perm } => {
            let strides = strides(shape(0));
            indices(out)
                .map(|at| {
                    x[at.iter()
                        .zip(perm)
                        .map(|(i, &axis)| i * strides[axis])
                        .sum::<usize>()]
                })
                .collect()
        }
        Op::Concat { axis } => indices(out)
            .map(|mut at| {
                let mut part = 0;
                while at[*axis] >= shape(part)[*axis] {
                    at[*axis] -= shape(part)[*axis];
                    part += 1;
                }
                let strides = strides(shape(part));
                let position: usize = at.iter().zip(strides).map(|(i, stride)| i * stride).sum();
                values[node.inputs[part]][position]
            })
            .collect(),
        Op::Pad { before, value, .. } => {
            let strides = strides(shape(0));
            indices(out)
                .map(|at| {
                    let inside: Option<Vec<usize>> = (0..at.len())
                        .map(|axis| {
                            at[axis]
                                .checked_sub(before[axis])
                                .filter(|&i| i < shape(0)[axis])
                        })
                        .collect();
                    inside.map_or(*value, |at| {
                        x[at.iter()
                            .zip(&strides)
                            .map(|(i, stride)| i * stride)
                            .sum::<usize>()]
                    })
                })
                .collect()
        }
        Op::Constant(values) => values.clone(),
    }
}

/// The taps of a window at an output position that lie inside the input: place in the kernel, place of the pixel in memory.
fn taps(
    window: &Window,
    input: &[usize],
    y: usize,
    x: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let (window, [h, w, c]) = (*window, [input[0], input[1], input[2]]);
    let [kernel_h, kernel_w] = window.kernel;
    (0..kernel_h * kernel_w).filter_map(move |tap| {
        let (ky, kx) = (tap / kernel_w, tap % kernel_w);
        let row = y * window.stride[0] + ky * window.dilation[0];
        let column = x * window.stride[1] + kx * window.dilation[1];
        let row = row
            .checked_sub(window.pad_before[0])
            .filter(|&row| row < h)?;
        let column = column
            .checked_sub(window.pad_before[1])
            .filter(|&column| column < w)?;
        Some((ky, kx, (row * w + column) * c))
    })
}
