//! Gain from 8 bits in the first and the last layer.

use super::trial::Trial;
use crate::Error;
use crate::dataset::Dataset;
use crate::graph::{Graph, NodeId};
use crate::progress::Progress;
use crate::quantize::Network;
use crate::recipe::{Recipe, WeightBits, first_and_last};

/// Gain in dB from which a change is worth a word.
const WORTHWHILE: f64 = 0.5;

/// Most weights of a network for which INT8 is tried: that takes as long as the first time.
const MOST_WEIGHTS: usize = 1 << 19;

/// Describes the gain from INT8 in the first and the last layer if these have 4 bits, measured on the calibration samples that `network`
/// was made from with `recipe`, of `float`. For large networks it only mentions this option; `None` if there is no other layer.
///
/// # Errors
/// If the samples do not match the network.
pub fn propose_first_and_last(
    float: &Graph,
    network: &Network,
    samples: &Dataset,
    recipe: &Recipe,
    progress: &mut dyn Progress,
) -> Result<Option<String>, Error> {
    let graph = network.graph();
    const FLAG: &str = "`--first-and-last int8`";
    let coarse = |id: NodeId| recipe.layer(&graph.nodes[id].name).weights.bits == WeightBits::Int4;
    let ends = first_and_last(graph);
    if recipe.weights.first_and_last.is_some() || !ends.iter().any(|&id| coarse(id)) {
        return Ok(None);
    }
    let is_layer = |id: &NodeId| graph.nodes[*id].op.linear().is_some();
    if graph
        .nodes
        .ids()
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
    if graph.nodes.ids().map(weights_of).sum::<usize>() > MOST_WEIGHTS {
        return Ok(Some(format!(
            "{FLAG} stores the first and the last layer in INT8, for about {bytes} bytes more; often that is worth it"
        )));
    }
    let mut other = recipe.clone();
    other.weights.first_and_last = Some(WeightBits::Int8);
    let trial = Trial::new(float, graph, samples)?;
    let finer = trial.run(&other, progress)?;
    let (Some(now), Some(then)) = (trial.sqnr_db(network)?, finer.sqnr_db) else {
        return Ok(None);
    };
    let stored = |network: &Network| network.weight_bytes() as i64;
    let bytes = stored(&finer.outcome.network) - stored(network);
    Ok((then - now >= WORTHWHILE).then(|| {
        format!(
            "{FLAG} would store the first and the last layer in INT8: {then:.1} instead of {now:.1} dB on calibration samples, for {bytes} bytes more"
        )
    }))
}
