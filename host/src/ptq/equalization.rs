//! Equalization by what it does to the network's result.
//!
//! Some samples tell how far every channel reaches and how much an error of it matters; the scales that leave the least noise follow from
//! that without a trial ([`passes`](crate::ptq::passes)).

use super::evidence::Evidence;
use super::samples::affordable;
use crate::dataset::Dataset;
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, TensorId, logits};
use crate::ptq::gradient::{MeanErrors, Sensitivity, coarse};
use crate::ptq::passes::{ChannelRanges, divide, least_noise};
use crate::recipe::{BiasCorrection, Recipe};
use crate::{Error, Stage};
use rayon::prelude::*;

/// Sensitivities, measured on a part of the samples.
pub(super) fn sensitivity(
    graph: &Graph,
    evidence: &Evidence<'_>,
    recipe: &Recipe,
) -> Result<Sensitivity, Error> {
    let seen = evidence.graph(graph);
    let some = evidence.samples.first(affordable(graph));
    let means = match recipe.passes.bias_correction {
        BiasCorrection::Off => MeanErrors::Kept,
        _ => MeanErrors::Corrected,
    };
    let mut sensitivity =
        Sensitivity::of(&seen, &[logits(graph)], &some.inputs, some.samples, means)
            .map_err(|e| Error::new(Stage::Passes, e))?;
    if let Some(adjustments) = &evidence.adjustments {
        sensitivity.amplify(|node, channel| {
            let adjustment = adjustments[node].as_ref();
            adjustment.map_or(1.0, |adjustment| f64::from(adjustment.gain[channel]))
        });
    }
    Ok(sensitivity)
}

/// Equalizes `graph` in place, and the sensitivity with it, and notes what was done.
pub(super) fn equalize(
    graph: &mut Graph,
    evidence: &Evidence<'_>,
    sensitivity: &mut Sensitivity,
    recipe: &Recipe,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let ranges = channel_ranges(&evidence.graph(graph), &evidence.samples)?;
    let logs = least_noise(graph, &ranges, sensitivity, recipe);
    let scales = divide(graph, &logs);
    sensitivity.divide(|tensor, channel| scales[tensor][channel]);
    notes.push(format!(
        "equalized: {} channels scaled for the least noise at the result",
        logs.iter().filter(|log| **log != 0.0).count()
    ));
    Ok(())
}

/// Lowest and highest value of every channel of every tensor over the samples.
fn channel_ranges(graph: &Graph, samples: &Dataset) -> Result<ChannelRanges, Error> {
    let mut ranges: ChannelRanges = graph
        .tensors
        .map(|tensor| vec![[0.0, 0.0]; tensor.channels()]);
    let mut hook = |tensor: TensorId, values: &mut [f32]| {
        let ranges = &mut ranges[tensor];
        let channels = ranges.len().max(1);
        let widen = |mut ranges: Vec<[f32; 2]>, pixel: &[f32]| {
            for (range, &value) in ranges.iter_mut().zip(pixel) {
                *range = [range[0].min(value), range[1].max(value)];
            }
            ranges
        };
        let none = || vec![[0.0_f32; 2]; channels];
        let found = (values.par_chunks_exact(channels).fold(none, widen)).reduce(none, |a, b| {
            let pairs = a.iter().zip(&b);
            pairs
                .map(|(a, b)| [a[0].min(b[0]), a[1].max(b[1])])
                .collect()
        });
        for (range, found) in ranges.iter_mut().zip(found) {
            *range = [range[0].min(found[0].into()), range[1].max(found[1].into())];
        }
    };
    let executor = Executor::new(graph).map_err(|e| Error::new(Stage::Passes, e))?;
    executor
        .run(&samples.inputs, samples.samples, &mut hook)
        .map_err(|e: ExecutorError| Error::new(Stage::Passes, e))?;
    for end in ranges.iter_mut().flatten().flatten() {
        *end = coarse(*end);
    }
    Ok(ranges)
}
