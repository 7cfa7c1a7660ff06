//! Choice of each layer's integers, layer by layer, after those before.
//!
//! Two networks run side by side over the calibration samples, the float one and the quantized one, node by node. At a layer with
//! weights, the float layer's output is the target, and the quantized network's values are the layer's input:
//! "asymmetric reconstruction" of Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020), section 4.3.
//! Scale search, rounding and empirical bias correction share this walk, in this order.

mod adjustment;
mod bias;
mod round;
mod store;
mod streams;
mod tensors;
#[cfg(test)]
mod tests;

pub(crate) use adjustment::{Adjustment, Adjustments};
pub(crate) use store::{Block, Halves};
pub(crate) use streams::Origin;
pub(crate) use tensors::{Tensors, kept_elements};

use crate::dataset::Dataset;
use crate::executor::SingleNodeError;
use crate::graph::{Graph, Node};
use crate::progress::Progress;
use crate::ptq::rounding::{Geometry, mean_inputs};
use crate::quantize::{Encodings, LayerWeights, NetworkWeights};
use crate::recipe::{BiasCorrection, Recipe};
use streams::Streams;

/// Chooses the weights of every layer again if `recipe` requires it, in place.
///
/// `adjustments` are what synthetic samples need behind each layer to look like those of training.
///
/// # Errors
/// If the samples do not match the network.
pub(crate) fn optimize<'g>(
    graph: &'g Graph,
    encodings: &'g Encodings,
    weights: &mut NetworkWeights,
    calibration: &Dataset,
    adjustments: Option<&'g Adjustments>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<(), SingleNodeError> {
    let mut streams = Streams::new(graph, encodings, calibration, Origin::of(adjustments));
    progress.begin("reconstruct", graph.nodes.len());
    for id in graph.nodes.ids() {
        let node = &graph.nodes[id];
        match weights.of_mut(id) {
            Some(layer) => {
                progress.note(&node.name);
                let adjustment = adjustments.and_then(|all| all[id].as_ref());
                optimize_layer(&mut streams, node, layer, adjustment, recipe, progress)?;
            }
            None => streams.run_both(node)?,
        }
        streams.finish(node);
        progress.advance(1);
    }
    Ok(())
}

/// Chooses the weights of one layer and runs it in both networks.
fn optimize_layer<'g>(
    streams: &mut Streams<'g>,
    node: &'g Node,
    layer: &mut LayerWeights,
    adjustment: Option<&'g Adjustment>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<(), SingleNodeError> {
    let correction = recipe.passes.bias_correction.with_data();
    let mut options = recipe.layer(&node.name);
    options.correct_bias &= correction == BiasCorrection::Empirical;
    // Without the activation: corrections are means of what comes before it.
    let bare = Node {
        activation: None,
        ..node.clone()
    };
    let channels = layer.bias.len();
    let finish = move |values: &mut [f32]| {
        if let Some(adjustment) = adjustment {
            adjustment.apply(values);
        }
        if let Some(activation) = &node.activation {
            activation.apply_to(values, channels);
        }
    };
    let sums = streams.run_float(&bare, |values| bias::sums(values, channels), finish)?;
    round::choose(streams, node, layer, &options, recipe, progress)?;
    if options.correct_bias
        && let Some(geometry) = Geometry::of(streams.graph, node)
    {
        let positions = (streams.samples * geometry.positions()).max(1) as f64;
        let mean = |channel: usize| sums.iter().map(|sums| sums[channel]).sum::<f64>() / positions;
        let wanted: Vec<f64> = (0..channels).map(mean).collect();
        let input = node.inputs[0];
        let mut inputs = mean_inputs(&geometry, streams.samples, |samples| {
            streams.quantized(input, samples)
        })?;
        if !streams.origin().knows_errors(options.weights.bits) {
            let float = mean_inputs(&geometry, streams.samples, |samples| {
                streams.float(input, samples)
            })?;
            bias::halve_errors(&mut inputs, &float);
        }
        bias::correct(layer, &wanted, &inputs);
    }
    streams.run_quantized(&with_weights(&bare, layer), finish)
}

/// `node` with the real weights and biases that `layer` stands for.
fn with_weights(node: &Node, layer: &LayerWeights) -> Node {
    let mut node = node.clone();
    if let Some(linear) = node.op.linear_mut() {
        linear.weights = layer.dequantized();
        linear.bias = layer.real_bias();
    }
    node
}
