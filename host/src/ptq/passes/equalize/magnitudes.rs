//! Magnitudes of the weights between input and output channels.

use crate::graph::{Graph, Node, Op};

/// Largest `|weight|` from each input channel to each output channel of a layer, over the taps of its window.
#[derive(Clone, Debug)]
pub(super) struct Magnitudes {
    /// `[out][in / groups]`.
    values: Vec<f64>,
    /// Input channels that one output channel reads.
    per_row: usize,
    /// Output channels in a group.
    rows_per_group: usize,
    rows: usize,
}

impl Magnitudes {
    /// Magnitudes of a layer with weights; `None` for other nodes.
    pub(super) fn of(graph: &Graph, node: &Node) -> Option<Magnitudes> {
        let linear = node.op.linear()?;
        let (per_row, groups) = match &node.op {
            Op::Conv2d(conv) => (conv.in_channels / conv.groups.max(1), conv.groups.max(1)),
            _ => (graph.tensors[node.inputs[0]].channels(), 1),
        };
        let mut values = vec![0.0_f64; linear.out_channels * per_row];
        for (row, found) in linear.rows().zip(values.chunks_exact_mut(per_row)) {
            for (place, weight) in row.iter().enumerate() {
                let found = &mut found[place % per_row];
                *found = found.max(f64::from(weight.abs()));
            }
        }
        Some(Magnitudes {
            values,
            per_row,
            rows_per_group: linear.out_channels / groups,
            rows: linear.out_channels,
        })
    }

    /// All magnitudes, `[out][in / groups]`.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The largest of all.
    pub(super) fn largest(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// Input channels that one output channel reads.
    pub(super) fn per_row(&self) -> usize {
        self.per_row
    }

    /// Output channels in a group.
    pub(super) fn rows_per_group(&self) -> usize {
        self.rows_per_group
    }

    /// Number of output channels.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Largest magnitude of the weights of output channel `row`, each times `scale` of its input channel.
    pub(super) fn row(&self, row: usize, scale: impl Fn(usize) -> f64) -> f64 {
        let first = row / self.rows_per_group * self.per_row;
        self.values[row * self.per_row..][..self.per_row]
            .iter()
            .enumerate()
            .fold(0.0, |largest, (place, value)| {
                largest.max(value * scale(first + place))
            })
    }

    /// Largest magnitude of the weights that read input channel `column`, each times `scale` of its output channel.
    pub(super) fn column(&self, column: usize, scale: impl Fn(usize) -> f64) -> f64 {
        let (group, place) = (column / self.per_row, column % self.per_row);
        let first = group * self.rows_per_group;
        (first..first + self.rows_per_group).fold(0.0, |largest, row| {
            largest.max(self.values[row * self.per_row + place] * scale(row))
        })
    }
}
