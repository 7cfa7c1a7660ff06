//! Random single-operator models, reproducible from a seed.
//!
//! The aim is not what a converter would write but everything that the format allows: odd tails, extreme zero points and
//! values, biases at the accumulator's bound, multipliers 0 and 2^31 - 1, windows that see more border than input, outputs over
//! their inputs. All choices come from ChaCha8, so that a seed gives the same layer on every machine, or from
//! a list that can be shrunk.

mod movement;
mod numbers;
mod pointwise;
mod weighted;
mod window;

pub use numbers::Numbers;

use crate::layer::Layer;
use fewbit_runtime::format::program::{Clamp, Op, Requant, TensorIndex};

/// The operators, with how many of 100 layers each of them gets.
pub const SHARES: [(&str, u64); 16] = [
    ("conv_2d", 22),
    ("depthwise_conv_2d", 16),
    ("fully_connected", 12),
    ("max_pool", 6),
    ("average_pool", 9),
    ("add", 8),
    ("mul", 6),
    ("lut", 2),
    ("softmax", 4),
    ("reshape", 1),
    ("transpose", 3),
    ("concat", 3),
    ("pad", 3),
    ("constant", 1),
    ("max", 2),
    ("min", 2),
];

/// A random layer and the features that it has, for counting what was met.
#[derive(Clone, Debug)]
pub struct RandomLayer {
    /// Name of the operator, out of [`SHARES`].
    pub operator: &'static str,
    /// The model.
    pub layer: Layer,
    /// Special cases that the layer is one of, such as `"int4"` or `"in place"`.
    pub features: Vec<&'static str>,
}

/// Parts of a layer that a generator of one operator fills.
struct Draft {
    layer: Layer,
    features: Vec<&'static str>,
    /// Operands whose place the output may take.
    in_place: Vec<TensorIndex>,
}

impl Draft {
    fn feature(&mut self, name: &'static str, met: bool) {
        if met {
            self.features.push(name);
        }
    }
}

/// The layer of a seed.
///
/// The operator follows from `seed % 100` by [`SHARES`], so that a range of seeds has a fixed mixture.
#[must_use]
pub fn random_layer(seed: u64) -> RandomLayer {
    of_share(seed % 100, &mut Numbers::new(seed))
}

/// The layer of a list of choices, of which the first is the operator; a shorter list, or one of smaller numbers, gives a simpler layer.
#[must_use]
pub fn layer_from_list(choices: &[u64]) -> RandomLayer {
    let mut numbers = Numbers::from_list(choices);
    let share = numbers.range(0, 99);
    of_share(share.unsigned_abs(), &mut numbers)
}

fn of_share(mut share: u64, n: &mut Numbers) -> RandomLayer {
    let mut operator = SHARES[0].0;
    for (name, of_100) in SHARES {
        operator = name;
        if share < of_100 {
            break;
        }
        share -= of_100;
    }
    let mut draft = Draft {
        layer: Layer::default(),
        features: Vec::new(),
        in_place: Vec::new(),
    };
    match operator {
        "conv_2d" => weighted::conv_2d(n, &mut draft),
        "depthwise_conv_2d" => weighted::depthwise_conv_2d(n, &mut draft),
        "fully_connected" => weighted::fully_connected(n, &mut draft),
        "max_pool" => window::max_pool(n, &mut draft),
        "average_pool" => window::average_pool(n, &mut draft),
        "add" => pointwise::add(n, &mut draft),
        "mul" => pointwise::mul(n, &mut draft),
        "lut" => pointwise::lut(n, &mut draft),
        "softmax" => pointwise::softmax(n, &mut draft),
        "reshape" => movement::reshape(n, &mut draft),
        "transpose" => movement::transpose(n, &mut draft),
        "concat" => movement::concat(n, &mut draft),
        "pad" => movement::pad(n, &mut draft),
        "max" => pointwise::extremum(n, &mut draft, Op::Max),
        "min" => pointwise::extremum(n, &mut draft, Op::Min),
        _ => movement::constant(n, &mut draft),
    }
    note_common(&mut draft);
    place(n, &mut draft, operator);
    RandomLayer {
        operator,
        layer: draft.layer,
        features: draft.features,
    }
}

/// The features that any operator can have: extreme zero points, and those of its requantization.
fn note_common(draft: &mut Draft) {
    let layer = &draft.layer;
    let Some(op) = layer.program.ops.last() else {
        return;
    };
    let zero_points: Vec<i8> = layer
        .program
        .tensors
        .iter()
        .map(|tensor| tensor.zero_point)
        .collect();
    let mut met = vec![
        ("zero_point -128", zero_points.contains(&-128)),
        ("zero_point 127", zero_points.contains(&127)),
    ];
    if let Some((requant, multipliers, channels)) = requant_of(op, layer) {
        let first = requant.multipliers.get() as usize;
        let multipliers = &layer.params[first..first + multipliers];
        met.push(("multiplier 0", multipliers.contains(&0)));
        met.push(("multiplier 1", multipliers.contains(&1)));
        met.push(("multiplier 2^31 - 1", multipliers.contains(&i32::MAX)));
        let is_single = match requant.clamp {
            Clamp::PerTensor { min, max } => min == max,
            Clamp::PerChannel { offset } => {
                let pairs = offset.slice(&layer.weights, 2 * channels).expect("pairs");
                pairs.chunks(2).any(|pair| pair[0] == pair[1])
            }
        };
        met.push(("a range of one value", is_single));
        met.push((
            "a range per channel",
            matches!(requant.clamp, Clamp::PerChannel { .. }),
        ));
    }
    for (name, met) in met {
        draft.feature(name, met);
    }
}

/// The requantization of an operator, with its number of multipliers and of channels.
fn requant_of<'l>(op: &'l Op, layer: &Layer) -> Option<(&'l Requant, usize, usize)> {
    let channels = |tensor: TensorIndex| usize::from(layer.program.tensors[usize::from(tensor)].c);
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => {
            Some((&op.requant, channels(op.output), channels(op.output)))
        }
        Op::FullyConnected(op) => Some((&op.requant, channels(op.output), channels(op.output))),
        Op::AveragePool(op) => Some((&op.requant, 1, channels(op.output))),
        Op::Mul(op) => Some((&op.requant, 1, channels(op.output))),
        _ => None,
    }
}

/// Random places: any order, gaps of a few bytes, sometimes the output over an operand.
fn place(n: &mut Numbers, draft: &mut Draft, operator: &str) {
    let layer = &mut draft.layer;
    let tensors = layer.program.tensors.len();
    let output = usize::from(layer.program.outputs[0].tensor);
    let mut shared = Vec::new();
    let over = draft.in_place.len();
    if over > 0 && (operator == "reshape" || n.chance(40)) {
        let operand = draft.in_place[n.index(over)];
        shared.push((layer.program.outputs[0].tensor, operand));
        draft.features.push("in place");
    }
    let mut blocks: Vec<usize> = (0..tensors + layer.program.ops.len()).collect();
    if !shared.is_empty() {
        blocks.retain(|&block| block != output);
    }
    for last in (1..blocks.len()).rev() {
        blocks.swap(last, n.index(last + 1));
    }
    let order: Vec<(usize, u32)> = blocks
        .into_iter()
        .map(|block| {
            (
                block,
                if n.chance(50) {
                    0
                } else {
                    n.range(0, 19) as u32
                },
            )
        })
        .collect();
    layer.place(&order, &shared);
}
