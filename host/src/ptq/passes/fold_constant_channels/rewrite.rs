//! Rows and columns of weights, and how they become zeros.

use crate::graph::{Activation, Graph, Linear, Node, Op};

/// Input channel that each weight of a layer reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// Input channels that one output channel reads, over and over.
    per_row: usize,
    /// Output channels in a group.
    rows_per_group: usize,
    /// Whether a border of zeros is read as well.
    pub(super) padded: bool,
}

impl Columns {
    /// Map of a layer with weights; `None` for other nodes.
    pub(super) fn of(graph: &Graph, node: &Node) -> Option<Columns> {
        let linear = node.op.linear()?;
        let (per_row, groups, padded) = match &node.op {
            Op::Conv2d(conv) => {
                let groups = conv.groups.max(1);
                (conv.in_channels / groups, groups, conv.window.is_padded())
            }
            _ => (graph.tensors[*node.inputs.first()?].channels(), 1, false),
        };
        Some(Columns {
            per_row: per_row.max(1),
            rows_per_group: (linear.out_channels / groups).max(1),
            padded,
        })
    }

    /// The channels that `row` reads, each with the weight that it is read with, over all taps.
    pub(super) fn of_row<'l>(
        self,
        row: usize,
        weights: &'l [f32],
    ) -> impl Iterator<Item = (usize, f32)> + use<'l> {
        let first = row / self.rows_per_group * self.per_row;
        let channels = (first..first + self.per_row).cycle();
        channels.zip(weights.iter().copied())
    }
}

/// Takes the weights off all constants that `linear` reads, with their products in the bias, and tells whether there were any.
///
/// A constant other than 0 stays where a border of zeros is read beside it.
pub(super) fn absorb(linear: &mut Linear, columns: Columns, constants: &[Option<f32>]) -> bool {
    let exact =
        |channel: usize| constants[channel].filter(|&constant| constant == 0.0 || !columns.padded);
    let length = linear.weights_per_channel().max(1);
    let mut absorbed = false;
    let rows = linear.weights.chunks_exact_mut(length).enumerate();
    for ((row, weights), bias) in rows.zip(&mut linear.bias) {
        let first = row / columns.rows_per_group * columns.per_row;
        let mut added = 0.0;
        for (place, weight) in weights.iter_mut().enumerate() {
            if *weight != 0.0
                && let Some(constant) = exact(first + place % columns.per_row)
            {
                added += f64::from(*weight) * f64::from(constant);
                *weight = 0.0;
                absorbed = true;
            }
        }
        *bias = (f64::from(*bias) + added) as f32;
    }
    absorbed
}

/// Makes output channel `row` the constant `bias` before its activation, and tells whether it was anything else.
pub(super) fn empty(linear: &mut Linear, row: usize, bias: f32) -> bool {
    let length = linear.weights_per_channel();
    let weights = &mut linear.weights[row * length..][..length];
    let changed = linear.bias[row] != bias || weights.iter().any(|&weight| weight != 0.0);
    weights.fill(0.0);
    linear.bias[row] = bias;
    if let Some(norm) = &mut linear.folded {
        norm.gamma[row] = 0.0;
        norm.beta[row] = bias;
    }
    changed
}

/// The bias of a channel of which nobody knows whether it is there: 0, or the nearest number that its activation lets through.
pub(super) fn nothing(activation: Option<&Activation>, channel: usize) -> f32 {
    match activation.and_then(|activation| activation.clamp_bounds(channel)) {
        Some((min, max)) => 0.0_f32.max(min).min(max),
        None => 0.0,
    }
}
