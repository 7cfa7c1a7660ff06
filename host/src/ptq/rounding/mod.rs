//! Rounding of weights by what it does to a layer's output.
//!
//! Nearest is not best: errors of weights that meet correlated inputs can cancel. All methods here see a layer alone and make its output from
//! the inputs that the quantized network gives it as much like the float layer's as they can.

mod adaround;
mod gradient;
mod gram;
mod patches;
mod problem;
mod quadratic;
mod search;
#[cfg(test)]
mod tests;
mod whole;
mod wide;

pub use gram::{Moments, mean_inputs, moments};
pub use patches::Geometry;
pub use problem::{LayerData, LayerProblem, Rounded, Samples, Scales, Watch};
pub(crate) use wide::widest;

use crate::random::Sequence;
use crate::recipe::{AdaRoundOptions, RoundingMethod};
use gradient::Batches;

/// Rounds a layer by the method that `options` names.
///
/// The result's quadratic loss is never larger than that of rounding to nearest, except for batches, whose loss is another one.
/// For layers with very many inputs, the loss leaves out correlations between inputs of different blocks, so that memory grows with their number and not with its square.
pub fn round_layer(
    problem: &LayerProblem<'_>,
    data: LayerData<'_>,
    scales: Scales,
    options: &AdaRoundOptions,
    watch: &mut Watch<'_>,
) -> Rounded {
    let rounded = wide::in_blocks(
        problem,
        data.moments,
        wide::widest(problem.k, data.positions),
        scales,
        options,
        watch,
    );
    if options.method != RoundingMethod::AdaroundBatch {
        return rounded;
    }
    let problem = &LayerProblem {
        scales: &rounded.scales,
        ..*problem
    };
    let samples = data.samples;
    let mut loss = Batches {
        geometry: data.geometry,
        samples,
        activation: samples.activation.filter(|_| options.activation_in_loss),
        batch: options.batch,
        random: Sequence::new(data.seed),
    };
    let values = adaround::learn(problem, options, watch, |weights, slope| {
        loss.gradient(problem, weights, slope)
    });
    Rounded { values, ..rounded }
}
