//! Cross-layer equalization: channels are scaled until ranges are alike.
//!
//! A tensor's largest channel decides its scale, and smaller channels get fewer of the 255 steps. Scaling a channel down where it is
//! written and up where it is read moves range between layers without changing the network: Nagel et al., "Data-Free Quantization
//! Through Weight Equalization and Bias Correction" (2019), section 4.1. Here that goes wherever scaling commutes with the operators in
//! between ([`Classes`]). Which scales are best is either what makes ranges of weights alike, as in the paper, or what leaves the least
//! noise at the network's result (`noise`). Clips stay exact: their bounds become those of each channel.

mod aimet;
mod apply;
mod classes;
mod magnitudes;
mod minimize;
mod noise;
mod solve;
#[cfg(test)]
mod tests;

pub use classes::{Class, Classes, Sums};
pub(crate) use noise::ChannelRanges;
pub use solve::Weighting;

use super::{Pass, PassReport};
use crate::graph::{Graph, GraphError, TensorMap};
use crate::ptq::gradient::Sensitivity;
use crate::recipe::Recipe;

/// Equalizes by weights alone, or AIMET's way.
#[derive(Clone, Copy, Debug)]
pub struct CrossLayerEqualization {
    /// Whether AIMET's sets and its single pass are used.
    pub aimet_compatible: bool,
}

impl Pass for CrossLayerEqualization {
    fn name(&self) -> &'static str {
        "equalize"
    }

    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError> {
        let changed = if self.aimet_compatible {
            aimet::equalize(graph)
        } else {
            let weighting = Weighting {
                rows: true,
                activations: 0.0,
                sums: Sums::Scaled,
            };
            equalize(graph, &TensorMap::new(), weighting)
        };
        Ok(PassReport {
            pass: self.name(),
            changed,
            notes: Vec::new(),
        })
    }
}

/// The logarithms of the scales, class by class, that leave the least noise at the network's result.
pub(crate) fn least_noise(
    graph: &Graph,
    ranges: &ChannelRanges,
    sensitivity: &Sensitivity,
    recipe: &Recipe,
) -> Vec<f64> {
    noise::solve(
        graph,
        &Classes::of(graph, Sums::Scaled),
        ranges,
        sensitivity,
        recipe,
    )
}

/// Divides the channels of every class of `graph` by its scale, in place, and returns the scale of every channel of every tensor.
pub(crate) fn divide(graph: &mut Graph, logs: &[f64]) -> TensorMap<Vec<f64>> {
    let classes = Classes::of(graph, Sums::Scaled);
    apply::apply(graph, &classes, logs);
    let scale = |class: &Option<usize>| class.map_or(1.0, |class| libm::exp(logs[class]));
    classes
        .of
        .map(|channels| channels.iter().map(scale).collect())
}

/// Equalizes `graph` in place and returns how many channels were scaled.
///
/// `ranges` are the largest magnitudes of each channel of each tensor; they are read only where `weighting` lets activations take part.
pub fn equalize(graph: &mut Graph, ranges: &TensorMap<Vec<f32>>, weighting: Weighting) -> usize {
    let classes = Classes::of(graph, weighting.sums);
    let logs = ranges.map(|channels| {
        channels
            .iter()
            .map(|&range| libm::log(f64::from(range)))
            .collect()
    });
    let logs = solve::solve(graph, &classes, &logs, weighting);
    apply::apply(graph, &classes, &logs);
    logs.iter().filter(|log| **log != 0.0).count()
}
