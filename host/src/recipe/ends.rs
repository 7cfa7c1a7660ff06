//! The first and the last layers of a network, which often need more bits.

use super::{LayerOverride, Recipe};
use crate::graph::{Graph, NodeId};
use std::borrow::Cow;

/// Layers with weights that no such layer comes before, and those that none comes behind, in the graph's order.
pub(crate) fn first_and_last(graph: &Graph) -> Vec<NodeId> {
    let layer = |id: NodeId| graph.nodes[id].op.linear().is_some();
    // Nodes are in topological order.
    let mut before = graph.tensors.map(|_| false);
    let mut behind = graph.tensors.map(|_| false);
    let (mut first, mut last) = (graph.nodes.map(|_| false), graph.nodes.map(|_| false));
    for (id, node) in graph.nodes.enumerate() {
        let found = node.inputs.iter().any(|&input| before[input]);
        first[id] = layer(id) && !found;
        before[node.output] = found || layer(id);
    }
    for (id, node) in graph.nodes.enumerate().rev() {
        let found = behind[node.output];
        last[id] = layer(id) && !found;
        for &input in &node.inputs {
            behind[input] |= found || layer(id);
        }
    }
    let ends = graph.nodes.ids();
    ends.filter(|&id| first[id] || last[id]).collect()
}

impl Recipe {
    /// The recipe with [`first_and_last`](super::WeightOptions::first_and_last) spelled out for the layers of `graph`; overrides still win.
    pub(crate) fn with_ends_of<'r>(&'r self, graph: &Graph) -> Cow<'r, Recipe> {
        let Some(bits) = self.weights.first_and_last else {
            return Cow::Borrowed(self);
        };
        let mut recipe = self.clone();
        let ends = first_and_last(graph).into_iter().map(|id| LayerOverride {
            layers: graph.nodes[id].name.clone(),
            bits: Some(bits),
            ..LayerOverride::default()
        });
        recipe.overrides = ends.chain(recipe.overrides).collect();
        Cow::Owned(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::import::ImportOptions;
    use crate::recipe::WeightBits;

    #[test]
    fn the_ends_of_a_chain_are_its_first_and_its_last_layer() {
        let graph = default_model::graph(&ImportOptions::default()).expect("imports");
        let layers: Vec<NodeId> = graph
            .nodes
            .ids()
            .filter(|&id| graph.nodes[id].op.linear().is_some())
            .collect();
        let ends = [layers[0], layers[layers.len() - 1]];
        assert_eq!(first_and_last(&graph), ends);

        let recipe = Recipe::from_toml(&format!(
            "[weights]\nbits = \"int4\"\nfirst-and-last = \"int8\"\n[[overrides]]\nlayers = \"{}\"\nbits = \"int4\"\n",
            graph.nodes[ends[1]].name
        ))
        .expect("parses");
        let spelled = recipe.with_ends_of(&graph);
        let bits = |id: NodeId| spelled.layer(&graph.nodes[id].name).weights.bits;
        assert_eq!(bits(ends[0]), WeightBits::Int8);
        assert_eq!(bits(layers[1]), WeightBits::Int4);
        assert_eq!(bits(ends[1]), WeightBits::Int4, "an override wins");
    }
}
