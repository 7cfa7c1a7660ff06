//! The choice of encodings and of integer weights.
//!
//! From samples, synthetic ones or statistics.

use super::evidence::{Calibration, Evidence, input_ranges};
use super::{correct_bias, layerwise, softmax, statistics};
use crate::graph::{Graph, Op, TensorId, TensorMap, logits};
use crate::progress::Progress;
use crate::ptq::calibrate;
use crate::quantize::{Encodings, NetworkWeights, moves_bytes};
use crate::range::{Range, Ranges};
use crate::recipe::{BiasCorrection, DataFreeMethod, Recipe};
use crate::{Error, Stage};

/// The encodings of all tensors.
pub(super) fn choose_encodings(
    graph: &Graph,
    calibration: Calibration<'_>,
    evidence: &Evidence<'_>,
    sensitivity: &TensorMap<Vec<f64>>,
    recipe: &Recipe,
    notes: &mut Vec<String>,
    progress: &mut dyn Progress,
) -> Result<Encodings, Error> {
    let options = &recipe.activations;
    let deviations = options.deviations(recipe.data_free.method);
    let mut ranges = match calibration {
        Calibration::Statistics(inputs)
            if recipe.data_free.method == DataFreeMethod::Statistics =>
        {
            calibrate::ranges_from_statistics(graph, inputs, deviations)
        }
        _ => calibrate::observe_by_importance(
            &evidence.graph(graph),
            &evidence.samples,
            options.range_options(),
            sensitivity,
            &[logits(graph)],
            progress,
        ),
    }
    .map_err(|e| Error::new(Stage::Calibrate, e))?;
    if let Calibration::Statistics(inputs) = calibration {
        widen(graph, &mut ranges, inputs, deviations)?;
        for (input, &range) in graph.inputs.iter().zip(inputs) {
            ranges.set(input.tensor, range);
        }
    }
    // Known exactly: bytes of an image then are the network's own.
    if let (Some(range), [input]) = (recipe.input.real_range(), &graph.inputs[..]) {
        ranges.set(input.tensor, range);
    }
    let observed = ranges.clone();
    for (tensor, largest) in softmax::largest_outputs(graph, calibration, &ranges)? {
        ranges.set(
            tensor,
            Range {
                min: 0.0,
                max: largest,
            },
        );
    }
    let encodings =
        Encodings::choose(graph, &ranges).map_err(|e| Error::new(Stage::Calibrate, e))?;
    notes.extend(softmax::notes(graph, &observed, &encodings));
    notes.extend(vanishing_outputs(graph, &ranges, &encodings));
    Ok(encodings)
}

/// Outputs that are less than a step of their encoding, and so are 0 for any input.
fn vanishing_outputs(graph: &Graph, ranges: &Ranges, encodings: &Encodings) -> Vec<String> {
    let vanishes = |&&tensor: &&TensorId| {
        let range = ranges.of(tensor);
        let reach = range.max.abs().max(range.min.abs());
        reach > 0.0 && encodings.of(tensor).scale > 2.0 * reach
    };
    let outputs = graph.outputs.iter().filter(vanishes);
    outputs
        .map(|&tensor| {
            format!(
                "the output `{}` stays within {:e} to {:e}, less than half the smallest step that its operator can have ({:e}): every output is 0; \
                 scale the last layer up",
                graph.tensors[tensor].name,
                ranges.of(tensor).min,
                ranges.of(tensor).max,
                encodings.of(tensor).scale
            )
        })
        .collect()
}

/// Part of a range that is added at either end where only noise tells it.
const NOISE_ROOM: f32 = 0.25;

/// The same for means over an image, of which every sample shows but one value per channel.
const POOL_ROOM: f32 = 1.0;

/// Widens ranges that were found on noise: on noise, tensors have less extreme values than on real inputs.
///
/// Recorded moments, also in sums of such tensors, bound the widening; other layers get a fixed margin. Means over an image get
/// more margin, but no more than their pixels: their smaller variation is not recorded.
fn widen(
    graph: &Graph,
    ranges: &mut Ranges,
    inputs: &[Range],
    deviations: f32,
) -> Result<(), Error> {
    let likely = calibrate::ranges_from_statistics(graph, inputs, deviations)
        .map_err(|e| Error::new(Stage::Calibrate, e))?;
    let mut known = graph.tensors.map(|_| false);
    for input in &graph.inputs {
        known[input.tensor] = true;
    }
    for node in &graph.nodes {
        let tensor = node.output;
        known[tensor] = match node.op.linear() {
            Some(linear) => linear.folded.is_some(),
            None => {
                !matches!(node.op, Op::Softmax) && node.inputs.iter().all(|&input| known[input])
            }
        };
        let found = ranges.of(tensor);
        let wider = if moves_bytes(node) && node.inputs.len() == 1 {
            found.union(ranges.of(node.inputs[0]))
        } else if matches!(node.op, Op::AveragePool { .. }) && known[tensor] {
            let room = POOL_ROOM * (found.max - found.min);
            let likely = likely.of(tensor);
            Range {
                min: (found.min - room).max(likely.min).min(found.min),
                max: (found.max + room).min(likely.max).max(found.max),
            }
        } else if known[tensor] {
            found.union(likely.of(tensor))
        } else if node.op.linear().is_some()
            || matches!(node.op, Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min)
        {
            let room = NOISE_ROOM * (found.max - found.min);
            let clamp = (node.activation.as_ref())
                .and_then(|activation| activation.clamp_bounds(0))
                .unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            Range {
                min: (found.min - room).max(clamp.0.min(found.min)),
                max: (found.max + room).min(clamp.1.max(found.max)),
            }
        } else {
            found
        };
        ranges.set(tensor, wider);
    }
    Ok(())
}

/// The integers of all weights, and their biases.
pub(super) fn choose_weights(
    graph: &Graph,
    encodings: &Encodings,
    calibration: Calibration<'_>,
    evidence: &Evidence<'_>,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<NetworkWeights, Error> {
    let mut weights = NetworkWeights::nearest(graph, encodings, recipe)
        .map_err(|e| Error::new(Stage::Weights, e))?;
    let walks = match calibration {
        Calibration::Samples(_) => true,
        Calibration::Statistics(_) => recipe.data_free.method == DataFreeMethod::Synthetic,
    };
    if walks {
        layerwise::optimize(
            graph,
            encodings,
            &mut weights,
            &evidence.samples,
            evidence.adjustments.as_ref(),
            recipe,
            progress,
        )
        .map_err(|e| Error::new(Stage::Weights, e))?;
    }
    let correction = if walks {
        recipe.passes.bias_correction.with_data()
    } else {
        recipe.passes.bias_correction.without_data()
    };
    match correction {
        BiasCorrection::Analytic => {
            let inputs = match calibration {
                Calibration::Statistics(inputs) => inputs.to_vec(),
                Calibration::Samples(samples) => input_ranges(graph, samples),
            };
            let statistics =
                statistics::propagate(graph, &inputs).map_err(|e| Error::new(Stage::Weights, e))?;
            correct_bias::correct_analytically(
                graph,
                &mut weights,
                |tensor| &statistics[tensor].mean,
                recipe,
            );
        }
        BiasCorrection::Empirical if !walks => {
            return Err(Error::new(Stage::Weights, NeedsSamples));
        }
        _ => {}
    }
    Ok(weights)
}

/// Empirical correction without data.
#[derive(Debug, thiserror::Error)]
#[error(
    "empirical bias correction needs samples; give some with --calibration, or choose `analytic`"
)]
struct NeedsSamples;
