//! Channels that nobody reads.

use super::changes::Changes;
use super::rewrite::{Columns, empty, nothing};
use crate::graph::{Graph, Node, NodeMap, Op, TensorMap};

/// Empties the channels of layers that nobody reads.
pub(super) fn clear(graph: &mut Graph, changes: &mut NodeMap<Changes>) {
    let mut read = graph.tensors.map(|tensor| vec![false; tensor.channels()]);
    for &output in &graph.outputs {
        read[output].fill(true);
    }
    for (id, changes) in changes.enumerate_mut().rev() {
        let node = &mut graph.nodes[id];
        let output = read[node.output].clone();
        if let Some(linear) = node.op.linear_mut() {
            for (row, _) in output.iter().enumerate().filter(|&(_, &read)| !read) {
                if empty(linear, row, nothing(node.activation.as_ref(), row)) {
                    changes.row(row, output.len());
                }
            }
        }
        mark(graph, &graph.nodes[id], &output, &mut read);
    }
}

/// Marks what `node` reads, given which channels of its output are read.
fn mark(graph: &Graph, node: &Node, output: &[bool], read: &mut TensorMap<Vec<bool>>) {
    let any = output.contains(&true);
    if let (Some(columns), Some(linear)) = (Columns::of(graph, node), node.op.linear()) {
        let read = &mut read[node.inputs[0]];
        for (row, weights) in linear.rows().enumerate() {
            for (channel, _) in columns.of_row(row, weights).filter(|&(_, w)| w != 0.0) {
                read[channel] = true;
            }
        }
        return;
    }
    let mut first = 0;
    for (place, &input) in node.inputs.iter().enumerate() {
        let read = &mut read[input];
        let channels = read.len();
        match &node.op {
            Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min if place == 1 => {
                for (channel, &is_read) in output.iter().enumerate() {
                    read[channel % channels] |= is_read;
                }
            }
            Op::Reshape => {
                for element in 0..graph.tensors[node.output].elements() {
                    read[element % channels] |= output[element % output.len()];
                }
            }
            Op::Transpose { perm } if perm.last().is_some_and(|&last| last + 1 != perm.len()) => {
                read.iter_mut().for_each(|read| *read |= any);
            }
            Op::Softmax => read.iter_mut().for_each(|read| *read |= any),
            Op::Concat { axis } if axis + 1 == graph.tensors[input].shape.len() => {
                join(read, &output[first..]);
                first += channels;
            }
            Op::Pad { before, .. } => join(read, &output[before.last().copied().unwrap_or(0)..]),
            _ => join(read, output),
        }
    }
}

fn join(read: &mut [bool], also: &[bool]) {
    for (read, also) in read.iter_mut().zip(also) {
        *read |= also;
    }
}
