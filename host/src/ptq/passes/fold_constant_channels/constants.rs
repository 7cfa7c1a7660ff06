//! Which channels are constant, and the layers without them.

use super::changes::{Changes, NEGLIGIBLE, ROUNDING};
use super::rewrite::{Columns, absorb, empty};
use crate::graph::{Activation, Graph, Linear, Node, NodeMap, Op, TensorMap};
use crate::ptq::statistics::{Channel, Interval};

/// Rewrites all layers that have constant channels or read some. `bounds` are those of the graph's tensors.
pub(super) fn fold(
    graph: &mut Graph,
    bounds: &TensorMap<Vec<Channel>>,
    changes: &mut NodeMap<Changes>,
) {
    let mut known = bounds.map(|tensor| vec![None; tensor.len()]);
    // Of what layers put out, closer bounds than the tensors' own.
    let mut found = bounds.map(|_| Vec::new());
    for (id, changes) in changes.enumerate_mut() {
        let output = graph.nodes[id].output;
        let Some(columns) = Columns::of(graph, &graph.nodes[id]) else {
            known[output] = moved(graph, &graph.nodes[id], &known, &found)
                .into_iter()
                .zip(&bounds[output])
                .map(|(constant, bound)| constant.or(point(bound.hard)))
                .collect();
            continue;
        };
        let input = graph.nodes[id].inputs[0];
        let within = |channel: usize| match known[input][channel] {
            Some(constant) => at(constant),
            None => bounds[input][channel].likely,
        };
        let node = &mut graph.nodes[id];
        let activation = node.activation.as_ref();
        let Some(linear) = node.op.linear_mut() else {
            continue;
        };
        changes.columns = absorb(linear, columns, &known[input]);
        let unit = unit(&bounds[output]);
        let mut constants = vec![None; linear.out_channels];
        for (row, value) in constants.iter_mut().enumerate() {
            let before = interval(linear, row, columns, within);
            let constant = Constant::of(before, activation, row, unit);
            if let Some(constant) = constant
                && empty(linear, row, constant.bias)
            {
                changes.row(row, linear.out_channels);
            }
            found[output].push(behind(activation, row, before).unwrap_or(Interval::ALL));
            *value = constant.map(|constant| constant.value);
        }
        known[output] = constants;
    }
}

/// A channel's constant.
#[derive(Clone, Copy, Debug)]
struct Constant {
    /// Behind the activation.
    value: f32,
    /// Before it.
    bias: f32,
}

impl Constant {
    /// A value that the activation leaves as it is, being one of its own.
    fn plain(value: f32) -> Constant {
        Constant { value, bias: value }
    }

    /// Of a channel within `before`, before its activation; `unit` is the size of the largest channel beside it.
    fn of(
        before: Interval,
        activation: Option<&Activation>,
        channel: usize,
        unit: f64,
    ) -> Option<Constant> {
        match behind(activation, channel, before) {
            Some(behind) => constant(behind, unit).map(Constant::plain),
            None => constant(before, 0.0).map(|bias| Constant {
                value: activation.map_or(bias, |function| function.apply(channel, bias)),
                bias,
            }),
        }
    }
}

/// The number that all of `interval` is, in single precision or beside `unit`.
fn constant(interval: Interval, unit: f64) -> Option<f32> {
    let magnitude = interval.low.abs().max(interval.high.abs());
    if interval.low != interval.high && magnitude <= NEGLIGIBLE * unit {
        return Some(0.0);
    }
    let narrow = interval.high - interval.low <= ROUNDING * magnitude;
    narrow.then_some(((interval.low + interval.high) / 2.0) as f32)
}

fn at(value: f32) -> Interval {
    Interval::new(value.into(), value.into())
}

fn point(interval: Interval) -> Option<f32> {
    (interval.low == interval.high).then_some(interval.low as f32)
}

/// `interval` behind an activation that is a clamp, or none.
fn behind(activation: Option<&Activation>, channel: usize, interval: Interval) -> Option<Interval> {
    let Some(activation) = activation else {
        return Some(interval);
    };
    let (min, max) = activation.clamp_bounds(channel)?;
    let bounds = Interval::new(min.into(), max.into());
    Some(Interval::new(
        bounds.nearest(interval.low),
        bounds.nearest(interval.high),
    ))
}

/// The size of a tensor's values: mean and standard deviation of its largest channel.
fn unit(channels: &[Channel]) -> f64 {
    let size = |channel: &Channel| channel.mean.abs() + channel.variance.sqrt();
    channels.iter().map(size).fold(0.0, f64::max)
}

/// Interval of one output channel of a layer before its activation, given the intervals `within` of its inputs.
fn interval(
    linear: &Linear,
    row: usize,
    columns: Columns,
    within: impl Fn(usize) -> Interval,
) -> Interval {
    let length = linear.weights_per_channel();
    let bias = at(linear.bias[row]);
    let weights = &linear.weights[row * length..][..length];
    let products = columns.of_row(row, weights);
    products
        .filter(|&(_, weight)| weight != 0.0)
        .map(|(channel, weight)| match columns.padded {
            true => within(channel).union(at(0.0)).scaled(weight.into()),
            false => within(channel).scaled(weight.into()),
        })
        .fold(bias, Interval::plus)
}

/// Constants that a node without weights hands on or makes, behind its activation.
fn moved(
    graph: &Graph,
    node: &Node,
    known: &TensorMap<Vec<Option<f32>>>,
    found: &TensorMap<Vec<Interval>>,
) -> Vec<Option<f32>> {
    let shape = &graph.tensors[node.output].shape;
    let count = graph.tensors[node.output].channels();
    let first = node.inputs.first().map_or(&[][..], |&input| &known[input]);
    let pairwise = |combine: fn(f32, f32) -> f32, by_zero: bool| -> Vec<Option<f32>> {
        let second = &known[node.inputs[1]];
        let pair = |(channel, &a): (usize, &Option<f32>)| {
            let b = second[channel % second.len().max(1)];
            let zero = by_zero && (a == Some(0.0) || b == Some(0.0));
            let both = a.zip(b).map(|(a, b)| combine(a, b));
            if zero { Some(0.0) } else { both }
        };
        first.iter().enumerate().map(pair).collect()
    };
    let before = match &node.op {
        Op::Activation(function) => {
            let found = &found[node.inputs[0]];
            let applied = |(channel, &constant): (usize, &Option<f32>)| {
                let cut = || point(behind(Some(function), channel, *found.get(channel)?)?);
                let applied = constant.map(|constant| function.apply(channel, constant));
                applied.or_else(cut)
            };
            first.iter().enumerate().map(applied).collect()
        }
        Op::Add => pairwise(|a, b| a + b, false),
        Op::Sub => pairwise(|a, b| a - b, false),
        Op::Mul => pairwise(|a, b| a * b, true),
        Op::Max => pairwise(f32::max, false),
        Op::Min => pairwise(f32::min, false),
        Op::MaxPool(_) => first.to_vec(),
        Op::AveragePool {
            window,
            count_include_pad,
        } => {
            let zeros = *count_include_pad && window.is_padded();
            let kept = |&constant: &Option<f32>| constant.filter(|&c| c == 0.0 || !zeros);
            first.iter().map(kept).collect()
        }
        Op::Reshape => {
            let elements = graph.tensors[node.output].elements();
            let pairs =
                (0..elements).map(|element| (element % count, first[element % first.len()]));
            shared(count, pairs)
        }
        Op::Transpose { perm } if perm.last().is_none_or(|&last| last + 1 == perm.len()) => {
            first.to_vec()
        }
        Op::Transpose { .. } => {
            let pairs = first
                .iter()
                .flat_map(|&c| (0..count).map(move |channel| (channel, c)));
            shared(count, pairs)
        }
        Op::Concat { axis } => {
            let inputs = node.inputs.iter().map(|&input| &known[input]);
            if axis + 1 == shape.len() {
                inputs.flatten().copied().collect()
            } else {
                shared(
                    count,
                    inputs.flat_map(|input| input.iter().copied().enumerate()),
                )
            }
        }
        Op::Pad {
            before,
            after,
            value,
        } => {
            let last = shape.len().saturating_sub(1);
            let border = before[..last]
                .iter()
                .chain(&after[..last])
                .any(|&pad| pad > 0);
            let kept = |&constant: &Option<f32>| constant.filter(|c| c == value || !border);
            let pads = |pads: &[usize]| vec![Some(*value); pads.get(last).copied().unwrap_or(0)];
            let mut output = pads(before);
            output.extend(first.iter().map(kept));
            output.extend(pads(after));
            output
        }
        // A constant's own channels are known by their bounds; a softmax is none, and a BatchNorm has become a layer.
        _ => vec![None; count],
    };
    let through = |(channel, constant): (usize, Option<f32>)| match &node.activation {
        Some(function) => constant.map(|constant| function.apply(channel, constant)),
        None => constant,
    };
    before.into_iter().enumerate().map(through).collect()
}

/// Channels whose elements are all the same constant; `elements` are given with the channel that they go to.
fn shared(count: usize, elements: impl Iterator<Item = (usize, Option<f32>)>) -> Vec<Option<f32>> {
    let mut channels: Vec<Option<Option<f32>>> = vec![None; count];
    for (channel, element) in elements {
        let so_far = channels[channel].unwrap_or(element);
        channels[channel] = Some(so_far.filter(|_| so_far == element));
    }
    channels.into_iter().map(Option::flatten).collect()
}
