//! The choice of a layer's integers from what the layers before made.

use super::streams::Streams;
use crate::executor::SingleNodeError;
use crate::graph::Node;
use crate::progress::Progress;
use crate::ptq::rounding::{
    Geometry, LayerData, LayerProblem, Moments, Samples, Scales, moments, round_layer,
};
use crate::quantize::LayerWeights;
use crate::recipe::{AdaRoundOptions, RoundingMethod};
use crate::recipe::{Granularity, LayerOptions, Recipe, WeightBits};
use std::cell::Cell;
use std::ops::Range;

/// Rounds the weights of `layer` again if `options` request more than rounding to nearest.
pub(super) fn choose(
    streams: &Streams<'_>,
    node: &Node,
    layer: &mut LayerWeights,
    options: &LayerOptions,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<(), SingleNodeError> {
    // With 8 bits there is next to nothing to be found.
    let scales = match options.weights.bits {
        WeightBits::Int4 if options.weights.scale_search => Scales::Searched,
        WeightBits::Int4 | WeightBits::Int8 => Scales::Given,
    };
    let nearest = options.rounding == RoundingMethod::Nearest;
    if nearest && scales == Scales::Given {
        return Ok(());
    }
    let (Some(geometry), Some(linear)) = (Geometry::of(streams.graph, node), node.op.linear())
    else {
        return Ok(());
    };
    let input = node.inputs[0];
    // Of made up samples, how inputs go together is worth knowing in any case; errors and where means lie are not.
    let trusted = streams.origin().knows_errors(options.weights.bits);
    // Reported behind the rounding, which then is for nothing.
    let failed = Cell::new(None);
    let moments_of = |products: Range<usize>| {
        let inputs = |samples: Range<usize>, of: Range<usize>| {
            let quantized = streams.quantized_elements(input, samples.clone(), of.clone())?;
            let float = trusted.then(|| streams.float_elements(input, samples, of));
            Ok((quantized, float.transpose()?))
        };
        let found = moments(&geometry, products.clone(), streams.samples, inputs);
        let moments = found.unwrap_or_else(|error| {
            failed.set(Some(error));
            vec![Moments::none(products.len()); geometry.groups()]
        });
        if options.correct_bias && trusted {
            // The bias takes up the mean error, so only what varies counts.
            moments.into_iter().map(Moments::centred).collect()
        } else {
            moments
        }
    };
    let problem = LayerProblem {
        weights: &linear.weights,
        out_channels: linear.out_channels,
        k: linear.weights_per_channel(),
        max: options.weights.bits.max(),
        per_channel: options.weights.granularity == Granularity::PerChannel,
        scales: &layer.scales,
        least_scales: &layer.least_scales,
    };
    // Only batches look at the samples themselves.
    let batches = options.rounding == RoundingMethod::AdaroundBatch;
    let whole = if batches { streams.samples } else { 0 };
    let inputs = streams.quantized(input, 0..whole)?;
    let output = if batches {
        streams.float_output(node)?
    } else {
        Vec::new()
    };
    let bias = layer.real_bias();
    let samples = Samples {
        input: &inputs,
        output: &output,
        bias: &bias,
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
        positions: streams.samples * geometry.positions(),
        moments: &moments_of,
        samples,
        seed: recipe.seed,
    };
    let rounded = round_layer(&problem, data, scales, &rounding, &mut watch);
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    layer.values = rounded.values;
    layer.scales = rounded.scales;
    Ok(())
}
