//! High-bias absorption: what a channel never falls below moves on.
//!
//! After equalization a channel may lie far from zero, so that its tensor's range is wide and its steps coarse. Where almost all values of
//! a channel behind a Relu are above `c`, `c = max(0, beta - 3 |gamma|)` can be taken off the channel and its products added to the
//! next layer's bias: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.1.3.
//!
//! That is exact but for values below `c`, one in 740 of a normal distribution, and only where the next layer reads no padding, which
//! would be 0 and not `-c`: layers that pad are left alone. A tensor keeps its absorption only if that narrows its range as the
//! statistics tell it.

use super::{Pass, PassReport};
use crate::graph::{Activation, BatchNorm, Graph, GraphError, NodeId, Op};

/// Absorbs high biases where that narrows a range.
#[derive(Clone, Copy, Debug, Default)]
pub struct AbsorbHighBias;

/// Standard deviations between the mean of a channel and its assumed lower end.
const DEVIATIONS: f32 = 3.0;

/// A range has to become this much narrower.
const WORTH: f32 = 0.99;

impl Pass for AbsorbHighBias {
    fn name(&self) -> &'static str {
        "absorb-high-bias"
    }

    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError> {
        let mut report = PassReport {
            pass: self.name(),
            changed: 0,
            notes: Vec::new(),
        };
        for id in graph.nodes.ids() {
            let Some((consumer, amounts)) = amounts(graph, id) else {
                continue;
            };
            absorb(graph, id, consumer, &amounts);
            report.changed += 1;
            let channels = amounts.iter().filter(|&&amount| amount > 0.0).count();
            report.notes.push(format!(
                "`{}`: the bias of {channels} channels went into `{}`",
                graph.nodes[id].name, graph.nodes[consumer].name
            ));
        }
        Ok(report)
    }
}

/// Absorbable part of each channel of node `id`, and the layer that reads it; `None` if nothing is gained.
fn amounts(graph: &Graph, id: NodeId) -> Option<(NodeId, Vec<f32>)> {
    let node = &graph.nodes[id];
    let norm = node.op.linear()?.folded.as_ref()?;
    let consumer = graph.sole_consumer(node.output)?;
    let unpadded = match &graph.nodes[consumer].op {
        Op::Conv2d(conv) => !conv.window.is_padded(),
        Op::FullyConnected(_) => true,
        _ => false,
    };
    let activation = node.activation.as_ref()?;
    let limits: Option<Vec<f32>> = (0..norm.channels())
        .map(|channel| match activation.clamp_bounds(channel) {
            Some((0.0, max)) => Some(max),
            _ => None,
        })
        .collect();
    let limits = limits.filter(|_| unpadded)?;
    // A channel that a clip holds at its limit is a constant: more than all of it cannot go.
    let amounts: Vec<f32> = (0..norm.channels())
        .map(|channel| norm.beta[channel] - DEVIATIONS * norm.gamma[channel].abs())
        .zip(&limits)
        .map(|(amount, &limit)| amount.max(0.0).min(limit))
        .collect();
    let after = upper_end(norm, &limits, |channel| amounts[channel]);
    (after < WORTH * upper_end(norm, &limits, |_| 0.0)).then_some((consumer, amounts))
}

/// Upper end of a tensor's range by its statistics and its clip, with something subtracted from each channel.
fn upper_end(norm: &BatchNorm, limits: &[f32], less: impl Fn(usize) -> f32) -> f32 {
    (0..norm.channels())
        .map(|channel| {
            let end = norm.beta[channel] + DEVIATIONS * norm.gamma[channel].abs();
            end.min(limits[channel]) - less(channel)
        })
        .fold(0.0, f32::max)
}

fn absorb(graph: &mut Graph, producer: NodeId, consumer: NodeId, amounts: &[f32]) {
    let node = &mut graph.nodes[producer];
    if let Some(linear) = node.op.linear_mut() {
        let norm = linear.folded.iter_mut().flat_map(|norm| &mut norm.beta);
        norm.zip(amounts).for_each(|(beta, amount)| *beta -= amount);
        let bias = linear.bias.iter_mut().zip(amounts);
        bias.for_each(|(bias, amount)| *bias -= amount);
    }
    // The upper bound of a clip goes down with the channel.
    if let Some(activation) = &mut node.activation
        && *activation != Activation::Relu
    {
        let (min, max) = (0..amounts.len())
            .map(|channel| {
                let (min, max) = activation
                    .clamp_bounds(channel)
                    .unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
                (min, max - amounts[channel])
            })
            .unzip();
        *activation = Activation::ClipPerChannel { min, max };
    }
    let (per_row, groups) = match &graph.nodes[consumer].op {
        Op::Conv2d(conv) => (conv.in_channels / conv.groups.max(1), conv.groups.max(1)),
        _ => (amounts.len(), 1),
    };
    let Some(linear) = graph.nodes[consumer].op.linear_mut() else {
        return;
    };
    let rows_per_group = linear.out_channels / groups;
    let added: Vec<f64> = linear
        .rows()
        .enumerate()
        .map(|(row, weights)| {
            let first = row / rows_per_group * per_row;
            weights
                .iter()
                .enumerate()
                .map(|(place, &weight)| {
                    f64::from(weight) * f64::from(amounts[first + place % per_row])
                })
                .sum()
        })
        .collect();
    for (bias, added) in linear.bias.iter_mut().zip(added) {
        *bias = (f64::from(*bias) + added) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;
    use crate::graph::{Conv2d, Linear, TensorId, Window};
    use crate::testing::{Sequence, assert_close, graph_of, push};

    /// conv 1x1 2->2, activation, conv `kernel` 2->1 with `padding`; means 10 and 0, deviations 1.
    fn chain(activation: Activation, padding: usize, beta: [f32; 2]) -> Graph {
        let mut graph = graph_of(&[&[4, 4, 2]]);
        let mut window = Window::new([3, 3]);
        window.pad_before = [padding; 2];
        window.pad_after = [padding; 2];
        let conv = |linear, window| {
            Op::Conv2d(Conv2d {
                linear,
                in_channels: 2,
                groups: 1,
                window,
            })
        };
        let first = Linear {
            weights: vec![1.0, 0.0, 0.0, 1.0],
            bias: beta.to_vec(),
            out_channels: 2,
            folded: Some(BatchNorm {
                gamma: vec![1.0; 2],
                beta: beta.to_vec(),
                mean: vec![0.0; 2],
                variance: vec![1.0; 2],
                epsilon: 1e-3,
            }),
        };
        let second = Linear {
            weights: Sequence::new(1).values(18, -1.0, 1.0),
            bias: vec![0.5],
            out_channels: 1,
            folded: None,
        };
        let between = push(
            &mut graph,
            conv(first, Window::new([1, 1])),
            &[TensorId::new(0)],
            &[],
        );
        graph.nodes[NodeId::new(0)].activation = Some(activation);
        push(&mut graph, conv(second, window), &[between], &[]);
        graph.validate().expect("sound");
        graph
    }

    /// The output for inputs within 3 deviations, and the largest value of the tensor in between.
    fn run(graph: &Graph) -> (Vec<f32>, f32) {
        let input = Sequence::new(2).values(64, -2.9, 2.9);
        let mut largest = 0.0_f32;
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            if tensor == graph.nodes[NodeId::new(0)].output {
                largest = values
                    .iter()
                    .fold(largest, |largest, &value| largest.max(value));
            }
        };
        let executor = Executor::new(graph).expect("runs");
        (executor.run(&input, 2, &mut hook).expect("runs"), largest)
    }

    #[test]
    fn a_high_bias_moves_on_and_the_range_shrinks() {
        for activation in [
            Activation::Relu,
            Activation::Clip {
                min: 0.0,
                max: 12.0,
            },
        ] {
            let before = chain(activation, 0, [10.0, 0.0]);
            let mut after = before.clone();
            let report = AbsorbHighBias.run(&mut after).expect("runs");
            assert_eq!(report.changed, 1);
            after.validate().expect("still sound");
            let ((expected, wide), (found, narrow)) = (run(&before), run(&after));
            assert_close(&found, &expected, 1e-4);
            assert!(wide > 10.0 && narrow < 6.0, "{wide} {narrow}");
        }
    }

    #[test]
    fn a_channel_beyond_its_clip_gives_no_more_than_the_clip() {
        // Mean 20, deviation 1, clipped at 6: the channel is the constant 6.
        let clip = Activation::Clip { min: 0.0, max: 6.0 };
        let before = chain(clip, 0, [20.0, 0.0]);
        let mut after = before.clone();
        assert_eq!(
            AbsorbHighBias.run(&mut after).expect("runs").changed,
            1,
            "the other channel's range is what is left"
        );
        after.validate().expect("still sound");
        let activation = after.nodes[NodeId::new(0)]
            .activation
            .as_ref()
            .expect("clipped");
        for channel in 0..2 {
            let (min, max) = activation.clamp_bounds(channel).expect("clipped");
            assert!(min <= max, "{min} > {max}");
        }
        assert_close(&run(&after).0, &run(&before).0, 1e-4);
    }

    #[test]
    fn nothing_moves_where_nothing_is_gained_or_padding_would_show() {
        for (padding, beta) in [(1, [10.0, 0.0]), (0, [2.0, 1.0])] {
            let before = chain(Activation::Relu, padding, beta);
            let mut after = before.clone();
            let report = AbsorbHighBias.run(&mut after).expect("runs");
            assert_eq!(report.changed, 0);
            assert_eq!(after, before);
        }
    }
}
