//! Rounding by the moments of all inputs of a layer at once.

use super::adaround;
use super::gradient::FullBatch;
use super::gram::Moments;
use super::problem::{LayerProblem, Rounded, Scales, Watch};
use super::quadratic::Group;
use super::search::Search;
use crate::recipe::{AdaRoundOptions, RoundingMethod};

/// Rounds a layer by the moments of all its inputs, one of each group.
pub(super) fn by_moments(
    problem: &LayerProblem<'_>,
    moments: &[Moments],
    scales: Scales,
    options: &AdaRoundOptions,
    watch: &mut Watch<'_>,
) -> Rounded {
    let groups = groups(moments, options);
    let searched = Search::new(problem, &groups, options.method).run(scales);
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
    Search::new(problem, &groups, options.method).no_worse_than_nearest(&values)
}

pub(super) fn groups(moments: &[Moments], options: &AdaRoundOptions) -> Vec<Group> {
    let group = |moments| Group::new(moments, options.damping);
    moments.iter().map(group).collect()
}
