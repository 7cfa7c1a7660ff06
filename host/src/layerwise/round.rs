//! The choice of a layer's integers from what the layers before made.

use super::streams::Streams;
use crate::graph::Node;
use crate::progress::Progress;
use crate::quantize::LayerWeights;
use crate::recipe::{Granularity, LayerOptions, Recipe, WeightBits};
use crate::rounding::{
    AdaRoundOptions, Geometry, LayerData, LayerProblem, RoundingMethod, Samples, moments,
    round_layer,
};

/// Rounds the weights of `layer` anew where `options` ask for more than nearest. `output` is the float layer's before its activation.
pub(super) fn choose(
    streams: &Streams<'_>,
    node: &Node,
    output: &[f32],
    layer: &mut LayerWeights,
    options: &LayerOptions,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) {
    // With 8 bits there is next to nothing to be found.
    let search_scales = options.weights.scale_search && options.weights.bits == WeightBits::Int4;
    // What synthetic samples tell is good enough for 4 bits; with 8, nearest is closer to what real ones would have told.
    let fine = options.weights.bits == WeightBits::Int8;
    let nearest = options.rounding == RoundingMethod::Nearest || (streams.synthetic() && fine);
    if nearest && !search_scales {
        return;
    }
    let (Some(geometry), Some(linear)) = (Geometry::of(streams.graph, node), node.op.linear())
    else {
        return;
    };
    let inputs = streams.of(node.inputs[0]);
    let mut moments = moments(&geometry, &inputs.quantized, &inputs.float);
    if options.correct_bias {
        // The bias takes up the mean error, so only what varies counts.
        moments = moments
            .into_iter()
            .map(|moments| moments.centred())
            .collect();
    }
    let problem = LayerProblem {
        weights: &linear.weights,
        out_channels: linear.out_channels,
        k: linear.weights_per_channel(),
        max: options.weights.bits.max(),
        per_channel: options.weights.granularity == Granularity::PerChannel,
        scales: &layer.scales,
        least_scales: &layer.least_scales,
    };
    let samples = Samples {
        input: &inputs.quantized,
        output,
        bias: &layer.bias,
        activation: node.activation.as_ref(),
    };
    let rounding = AdaRoundOptions {
        method: options.rounding,
        ..recipe.rounding
    };
    let mut watch = |iteration: usize, loss: f64| {
        progress.note(&format!(
            "{} {iteration}/{}, loss {loss:.3e}",
            node.name, rounding.iterations
        ));
    };
    let data = LayerData {
        geometry: &geometry,
        moments: &moments,
        samples,
        seed: recipe.seed,
    };
    let rounded = round_layer(&problem, data, search_scales, &rounding, &mut watch);
    layer.values = rounded.values;
    layer.scales = rounded.scales;
}
