//! Equalization as AIMET does it, to compare with.
//!
//! Sets are pairs (convolution, convolution) and triples (convolution, depthwise, convolution) in a chain with nothing but Relu between
//! the layers and no other reader of the tensors; each set is scaled once, in the order of the network. A layer's output that
//! branches, or goes into any other operator, ends a chain.
//! Pair: `s = r1 / sqrt(r1 r2)`. Triple: `t = (r0 r1 r2)^(1/3)`, `s12 = r0 / t`, `s23 = t / r2`.

use super::apply;
use super::classes::{Classes, Sums};
use super::magnitudes::Magnitudes;
use crate::graph::{Activation, Graph, NodeId, Op};

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
    for first in 0..graph.nodes.len() {
        if !is_conv(graph, first, false) {
            continue;
        }
        match next(graph, first) {
            Some(second) if is_conv(graph, second, false) => sets.push(vec![first, second]),
            Some(second) if is_conv(graph, second, true) => {
                if let Some(third) = next(graph, second)
                    && is_conv(graph, third, false)
                {
                    sets.push(vec![first, second, third]);
                }
            }
            _ => {}
        }
    }
    sets
}

fn is_conv(graph: &Graph, id: NodeId, depthwise: bool) -> bool {
    match &graph.nodes[id].op {
        Op::Conv2d(conv) if depthwise => {
            conv.is_depthwise() && conv.linear.out_channels == conv.in_channels
        }
        Op::Conv2d(conv) => conv.groups == 1,
        _ => false,
    }
}

/// The layer that alone reads the output of `id`, through nothing but a Relu.
fn next(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let node = &graph.nodes[id];
    let chained = matches!(node.activation, None | Some(Activation::Relu));
    graph.sole_consumer(node.output).filter(|_| chained)
}

/// The scales of the tensors between the layers of a set.
fn scales(graph: &Graph, set: &[NodeId]) -> Vec<(usize, Vec<f64>)> {
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
