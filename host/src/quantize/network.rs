//! A quantized network.

use super::{Encodings, LayerWeights, QuantizeError};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::recipe::{LayerOptions, Recipe, WeightBits};

/// A quantized network: a float graph, and the integers that stand for its tensors and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The float network, folded and fused.
    pub graph: Graph,
    /// Encoding of each of its tensors.
    pub encodings: Encodings,
    /// The integers of its layers.
    pub weights: NetworkWeights,
}

impl Network {
    /// Bytes of all weights as a blob stores them: rows of 4-bit weights, or of a depthwise convolution's taps, begin at whole bytes.
    pub fn weight_bytes(&self) -> usize {
        let bytes = |(id, node): (NodeId, &Node)| {
            let layer = self.weights.of(id)?;
            let rows = match &node.op {
                Op::Conv2d(conv) if conv.is_depthwise() => conv.linear.weights_per_channel(),
                _ => layer.scales.len(),
            };
            let row = layer.values.len() / rows.max(1);
            Some(match layer.options.bits {
                WeightBits::Int8 => layer.values.len(),
                WeightBits::Int4 => rows * row.div_ceil(2),
            })
        };
        self.graph.nodes.iter().enumerate().filter_map(bytes).sum()
    }
}

/// The quantized weights of every convolution and fully connected layer of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkWeights(Vec<Option<LayerWeights>>);

impl NetworkWeights {
    /// All layers rounded to nearest, as `recipe` says for each.
    ///
    /// # Errors
    /// Weights that are not finite.
    pub fn nearest(
        graph: &Graph,
        encodings: &Encodings,
        recipe: &Recipe,
    ) -> Result<NetworkWeights, QuantizeError> {
        let layer = |node: &crate::graph::Node| {
            let (Some(linear), Some(&input)) = (node.op.linear(), node.inputs.first()) else {
                return Ok(None);
            };
            let options: LayerOptions = recipe.layer(&node.name);
            LayerWeights::nearest(node, linear, options.weights, encodings.of(input)).map(Some)
        };
        graph
            .nodes
            .iter()
            .map(layer)
            .collect::<Result<_, _>>()
            .map(NetworkWeights)
    }

    /// The weights of node `id`; `None` where it has none.
    pub fn of(&self, id: NodeId) -> Option<&LayerWeights> {
        self.0[id].as_ref()
    }

    /// As [`NetworkWeights::of`], to change them.
    pub fn of_mut(&mut self, id: NodeId) -> Option<&mut LayerWeights> {
        self.0[id].as_mut()
    }
}
