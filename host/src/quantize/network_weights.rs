//! The quantized weights of all layers of a network.

use super::error::{NetworkError, QuantizeError};
use super::{Encodings, LayerWeights};
use crate::graph::{Graph, Linear, Node, NodeId, NodeMap};
use crate::recipe::{LayerOptions, Recipe};

/// The quantized weights of every convolution and fully connected layer of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkWeights(NodeMap<Option<LayerWeights>>);

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

    /// The given weights: `layer` has those of every convolution and fully connected layer, by the id of its node, and is not asked for others.
    ///
    /// # Errors
    /// A layer without weights, or whose numbers do not suit it: as many values as it has weights, within its bits, and a positive scale
    /// and a finite bias for each output channel.
    pub fn given(
        graph: &Graph,
        mut layer: impl FnMut(NodeId) -> Option<LayerWeights>,
    ) -> Result<NetworkWeights, NetworkError> {
        let weights = |(id, node): (NodeId, &Node)| node.op.linear().and_then(|_| layer(id));
        let all = graph.nodes.enumerate().map(weights).collect();
        let given = NetworkWeights(all);
        given.check(graph)?;
        Ok(given)
    }

    /// Checks that these are weights of `graph`: of all of its layers, and of nothing else.
    pub(super) fn check(&self, graph: &Graph) -> Result<(), NetworkError> {
        for (id, node) in graph.nodes.enumerate() {
            let weights = self.0.get(id).and_then(Option::as_ref);
            let problem = match (node.op.linear(), weights) {
                (Some(linear), Some(weights)) => misfit(weights, linear),
                (Some(_), None) => Some("no integers are given for its weights".to_owned()),
                (None, Some(_)) => Some("integers are given, but it has no weights".to_owned()),
                (None, None) => None,
            };
            if let Some(problem) = problem {
                return Err(NetworkError::of_node(graph, id, problem));
            }
        }
        Ok(())
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

/// The reason why `weights` cannot be those of a layer like `linear`, if there is one.
fn misfit(weights: &LayerWeights, linear: &Linear) -> Option<String> {
    let LayerWeights {
        bits,
        values,
        scales,
        least_scales,
        bias,
    } = weights;
    let (found, expected) = (values.len(), linear.weights.len());
    if found != expected {
        return Some(format!("{found} weights are given, expected {expected}"));
    }
    let channels = linear.out_channels;
    let counts = [
        ("scales", scales.len()),
        ("least scales", least_scales.len()),
        ("biases", bias.len()),
    ];
    if let Some((what, found)) = counts.into_iter().find(|&(_, found)| found != channels) {
        return Some(format!("{found} {what} are given for {channels} channels"));
    }
    let max = bits.max();
    if let Some(value) = values.iter().find(|&&value| value < -max || value > max) {
        let name = bits.describe();
        return Some(format!(
            "the weight {value} is outside -{max}..={max} ({name})"
        ));
    }
    let is_usable = |scale: &f64| scale.is_finite() && *scale > 0.0;
    if let Some(channel) = scales.iter().position(|scale| !is_usable(scale)) {
        return Some(format!(
            "the scale of channel {channel} is {}; it has to be a positive number",
            scales[channel]
        ));
    }
    let channel = bias.iter().position(|bias| !bias.is_finite())?;
    Some(format!("the bias of channel {channel} is not finite"))
}
