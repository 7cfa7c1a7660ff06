//! Constant channels no longer set ranges.
//!
//! Training leaves channels whose weights are 1e-20, or whose value never exceeds the lower bound of a Relu. They are constants, and
//! neither their own weights matter nor the weights that read them, which no gradient
//! limited and which may be the largest of their layer. A scale that covers those is wasted on all others, so they become zeros:
//! - a constant channel gets weights 0 and the constant as its bias;
//! - a layer that reads a constant gets the products added to its bias and zeros for the weights, if that is exact: if the
//!   constant is 0, or if the layer does not pad, as its border would be 0 and not the constant (the condition under which Nagel
//!   et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1.3 absorb high biases);
//! - a channel that no layer reads (any more) becomes 0, or the nearest value of its activation, so that it does not widen its tensor.
//!
//! One sweep in the order of the nodes finds the constants, as a depthwise channel that reads one is one itself; a second one against
//! the order finds what is not read, as a layer whose row is gone reads less.
//! Statistics of a BatchNorm in such a channel follow: deviation 0, and the constant as mean.
//!
//! A channel is constant by the interval of its values, which follows from its weights and from the bounds of its inputs. These are
//! hard bounds of interval arithmetic or [`DEVIATIONS`] standard deviations around the mean, whichever are closer, as hard bounds alone
//! grow with every layer until nothing is small beside them; Chebyshev's inequality leaves one value in a million outside, of
//! whatever distribution. The interval, behind the activation, then is
//! - a single number, as where a Relu or a clip cuts all of it off; or
//! - narrower than [`ROUNDING`](changes::ROUNDING) of its magnitude, so that single precision cannot distinguish its ends: the constant is its middle; or
//! - within [`NEGLIGIBLE`](changes::NEGLIGIBLE) of zero, in units of the largest channel of the tensor, so that layers which magnify it 2^24 times against
//!   the others still lose it in rounding: the constant is 0.

mod changes;
mod constants;
mod rewrite;
#[cfg(test)]
mod tests;
mod unread;

use self::changes::Changes;
use super::{Pass, PassReport};
use crate::graph::{Graph, GraphError};
use crate::ptq::statistics;
use crate::range::Range;

/// Standard deviations that values are taken to stay within.
const DEVIATIONS: f64 = 1000.0;

/// Assumed bound of inputs without a known range: beyond it singles are further apart than 1.
const UNKNOWN: Range = Range {
    min: -((1u32 << 24) as f32),
    max: (1u32 << 24) as f32,
};

/// Layers that are reported one by one; more get a sentence together.
const NAMED: usize = 3;

/// Makes zeros of the weights of constant channels, and of those that read them.
#[derive(Clone, Debug, Default)]
pub struct FoldConstantChannels {
    /// The range of every network input, in the graph's order; empty where they are unknown.
    pub inputs: Vec<Range>,
}

impl Pass for FoldConstantChannels {
    fn name(&self) -> &'static str {
        "fold-constant-channels"
    }

    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError> {
        let mut report = PassReport {
            pass: self.name(),
            changed: 0,
            notes: Vec::new(),
        };
        let mut inputs = self.inputs.clone();
        if inputs.len() != graph.inputs.len() {
            inputs = vec![UNKNOWN; graph.inputs.len()];
        }
        // A network whose numbers are damaged is refused where they are needed; nothing is known of it here.
        let Ok(bounds) = statistics::channels(graph, &inputs, DEVIATIONS) else {
            return Ok(report);
        };
        let mut changes = graph.nodes.map(|_| Changes::default());
        constants::fold(graph, &bounds, &mut changes);
        unread::clear(graph, &mut changes);
        report.changed = changes.iter().filter(|change| change.any()).count();
        report.notes = notes(graph, &changes);
        Ok(report)
    }
}

fn notes(graph: &Graph, changes: &[Changes]) -> Vec<String> {
    let layers = || {
        (graph.nodes.iter().zip(changes))
            .map(|(node, change)| (&node.name, change.rows(), change.rows.len()))
            .filter(|&(_, constant, _)| constant > 0)
    };
    if layers().count() <= NAMED {
        let note = |(name, constant, all)| {
            format!(
                "`{name}`: {constant} of {all} channels are constant; they set no range any more"
            )
        };
        return layers().map(note).collect();
    }
    let (constant, all) = layers().fold((0, 0), |(constant, all), layer| {
        (constant + layer.1, all + layer.2)
    });
    let most = layers().max_by_key(|&(_, constant, _)| constant);
    let example = most.map_or_else(String::new, |(name, constant, all)| {
        format!(", {constant} of {all} in `{name}`")
    });
    vec![format!(
        "{constant} of {all} channels of {} layers are constant{example}; they set no range any more",
        layers().count()
    )]
}
