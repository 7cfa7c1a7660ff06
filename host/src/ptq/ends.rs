//! What the first and the last layer would gain from more bits.

use super::equalization::affordable;
use super::{Calibration, Quantized, logits};
use crate::dataset::Dataset;
use crate::executor::Executor;
use crate::graph::{Graph, NodeId};
use crate::metrics::Sqnr;
use crate::progress::Progress;
use crate::quantize::{Encodings, simulation_graph};
use crate::recipe::{Recipe, WeightBits, first_and_last};
use crate::{Error, Stage};

/// Gain in dB from which a change is worth a word.
const WORTHWHILE: f64 = 0.5;

/// Most weights of a network for which INT8 is tried: that takes as long as the first time.
const MOST_WEIGHTS: usize = 1 << 19;

/// What INT8 in the first and the last layer would bring, in words, where these have 4 bits: measured on the calibration samples that `quantized`
/// was made from with `recipe`, of `float`. Of large networks it only says that there is such a choice, and nothing where no other layer is left.
///
/// # Errors
/// Samples that do not suit the network.
pub fn propose_first_and_last(
    float: &Graph,
    quantized: &Quantized,
    samples: &Dataset,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Option<String>, Error> {
    let graph = &quantized.graph;
    const FLAG: &str = "`--first-and-last int8`";
    let coarse = |id: NodeId| recipe.layer(&graph.nodes[id].name).weights.bits == WeightBits::Int4;
    let ends = first_and_last(graph);
    if recipe.weights.first_and_last.is_some() || !ends.iter().any(|&id| coarse(id)) {
        return Ok(None);
    }
    let is_layer = |id: &NodeId| graph.nodes[*id].op.linear().is_some();
    if (0..graph.nodes.len())
        .filter(is_layer)
        .all(|id| ends.contains(&id))
    {
        // Nothing in between would keep its 4 bits.
        return Ok(None);
    }
    let weights_of = |id: NodeId| {
        let linear = graph.nodes[id].op.linear();
        linear.map_or(0, |linear| linear.weights.len())
    };
    let changed = ends.iter().filter(|&&id| coarse(id));
    let bytes: usize = changed.map(|&id| weights_of(id).div_ceil(2)).sum();
    if (0..graph.nodes.len()).map(weights_of).sum::<usize>() > MOST_WEIGHTS {
        return Ok(Some(format!(
            "{FLAG} stores the first and the last layer in INT8, for about {bytes} bytes more; often that is worth it"
        )));
    }
    let mut other = recipe.clone();
    other.weights.first_and_last = Some(WeightBits::Int8);
    let finer = super::quantize(float, Calibration::Samples(samples), &other, progress)?;
    let some = (samples.in_canonical_order()).first(affordable(graph));
    let wanted = results(float, &some, None)?;
    let db = |quantized: &Quantized| {
        let simulated = simulation_graph(&quantized.graph, &quantized.weights);
        let mut sqnr = Sqnr::default();
        sqnr.add(
            &wanted,
            &results(&simulated, &some, Some(&quantized.encodings))?,
        );
        Ok::<_, Error>(sqnr.db())
    };
    let (Some(now), Some(then)) = (db(quantized)?, db(&finer)?) else {
        return Ok(None);
    };
    let bytes = finer.lowered.weight_bytes as i64 - quantized.lowered.weight_bytes as i64;
    Ok((then - now >= WORTHWHILE).then(|| {
        format!(
            "{FLAG} would store the first and the last layer in INT8: {then:.1} instead of {now:.1} dB on calibration samples, for {bytes} bytes more"
        )
    }))
}

/// The network's result for every sample, with activations rounded where encodings are given.
fn results(
    graph: &Graph,
    samples: &Dataset,
    encodings: Option<&Encodings>,
) -> Result<Vec<f32>, Error> {
    let result = logits(graph);
    let executor = Executor::new(graph).map_err(|e| Error::new(Stage::Weights, e))?;
    let mut found = Vec::new();
    let mut hook = |tensor, values: &mut [f32]| {
        if let Some(encodings) = encodings {
            encodings.fake_quantize(tensor, values);
        }
        if tensor == result {
            found.extend_from_slice(values);
        }
    };
    executor
        .run(&samples.inputs, samples.samples, &mut hook)
        .map_err(|e| Error::new(Stage::Weights, e))?;
    Ok(found)
}
