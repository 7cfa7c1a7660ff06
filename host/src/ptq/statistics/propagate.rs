//! From input ranges and BatchNorm statistics to every tensor's.

use super::error::StatisticsError;
use super::{Channel, Interval, activation, extremum, layer, movement};
use crate::graph::{Graph, Node, Op, TensorMap};
use crate::range::Range;

/// Mean and variance of a tensor's elements, one value per channel (the last axis).
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStatistics {
    /// Means.
    pub mean: Vec<f64>,
    /// Variances.
    pub variance: Vec<f64>,
}

/// The statistics of every tensor of a folded graph, each behind the activation fused into its node.
///
/// `inputs` has the range of every network input in the graph's order, over which its elements are taken to be uniform. A layer with a
/// folded BatchNorm has the moments that this tells; others get `E[y] = W E[x] + b` and `Var[y] = sum W^2 Var[x]`. Pools hand their
/// input's moments on, as if neighbours were equal; zeros of a padded convolution or pool are left out of the moments.
///
/// # Errors
/// Ranges that do not fit the inputs, and weights or statistics that are not finite.
pub fn propagate(
    graph: &Graph,
    inputs: &[Range],
) -> Result<TensorMap<ChannelStatistics>, StatisticsError> {
    let tensors = channels(graph, inputs, 6.0)?;
    let statistics = |tensor: Vec<Channel>| ChannelStatistics {
        mean: tensor.iter().map(|channel| channel.mean).collect(),
        variance: tensor.iter().map(|channel| channel.variance).collect(),
    };
    Ok(tensors.into_iter().map(statistics).collect())
}

/// As [`propagate`], with the bounds of every channel; `n` standard deviations are likely where a distribution is known.
pub(crate) fn channels(
    graph: &Graph,
    inputs: &[Range],
    n: f64,
) -> Result<TensorMap<Vec<Channel>>, StatisticsError> {
    graph.validate()?;
    let mut tensors: TensorMap<Vec<Channel>> = graph.tensors.map(|_| Vec::new());
    for (index, input) in graph.inputs.iter().enumerate() {
        let tensor = &graph.tensors[input.tensor];
        let error = |problem: String| StatisticsError::InputRange {
            tensor: tensor.name.clone(),
            problem,
        };
        let range = inputs.get(index).ok_or_else(|| {
            error(format!(
                "{} ranges are given for {} inputs",
                inputs.len(),
                graph.inputs.len()
            ))
        })?;
        if !(range.min.is_finite() && range.max.is_finite() && range.min <= range.max) {
            return Err(error(format!(
                "{}..{} is not from a number to one at least as large",
                range.min, range.max
            )));
        }
        let (low, high) = (f64::from(range.min), f64::from(range.max));
        let interval = Interval::new(low, high);
        let channel = Channel {
            mean: (low + high) / 2.0,
            variance: (high - low) * (high - low) / 12.0,
            hard: interval,
            likely: interval,
        };
        tensors[input.tensor] = vec![channel; tensor.channels()];
    }
    for node in &graph.nodes {
        let mut output = before_activation(graph, node, &tensors, n);
        let mut sound = true;
        for (index, channel) in output.iter_mut().enumerate() {
            sound &= channel.is_sound();
            *channel = activation::through(node.activation.as_ref(), index, *channel);
            sound &= channel.is_sound();
        }
        if !sound {
            return Err(StatisticsError::NotFinite {
                tensor: graph.tensors[node.output].name.clone(),
            });
        }
        tensors[node.output] = output;
    }
    Ok(tensors)
}

fn before_activation(
    graph: &Graph,
    node: &Node,
    tensors: &TensorMap<Vec<Channel>>,
    n: f64,
) -> Vec<Channel> {
    let inputs: Vec<&[Channel]> = node.inputs.iter().map(|&id| &tensors[id][..]).collect();
    let shape = &graph.tensors[node.output].shape;
    let first = inputs.first().copied().unwrap_or_default();
    // The second operand has the first one's channels, or one element.
    let pairwise = |combine: fn(Channel, Channel) -> Channel| -> Vec<Channel> {
        let pair = |(index, &a): (usize, &Channel)| combine(a, inputs[1][index % inputs[1].len()]);
        first.iter().enumerate().map(pair).collect()
    };
    match &node.op {
        Op::Conv2d(conv) => layer::convolution(conv, first, n),
        Op::FullyConnected(linear) => layer::fully_connected(linear, first, n),
        Op::BatchNorm(norm) => layer::batch_norm(norm, first, n),
        Op::Activation(function) => (first.iter().enumerate())
            .map(|(index, &channel)| activation::through(Some(function), index, channel))
            .collect(),
        Op::Add => pairwise(|a, b| layer::sum(a, b, 1.0)),
        Op::Sub => pairwise(|a, b| layer::sum(a, b, -1.0)),
        Op::Mul => pairwise(layer::product),
        Op::Max => pairwise(extremum::larger),
        Op::Min => pairwise(extremum::smaller),
        Op::MaxPool(_) => first.to_vec(),
        Op::AveragePool {
            window,
            count_include_pad,
        } => {
            let zeros = *count_include_pad && window.is_padded();
            let pooled = |&channel: &Channel| if zeros { channel.with_zero() } else { channel };
            first.iter().map(pooled).collect()
        }
        Op::Softmax => {
            let share = 1.0 / first.len().max(1) as f64;
            let unit = Interval::new(0.0, 1.0);
            let channel = Channel {
                mean: share,
                // The most that a distribution with this mean can have.
                variance: share * (1.0 - share),
                hard: unit,
                likely: unit,
            };
            vec![channel; first.len()]
        }
        Op::Reshape => movement::reshape(first, shape.last().copied().unwrap_or(1)),
        Op::Transpose { perm } => {
            movement::transpose(first, perm, shape.last().copied().unwrap_or(1))
        }
        Op::Concat { axis } => {
            let sizes: Vec<usize> = (node.inputs.iter())
                .map(|&id| graph.tensors[id].shape[*axis])
                .collect();
            let axis = if *axis + 1 == shape.len() {
                movement::JoinAxis::Channels
            } else {
                movement::JoinAxis::Pixels
            };
            movement::concat(&inputs, &sizes, axis)
        }
        Op::Pad {
            before,
            after,
            value,
        } => movement::pad(first, shape, before, after, f64::from(*value)),
        Op::Constant(values) => movement::constant(values, shape.last().copied().unwrap_or(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;
    use crate::graph::{Activation, BatchNorm, Conv2d, Linear, TensorId, Window};
    use crate::ptq::calibrate::ranges_from_statistics;
    use crate::testing::{self, Sequence, graph_of};

    fn graph(shape: Vec<usize>) -> Graph {
        let mut graph = graph_of(&[&shape]);
        graph.outputs.push(TensorId::new(0));
        graph
    }

    /// Adds a node, whose output becomes the network's.
    fn push(
        graph: &mut Graph,
        op: Op,
        inputs: Vec<TensorId>,
        shape: &[usize],
        activation: Option<Activation>,
    ) -> TensorId {
        let output = testing::push(graph, op, &inputs, shape);
        graph.nodes.last_mut().expect("just made").activation = activation;
        output
    }

    fn linear(weights: Vec<f32>, bias: Vec<f32>, folded: Option<BatchNorm>) -> Linear {
        Linear {
            weights,
            out_channels: bias.len(),
            bias,
            folded,
        }
    }

    fn range(min: f32, max: f32) -> Range {
        Range { min, max }
    }

    /// A network whose tensors are constant over each channel: its means are its values, whatever the groups.
    #[test]
    fn means_of_constants_are_what_the_executor_computes() {
        let mut random = Sequence::new(51);
        let mut graph = graph(vec![4, 3, 4]);
        let factors = push(
            &mut graph,
            Op::Constant(vec![0.5, -1.0, 2.0, 3.0]),
            vec![],
            &[1, 1, 4],
            None,
        );
        let scaled = push(
            &mut graph,
            Op::Mul,
            vec![TensorId::new(0), factors],
            &[4, 3, 4],
            None,
        );
        let conv = Op::Conv2d(Conv2d {
            linear: linear(
                random.values(6 * 4 * 2, -1.0, 1.0),
                random.values(6, -1.0, 1.0),
                None,
            ),
            in_channels: 4,
            groups: 2,
            window: Window::new([2, 2]),
        });
        let leaky = Some(Activation::LeakyRelu { alpha: 0.1 });
        let conv = push(&mut graph, conv, vec![scaled], &[3, 2, 6], leaky);
        let sum = push(&mut graph, Op::Sub, vec![conv, conv], &[3, 2, 6], None);
        let sum = push(&mut graph, Op::Add, vec![conv, sum], &[3, 2, 6], None);
        let joined = Op::Concat { axis: 2 };
        let joined = push(&mut graph, joined, vec![sum, conv], &[3, 2, 12], None);
        let flat = push(&mut graph, Op::Reshape, vec![joined], &[72], None);
        let layer = linear(
            random.values(5 * 72, -0.3, 0.3),
            random.values(5, -1.0, 1.0),
            None,
        );
        push(
            &mut graph,
            Op::FullyConnected(layer),
            vec![flat],
            &[5],
            Some(Activation::Relu),
        );

        let found = propagate(&graph, &[range(1.0, 1.0)]).expect("propagates");
        let mut hook = |id: TensorId, values: &mut [f32]| {
            let channels = found[id].mean.len();
            for (index, &value) in values.iter().enumerate() {
                let mean = found[id].mean[index % channels];
                assert!(
                    (mean - f64::from(value)).abs() < 1e-4,
                    "{id}: {mean} {value}"
                );
                assert!(found[id].variance[index % channels] < 1e-12);
            }
        };
        Executor::new(&graph)
            .expect("valid")
            .run(&[1.0; 48], 1, &mut hook)
            .expect("runs");
    }

    #[test]
    fn a_layer_without_statistics_adds_variances() {
        let mut graph = graph(vec![2]);
        let layer = linear(vec![3.0, -4.0], vec![0.5], None);
        let output = push(
            &mut graph,
            Op::FullyConnected(layer),
            vec![TensorId::new(0)],
            &[1],
            None,
        );
        let found = propagate(&graph, &[range(-1.0, 2.0)]).expect("propagates");
        assert!((found[TensorId::new(0)].variance[0] - 9.0 / 12.0).abs() < 1e-12);
        assert!((found[output].mean[0] - (0.5 - 0.5)).abs() < 1e-12);
        assert!((found[output].variance[0] - 25.0 * 0.75).abs() < 1e-12);
        // Six deviations are 26, but the input's bounds allow -10.5..10.5 only.
        let ranges = ranges_from_statistics(&graph, &[range(-1.0, 2.0)], 6.0).expect("ranges");
        assert_eq!(ranges.of(output), range(-10.5, 10.5));
    }

    fn normed(gamma: Vec<f32>, beta: Vec<f32>, activation: Option<Activation>) -> Graph {
        let channels = gamma.len();
        let mut graph = graph(vec![1]);
        let norm = BatchNorm {
            gamma,
            beta,
            mean: vec![0.3; channels],
            variance: vec![2.0; channels],
            epsilon: 1e-5,
        };
        let layer = linear(vec![1e6; channels], vec![0.0; channels], Some(norm));
        push(
            &mut graph,
            Op::FullyConnected(layer),
            vec![TensorId::new(0)],
            &[channels],
            activation,
        );
        graph
    }

    #[test]
    fn a_batch_norm_tells_the_range() {
        let unit = [range(-1.0, 1.0)];
        let of = |activation| {
            let graph = normed(vec![1.0, -0.5, 0.0], vec![2.0, -4.0, 0.25], activation);
            ranges_from_statistics(&graph, &unit, 6.0)
                .expect("ranges")
                .of(TensorId::new(1))
        };
        assert_eq!(of(None), range(-7.0, 8.0));
        assert_eq!(of(Some(Activation::Relu)), range(0.0, 8.0));
        let relu6 = Activation::Clip { min: 0.0, max: 6.0 };
        assert_eq!(of(Some(relu6)), range(0.0, 6.0));
    }

    #[test]
    fn dead_channels_are_constants_and_damaged_ones_are_refused() {
        let relu = Some(Activation::Relu);
        let graph = normed(vec![0.0, 1e-30], vec![-3.0, 0.0], relu.clone());
        let found = propagate(&graph, &[range(-1.0, 1.0)]).expect("propagates");
        assert_eq!(found[TensorId::new(1)].mean[0], 0.0);
        assert_eq!(found[TensorId::new(1)].variance[0], 0.0);
        assert!(found[TensorId::new(1)].mean[1] >= 0.0 && found[TensorId::new(1)].mean[1] < 1e-29);
        for bad in [f32::NAN, f32::INFINITY] {
            for (gamma, beta) in [(bad, 0.0), (1.0, bad)] {
                let graph = normed(vec![gamma], vec![beta], relu.clone());
                let unit = [range(-1.0, 1.0)];
                let found = ranges_from_statistics(&graph, &unit, 6.0);
                if let Ok(ranges) = found {
                    let Range { min, max } = ranges.of(TensorId::new(1));
                    panic!("{gamma} {beta}: {min} {max}");
                }
            }
        }
    }
}
