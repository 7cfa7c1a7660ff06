//! The gradient by an operator's inputs, from the gradient by its output.

use super::tape::Tape;
use crate::executor::layout::Transpose;
use crate::executor::matmul::{Right, Rows, multiply};
use crate::graph::{Activation, Conv2d, Node, Op, TensorId, Window};
use crate::parallel;

/// Output positions whose products with the weights are held at a time.
const TILE: usize = 256;

/// Adds `gradient` to what is there.
pub(super) fn add(sum: &mut Option<Vec<f32>>, gradient: Vec<f32>) {
    match sum {
        Some(sum) => {
            for (sum, value) in sum.iter_mut().zip(&gradient) {
                *sum += value;
            }
        }
        None => *sum = Some(gradient),
    }
}

/// Turns a gradient behind a fused activation into the one before it. `output` is what the activation gave; fused activations are
/// clamps, whose slope it tells: 0 at a bound, else 1.
pub(super) fn through_fused(
    activation: &Activation,
    output: &[f32],
    channels: usize,
    gradient: &mut [f32],
) {
    let bounds: Vec<(f32, f32)> = (0..channels)
        .map(|channel| {
            activation
                .clamp_bounds(channel)
                .unwrap_or((f32::NEG_INFINITY, f32::INFINITY))
        })
        .collect();
    let pixels = gradient
        .chunks_exact_mut(channels.max(1))
        .zip(output.chunks_exact(channels.max(1)));
    for (gradient, output) in pixels {
        for ((gradient, &output), &(min, max)) in gradient.iter_mut().zip(output).zip(&bounds) {
            if output <= min || output >= max {
                *gradient = 0.0;
            }
        }
    }
}

/// The gradients by the inputs of `node`, given the one by its output before the fused activation. An input that is read twice comes twice.
pub(super) fn inputs(
    tape: &Tape<'_>,
    node: &Node,
    gradient: Vec<f32>,
) -> Vec<(TensorId, Vec<f32>)> {
    let graph = tape.graph();
    let shape = |id: TensorId| graph.tensors[id].shape.as_slice();
    let first = node.inputs.first().copied();
    let one = |gradient: Vec<f32>| first.map(|id| (id, gradient)).into_iter().collect();
    match &node.op {
        Op::Constant(_) => Vec::new(),
        Op::Reshape => one(gradient),
        Op::Conv2d(conv) => one(convolution(
            conv,
            shape(node.inputs[0]),
            shape(node.output),
            &gradient,
        )),
        Op::FullyConnected(linear) => {
            let (outputs, inputs) = (linear.out_channels, linear.weights_per_channel());
            let mut found = vec![0.0; gradient.len() / outputs.max(1) * inputs];
            multiply(&gradient, &linear.weights, inputs, &mut found);
            one(found)
        }
        Op::BatchNorm(norm) => {
            let scales: Vec<f32> = (0..norm.channels())
                .map(|channel| norm.scale_and_shift(channel).0 as f32)
                .collect();
            let mut gradient = gradient;
            for pixel in gradient.chunks_exact_mut(scales.len().max(1)) {
                for (value, scale) in pixel.iter_mut().zip(&scales) {
                    *value *= scale;
                }
            }
            one(gradient)
        }
        Op::Activation(activation) => {
            let values = tape.values(node.inputs[0]);
            let channels = graph.tensors[node.output].channels();
            let mut gradient = gradient;
            for (place, (gradient, &x)) in gradient.iter_mut().zip(values).enumerate() {
                *gradient *= slope(activation, place % channels, x);
            }
            one(gradient)
        }
        Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min => elementwise(tape, node, gradient),
        Op::MaxPool(window) => one(pool(
            *window,
            shape(node.inputs[0]),
            shape(node.output),
            &gradient,
            Reduction::Max(tape.values(node.inputs[0])),
        )),
        Op::AveragePool {
            window,
            count_include_pad,
        } => one(pool(
            *window,
            shape(node.inputs[0]),
            shape(node.output),
            &gradient,
            Reduction::Average {
                count_include_pad: *count_include_pad,
            },
        )),
        Op::Softmax => {
            let channels = graph.tensors[node.output].channels();
            let mut gradient = gradient;
            let rows = gradient
                .chunks_exact_mut(channels)
                .zip(tape.values(node.output).chunks_exact(channels));
            for (gradient, output) in rows {
                let mean: f32 = gradient.iter().zip(output).map(|(g, y)| g * y).sum();
                for (gradient, y) in gradient.iter_mut().zip(output) {
                    *gradient = y * (*gradient - mean);
                }
            }
            one(gradient)
        }
        Op::Transpose { perm } => {
            let mut inverse = vec![0; perm.len()];
            for (to, &from) in perm.iter().enumerate() {
                inverse[from] = to;
            }
            let mut found = vec![0.0; gradient.len()];
            Transpose::new(shape(node.output), &inverse).run(&gradient, &mut found);
            one(found)
        }
        Op::Concat { axis } => concat(tape, node, *axis, &gradient),
        Op::Pad { before, .. } => {
            let (from, to) = (shape(node.inputs[0]), shape(node.output));
            one(cut(&gradient, before, from, to))
        }
    }
}

/// Slope of a function of one variable at `x`.
fn slope(activation: &Activation, channel: usize, x: f32) -> f32 {
    if let Some((min, max)) = activation.clamp_bounds(channel) {
        return if x > min && x < max { 1.0 } else { 0.0 };
    }
    let inside = |x: f32| if x > 0.0 && x < 1.0 { 1.0 } else { 0.0 };
    match *activation {
        Activation::LeakyRelu { alpha } => {
            if x > 0.0 {
                1.0
            } else {
                alpha
            }
        }
        Activation::Sigmoid => {
            let y = activation.apply(channel, x);
            y * (1.0 - y)
        }
        Activation::Tanh => {
            let y = activation.apply(channel, x);
            1.0 - y * y
        }
        Activation::HardSigmoid { alpha, beta } => alpha * inside(alpha * x + beta),
        Activation::HardSwish if x <= -3.0 => 0.0,
        Activation::HardSwish if x >= 3.0 => 1.0,
        Activation::HardSwish => x / 3.0 + 0.5,
        // Clamps, answered above.
        Activation::Relu | Activation::Clip { .. } | Activation::ClipPerChannel { .. } => 1.0,
    }
}

/// Height and width of a tensor `[h, w, c]`.
fn image(shape: &[usize]) -> [usize; 2] {
    match *shape {
        [h, w, _] => [h, w],
        _ => [1, 1],
    }
}

fn convolution(conv: &Conv2d, input: &[usize], output: &[usize], gradient: &[f32]) -> Vec<f32> {
    let in_elements: usize = input.iter().product();
    let out_elements: usize = output.iter().product();
    let samples = gradient.len() / out_elements.max(1);
    let mut found = vec![0.0; samples * in_elements];
    let of_samples = found
        .chunks_exact_mut(in_elements)
        .zip(gradient.chunks_exact(out_elements));
    if conv.is_depthwise() {
        parallel::for_each_item(of_samples, |_, (found, gradient)| {
            depthwise(conv, image(input), image(output), gradient, found);
        });
    } else {
        let k = conv.linear.weights_per_channel();
        let len = conv.linear.weights.len() / conv.groups.max(1);
        let groups = conv.linear.weights.chunks_exact(len.max(1));
        let groups: Vec<Right> = groups.map(|weights| Right::new(weights, k)).collect();
        parallel::for_each_item(of_samples, |_, (found, gradient)| {
            dense(conv, &groups, image(input), image(output), gradient, found);
        });
    }
    found
}

/// Calls `each(output position, tap, input pixel)` for all taps that are not in the padding.
fn each_tap(
    window: &Window,
    input: [usize; 2],
    output: [usize; 2],
    positions: std::ops::Range<usize>,
    mut each: impl FnMut(usize, usize, usize),
) {
    for position in positions {
        let at = [position / output[1], position % output[1]];
        for tap_y in 0..window.kernel[0] {
            let y = (at[0] * window.stride[0] + tap_y * window.dilation[0])
                .wrapping_sub(window.pad_before[0]);
            if y >= input[0] {
                continue;
            }
            for tap_x in 0..window.kernel[1] {
                let x = (at[1] * window.stride[1] + tap_x * window.dilation[1])
                    .wrapping_sub(window.pad_before[1]);
                if x < input[1] {
                    each(position, tap_y * window.kernel[1] + tap_x, y * input[1] + x);
                }
            }
        }
    }
}

fn depthwise(
    conv: &Conv2d,
    input: [usize; 2],
    output: [usize; 2],
    gradient: &[f32],
    found: &mut [f32],
) {
    let (channels, out_channels) = (conv.in_channels, conv.linear.out_channels);
    let multiplier = out_channels / channels.max(1);
    // Taps first, so that a tap's weights lie side by side.
    let taps = conv.linear.weights_per_channel();
    let mut weights = vec![0.0; conv.linear.weights.len()];
    for (channel, row) in conv.linear.rows().enumerate() {
        for (tap, &weight) in row.iter().enumerate() {
            weights[tap * out_channels + channel] = weight;
        }
    }
    debug_assert_eq!(weights.len(), taps * out_channels);
    let all = 0..output[0] * output[1];
    each_tap(&conv.window, input, output, all, |position, tap, pixel| {
        let gradient = &gradient[position * out_channels..][..out_channels];
        let weights = &weights[tap * out_channels..][..out_channels];
        let found = &mut found[pixel * channels..][..channels];
        if multiplier == 1 {
            for ((found, g), w) in found.iter_mut().zip(gradient).zip(weights) {
                *found += g * w;
            }
        } else {
            let filters = gradient
                .chunks_exact(multiplier)
                .zip(weights.chunks_exact(multiplier));
            for (found, (gradient, weights)) in found.iter_mut().zip(filters) {
                *found += gradient
                    .iter()
                    .zip(weights)
                    .map(|(g, w)| g * w)
                    .sum::<f32>();
            }
        }
    });
}

/// `weights` are those of each group.
fn dense(
    conv: &Conv2d,
    weights: &[Right],
    input: [usize; 2],
    output: [usize; 2],
    gradient: &[f32],
    found: &mut [f32],
) {
    let groups = conv.groups.max(1);
    let out_channels = conv.linear.out_channels;
    let (rows_per_group, per_group) = (out_channels / groups, conv.in_channels / groups);
    let k = conv.linear.weights_per_channel();
    let positions = output[0] * output[1];
    let mut patches = vec![0.0; TILE.min(positions) * k];
    for (group, weights) in weights.iter().enumerate() {
        for first in (0..positions).step_by(TILE) {
            let count = TILE.min(positions - first);
            let rows = Rows {
                count,
                stride: out_channels,
            };
            let lhs = &gradient[first * out_channels + group * rows_per_group..];
            weights.multiply(lhs, rows, &mut patches[..count * k]);
            let tile = first..first + count;
            each_tap(&conv.window, input, output, tile, |position, tap, pixel| {
                let patch = &patches[(position - first) * k + tap * per_group..][..per_group];
                let found = &mut found[pixel * conv.in_channels + group * per_group..];
                for (found, value) in found.iter_mut().zip(patch) {
                    *found += value;
                }
            });
        }
    }
}

/// Function of a pool over a window.
#[derive(Clone, Copy)]
enum Reduction<'v> {
    /// The largest of these values, the pool's input; the first of several takes all of the gradient.
    Max(&'v [f32]),
    /// The mean, of the window or of what of it is not padding.
    Average { count_include_pad: bool },
}

fn pool(
    window: Window,
    input: &[usize],
    output: &[usize],
    gradient: &[f32],
    reduction: Reduction<'_>,
) -> Vec<f32> {
    let channels = input.last().copied().unwrap_or(1);
    let in_elements: usize = input.iter().product();
    let out_elements: usize = output.iter().product();
    let samples = gradient.len() / out_elements.max(1);
    let mut found = vec![0.0; samples * in_elements];
    let positions = image(output)[0] * image(output)[1];
    let all_taps = window.kernel[0] * window.kernel[1];
    for (sample, (found, gradient)) in found
        .chunks_exact_mut(in_elements)
        .zip(gradient.chunks_exact(out_elements))
        .enumerate()
    {
        for position in 0..positions {
            let mut pixels = Vec::with_capacity(all_taps);
            let only = position..position + 1;
            each_tap(&window, image(input), image(output), only, |_, _, pixel| {
                pixels.push(pixel);
            });
            let gradient = &gradient[position * channels..][..channels];
            match reduction {
                Reduction::Max(values) => {
                    let values = &values[sample * in_elements..][..in_elements];
                    for (channel, g) in gradient.iter().enumerate() {
                        let value = |pixel: usize| values[pixel * channels + channel];
                        let largest = pixels.iter().copied().reduce(|best, next| {
                            if value(next) > value(best) {
                                next
                            } else {
                                best
                            }
                        });
                        if let Some(pixel) = largest {
                            found[pixel * channels + channel] += g;
                        }
                    }
                }
                Reduction::Average { count_include_pad } => {
                    let count = if count_include_pad {
                        all_taps
                    } else {
                        pixels.len()
                    };
                    let share = 1.0 / count.max(1) as f32;
                    for &pixel in &pixels {
                        let found = &mut found[pixel * channels..][..channels];
                        for (found, g) in found.iter_mut().zip(gradient) {
                            *found += g * share;
                        }
                    }
                }
            }
        }
    }
    found
}

/// Of a sum, difference, product, maximum or minimum, whose gradient goes to the operand that was taken; the second operand may have one element a channel, or one.
fn elementwise(tape: &Tape<'_>, node: &Node, gradient: Vec<f32>) -> Vec<(TensorId, Vec<f32>)> {
    let (a, b) = (node.inputs[0], node.inputs[1]);
    let elements = tape.graph().tensors[b].elements();
    let (x, y) = (tape.values(a), tape.values(b));
    let per_sample = gradient.len() / tape.samples().max(1);
    let mut second = vec![0.0; tape.samples() * elements];
    let mut first = gradient;
    for (sample, first) in first.chunks_exact_mut(per_sample.max(1)).enumerate() {
        let (x, y) = (
            &x[sample * per_sample..][..per_sample],
            &y[sample * elements..][..elements],
        );
        let second = &mut second[sample * elements..][..elements];
        for (place, (first, x)) in first.iter_mut().zip(x).enumerate() {
            let other = place % elements;
            match node.op {
                Op::Mul => {
                    second[other] += *first * x;
                    *first *= y[other];
                }
                Op::Sub => second[other] -= *first,
                Op::Max | Op::Min => {
                    let taken = match node.op {
                        Op::Max => y[other] > *x,
                        _ => y[other] < *x,
                    };
                    if taken {
                        second[other] += std::mem::take(first);
                    }
                }
                _ => second[other] += *first,
            }
        }
    }
    vec![(a, first), (b, second)]
}

fn concat(
    tape: &Tape<'_>,
    node: &Node,
    axis: usize,
    gradient: &[f32],
) -> Vec<(TensorId, Vec<f32>)> {
    let shape = |id: TensorId| tape.graph().tensors[id].shape.as_slice();
    let inner = |id: TensorId| shape(id)[axis..].iter().product::<usize>();
    let row = inner(node.output);
    let mut offset = 0;
    node.inputs
        .iter()
        .map(|&id| {
            let len = inner(id);
            let part = gradient
                .chunks_exact(row.max(1))
                .flat_map(|values| &values[offset..offset + len])
                .copied()
                .collect();
            offset += len;
            (id, part)
        })
        .collect()
}

/// The part of a padded tensor of shape `to` that is the tensor itself, of shape `from`.
fn cut(gradient: &[f32], before: &[usize], from: &[usize], to: &[usize]) -> Vec<f32> {
    let elements: usize = to.iter().product();
    let inner: usize = from.iter().product();
    let mut found = Vec::new();
    for sample in gradient.chunks_exact(elements.max(1)) {
        for place in 0..inner {
            let (mut rest, mut at, mut stride) = (place, 0, 1);
            for axis in (0..to.len()).rev() {
                at += (rest % from[axis] + before[axis]) * stride;
                rest /= from[axis];
                stride *= to[axis];
            }
            found.push(sample[at]);
        }
    }
    found
}
