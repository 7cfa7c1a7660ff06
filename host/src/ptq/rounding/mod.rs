//! Rounding of weights by what it does to a layer's output.
//!
//! Nearest is not best: errors of weights that meet correlated inputs can cancel. All methods here see a layer alone and make its output from
//! the inputs that the quantized network gives it as much like the float layer's as they can.

mod adaround;
mod gradient;
mod gram;
mod patches;
mod quadratic;
mod search;
#[cfg(test)]
mod tests;
mod wide;

pub use gram::{Moments, mean_inputs, moments};
pub use patches::Geometry;
pub(crate) use wide::widest;

use crate::graph::Activation;
use crate::random::Sequence;
use crate::recipe::{AdaRoundOptions, RoundingMethod};
use gradient::{Batches, FullBatch};
use quadratic::Group;
use search::Search;
use std::ops::Range;

/// A layer whose weights are to be rounded.
#[derive(Clone, Copy, Debug)]
pub struct LayerProblem<'a> {
    /// Float weights, rows of `k`, one an output channel.
    pub weights: &'a [f32],
    /// Output channels.
    pub out_channels: usize,
    /// Products of one output.
    pub k: usize,
    /// Largest integer weight; the smallest is its negative.
    pub max: i8,
    /// Whether each row may have a scale of its own.
    pub per_channel: bool,
    /// The scale of each row that its range gives.
    pub scales: &'a [f64],
    /// Scales must not fall below these.
    pub least_scales: &'a [f64],
}

/// What batches are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Inputs of the layer in the quantized network, sample after sample.
    pub input: &'a [f32],
    /// Outputs of the float layer before its activation, likewise.
    pub output: &'a [f32],
    /// The layer's bias.
    pub bias: &'a [f32],
    /// What follows the layer, if the loss is to be taken behind it.
    pub activation: Option<&'a Activation>,
}

/// What is known of a layer's inputs.
#[derive(Clone, Copy)]
pub struct LayerData<'a> {
    /// Where they lie.
    pub geometry: &'a Geometry,
    /// Positions of all samples together.
    pub positions: usize,
    /// Moments of some of the products of an output, one a group.
    pub moments: &'a dyn Fn(Range<usize>) -> Vec<Moments>,
    /// The samples themselves.
    pub samples: Samples<'a>,
    /// Seed of the batches.
    pub seed: u64,
}

/// Integers for a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    /// Integer weights in the order of the float ones.
    pub values: Vec<i8>,
    /// Scale of each row.
    pub scales: Vec<f64>,
    /// Quadratic loss of rounding to nearest with the scales given, up to a constant.
    pub cost_nearest: f64,
    /// Quadratic loss of the result, up to the same constant.
    pub cost: f64,
}

/// Told the iteration and the loss now and then.
pub type Watch<'w> = dyn FnMut(usize, f64) + 'w;

/// Rounds a layer by the method that `options` names.
///
/// The result's quadratic loss is never larger than that of rounding to nearest, except for batches, whose loss is another one.
/// Of layers with very many inputs, the loss leaves out how inputs of different blocks go together, so that memory grows with their number and not with its square.
pub fn round_layer(
    problem: &LayerProblem<'_>,
    data: LayerData<'_>,
    search_scales: bool,
    options: &AdaRoundOptions,
    watch: &mut Watch<'_>,
) -> Rounded {
    let rounded = wide::in_blocks(
        problem,
        data.moments,
        wide::widest(problem.k, data.positions),
        search_scales,
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

/// Rounds a layer by the moments of all its inputs, one of each group.
fn by_moments(
    problem: &LayerProblem<'_>,
    moments: &[Moments],
    search_scales: bool,
    options: &AdaRoundOptions,
    watch: &mut Watch<'_>,
) -> Rounded {
    let groups = groups(moments, options);
    let nearest_only = options.method == RoundingMethod::Nearest;
    let searched = Search::new(problem, &groups, nearest_only).run(search_scales);
    if options.method != RoundingMethod::Adaround {
        return searched;
    }
    let problem = &LayerProblem {
        scales: &searched.scales,
        ..*problem
    };
    let loss = FullBatch::new(problem, &groups);
    let values = adaround::learn(problem, options, watch, |weights, slope| {
        loss.gradient(weights, slope)
    });
    Search::new(problem, &groups, false).no_worse_than_nearest(&values)
}

fn groups(moments: &[Moments], options: &AdaRoundOptions) -> Vec<Group> {
    let group = |moments| Group::new(moments, options.damping);
    moments.iter().map(group).collect()
}
