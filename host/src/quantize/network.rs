//! The quantized weights of all layers of a network.

use super::{Encodings, LayerWeights, QuantizeError};
use crate::graph::{Graph, NodeId};
use crate::recipe::{LayerOptions, Recipe};

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
