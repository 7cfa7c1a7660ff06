//! Layer after layer: each one's integers, seen what the ones before made.
//!
//! Two networks run side by side over the calibration samples, the float one and the quantized one, node by node. At a layer with
//! weights, what the float layer puts out is the target, and what the quantized network puts in is what the layer has to make it from:
//! "asymmetric reconstruction" of Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020), section 4.3.
//! Scale search, rounding and empirical bias correction share this walk, in this order.

mod adjustment;
mod bias;
mod node;
mod round;
mod streams;
#[cfg(test)]
mod tests;

pub(crate) use adjustment::{Adjustment, Adjustments};
pub use node::{SingleNode, SingleNodeError};

use crate::dataset::Dataset;
use crate::graph::{Graph, Node};
use crate::progress::Progress;
use crate::quantize::{Encodings, LayerWeights, NetworkWeights};
use crate::recipe::{BiasCorrection, Recipe};
use streams::{Pair, Streams};

/// Chooses the weights of every layer anew where `recipe` asks for it, in place.
///
/// `adjustments` are what synthetic samples need behind each layer to look like those of training.
///
/// # Errors
/// Samples that do not suit the network.
pub(crate) fn optimize(
    graph: &Graph,
    encodings: &Encodings,
    weights: &mut NetworkWeights,
    calibration: &Dataset,
    adjustments: Option<&Adjustments>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<(), SingleNodeError> {
    let mut streams = Streams::new(graph, encodings, calibration, adjustments.is_some());
    progress.begin("reconstruct", graph.nodes.len());
    for id in 0..graph.nodes.len() {
        let node = &graph.nodes[id];
        let output = match weights.of_mut(id) {
            Some(layer) => {
                progress.note(&node.name);
                let adjustment = adjustments.and_then(|all| all[id].as_ref());
                optimize_layer(&streams, node, layer, adjustment, recipe, progress)?
            }
            None => Pair {
                float: streams.run_float(node)?,
                quantized: streams.run_quantized(node)?,
            },
        };
        streams.finish(node, output);
        progress.advance(1);
    }
    Ok(())
}

/// Chooses the weights of one layer and returns its output in both networks.
fn optimize_layer(
    streams: &Streams<'_>,
    node: &Node,
    layer: &mut LayerWeights,
    adjustment: Option<&Adjustment>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Pair, SingleNodeError> {
    let correction = recipe.passes.bias_correction.with_data();
    let mut options = recipe.layer(&node.name);
    options.correct_bias &= correction == BiasCorrection::Empirical;
    // Without the activation: corrections are means of what comes before it.
    let bare = Node {
        activation: None,
        ..node.clone()
    };
    let mut output = Pair {
        float: streams.run_float(&bare)?,
        quantized: Vec::new(),
    };
    round::choose(
        streams,
        node,
        &output.float,
        layer,
        &options,
        recipe,
        progress,
    );
    output.quantized = streams.run_quantized(&with_weights(&bare, layer))?;
    if options.correct_bias {
        bias::correct(layer, &mut output);
    }
    for values in [&mut output.float, &mut output.quantized] {
        if let Some(adjustment) = adjustment {
            adjustment.apply(values);
        }
        if let Some(activation) = &node.activation {
            activation.apply_to(values, layer.bias.len());
        }
    }
    Ok(output)
}

/// `node` with the real weights and biases that `layer` stands for.
fn with_weights(node: &Node, layer: &LayerWeights) -> Node {
    let mut node = node.clone();
    if let Some(linear) = node.op.linear_mut() {
        linear.weights = layer.dequantized();
        linear.bias.clone_from(&layer.bias);
    }
    node
}
