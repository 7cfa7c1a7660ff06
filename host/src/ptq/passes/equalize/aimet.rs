//! Equalization as AIMET does it, to compare with.
//!
//! Sets are pairs (convolution, convolution) and triples (convolution, depthwise, convolution) in a chain with nothing but Relu between
//! the layers and no other reader of the tensors; each set is scaled once, in the order of the network. A layer's output that
//! branches, or goes into any other operator, ends a chain.
//! Pair: `s = r1 / sqrt(r1 r2)`. Triple: `t = (r0 r1 r2)^(1/3)`, `s12 = r0 / t`, `s23 = t / r2`.

use super::apply;
use super::classes::{Classes, Sums};
use super::magnitudes::Magnitudes;
use crate::graph::{Activation, Graph, NodeId, Op, TensorId};

/// Equalizes in place and returns how many channels were scaled.
pub(super) fn equalize(graph: &mut Graph) -> usize {
    let mut scaled = 0;
    for set in sets(graph) {
        let classes = Classes::of(graph, Sums::Scaled);
        let mut logs = vec![0.0; classes.free.len()];
        for (tensor, scales) in scales(graph, &set) {
            for (channel, scale) in scales.into_iter().enumerate() {
                // A channel without weights on one side is left alone.
                if let Some(place) = classes.of[tensor][channel]
                    && scale.is_finite()
                    && scale > 0.0
                {
                    logs[place] = libm::log(scale);
                    scaled += 1;
                }
            }
        }
        apply::apply(graph, &classes, &logs);
    }
    scaled
}

/// The sets of layers, each in the order of the network.
fn sets(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut sets = Vec::new();
    for first in graph.nodes.ids() {
        if Conv::of(graph, first) != Some(Conv::Full) {
            continue;
        }
        let Some(second) = next(graph, first) else {
            continue;
        };
        match Conv::of(graph, second) {
            Some(Conv::Full) => sets.push(vec![first, second]),
            Some(Conv::Depthwise) => {
                if let Some(third) = next(graph, second)
                    && Conv::of(graph, third) == Some(Conv::Full)
                {
                    sets.push(vec![first, second, third]);
                }
            }
            None => {}
        }
    }
    sets
}

/// A convolution that its sets may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conv {
    /// Without groups.
    Full,
    /// Depthwise, with one output channel for each input channel.
    Depthwise,
}

impl Conv {
    /// Returns the one of them that node `id` is; `None` for all others.
    fn of(graph: &Graph, id: NodeId) -> Option<Conv> {
        let Op::Conv2d(conv) = &graph.nodes[id].op else {
            return None;
        };
        if conv.groups == 1 {
            Some(Conv::Full)
        } else if conv.is_depthwise() && conv.linear.out_channels == conv.in_channels {
            Some(Conv::Depthwise)
        } else {
            None
        }
    }
}

/// The layer that alone reads the output of `id`, through nothing but a Relu.
fn next(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let node = &graph.nodes[id];
    let chained = matches!(node.activation, None | Some(Activation::Relu));
    graph.sole_consumer(node.output).filter(|_| chained)
}

/// The scales of the tensors between the layers of a set.
fn scales(graph: &Graph, set: &[NodeId]) -> Vec<(TensorId, Vec<f64>)> {
    let magnitudes: Option<Vec<Magnitudes>> = set
        .iter()
        .map(|&id| Magnitudes::of(graph, &graph.nodes[id]))
        .collect();
    let tensor = |place: usize| graph.nodes[set[place]].output;
    match magnitudes.as_deref() {
        Some([first, second]) => {
            let scale = |channel| {
                let (r1, r2) = (first.row(channel, |_| 1.0), second.column(channel, |_| 1.0));
                r1 / (r1 * r2).sqrt()
            };
            vec![(tensor(0), (0..first.rows()).map(scale).collect())]
        }
        Some([first, middle, last]) => {
            let (s12, s23) = (0..first.rows())
                .map(|channel| {
                    let (r0, r2) = (first.row(channel, |_| 1.0), last.column(channel, |_| 1.0));
                    let t = libm::cbrt(r0 * middle.row(channel, |_| 1.0) * r2);
                    (r0 / t, t / r2)
                })
                .unzip();
            vec![(tensor(0), s12), (tensor(1), s23)]
        }
        _ => Vec::new(),
    }
}
