//! The fake-quantized simulation: the float graph on the grid of the integers.
//!
//! Weights are replaced by what their integers stand for, and every tensor is rounded to its encoding as it is produced
//! ([`Encodings::fake_quantize`](super::Encodings::fake_quantize), called from the executor's hook). Arithmetic is still float: what the
//! integer engine adds to this is only its requantization.

use super::NetworkWeights;
use crate::graph::Graph;

/// A copy of `graph` with the quantized weights and corrected biases.
pub fn simulation_graph(graph: &Graph, weights: &NetworkWeights) -> Graph {
    let mut simulated = graph.clone();
    for (id, node) in simulated.nodes.enumerate_mut() {
        if let (Some(linear), Some(layer)) = (node.op.linear_mut(), weights.of(id)) {
            linear.weights = layer.dequantized();
            linear.bias = layer.real_bias();
        }
    }
    simulated
}
