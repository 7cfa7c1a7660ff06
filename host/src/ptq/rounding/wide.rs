//! Layers with very many inputs, block by block.
//!
//! Moments are `K x K` numbers, and a factor of theirs takes `K^3` steps: 40,000 inputs would need 12.8 GB. Where there are that many, samples are few
//! beside them and say little about how far inputs go together, so the loss is taken as a sum over blocks of inputs.

use super::gram::Moments;
use super::problem::{LayerProblem, Rounded, Scales, Watch};
use super::search::{Search, shares};
use super::whole::{by_moments, groups};
use crate::recipe::AdaRoundOptions;
use std::ops::Range;

/// Products of an output that are processed together: moments and their results stay below 200 MB.
const WIDEST: usize = 2048;

/// Products of a block where positions are few: moments of more than twice as many are mostly damping.
const NARROWEST: usize = 512;

/// Number of products of an output that are processed together, of `k`, with so many positions.
pub(crate) fn widest(k: usize, positions: usize) -> usize {
    if k <= WIDEST {
        return k.max(1);
    }
    (2 * positions).clamp(NARROWEST, WIDEST)
}

/// Blocks of about equal size, none of more than `widest`.
fn blocks(k: usize, widest: usize) -> Vec<Range<usize>> {
    let count = k.div_ceil(widest).max(1);
    (0..count)
        .map(|block| block * k / count..(block + 1) * k / count)
        .collect()
}

/// Rounds a layer by the moments of its inputs, which `moments` gives for a range of them, one per group; of no more than `widest` at once.
pub(super) fn in_blocks(
    problem: &LayerProblem<'_>,
    moments: &dyn Fn(Range<usize>) -> Vec<Moments>,
    widest: usize,
    scales: Scales,
    options: &AdaRoundOptions,
    watch: &mut Watch<'_>,
) -> Rounded {
    let k = problem.k;
    let blocks = blocks(k, widest);
    if let [whole] = &blocks[..] {
        return by_moments(problem, &moments(whole.clone()), scales, options, watch);
    }
    let scales = if scales == Scales::Searched {
        searched_scales(problem, &blocks, moments, options)
    } else {
        problem.scales.to_vec()
    };
    let mut rounded = Rounded {
        values: vec![0; problem.weights.len()],
        scales,
        cost_nearest: 0.0,
        cost: 0.0,
    };
    for block in blocks {
        let weights = columns(problem, &block);
        let part = LayerProblem {
            weights: &weights,
            k: block.len(),
            scales: &rounded.scales,
            ..*problem
        };
        let found = by_moments(
            &part,
            &moments(block.clone()),
            Scales::Given,
            options,
            watch,
        );
        let rows = rounded.values.chunks_exact_mut(k);
        for (row, values) in rows.zip(found.values.chunks_exact(block.len())) {
            row[block.clone()].copy_from_slice(values);
        }
        rounded.cost_nearest += found.cost_nearest;
        rounded.cost += found.cost;
    }
    rounded
}

/// The weights of some of the inputs.
fn columns(problem: &LayerProblem<'_>, block: &Range<usize>) -> Vec<f32> {
    let rows = problem.weights.chunks_exact(problem.k);
    rows.flat_map(|row| &row[block.clone()]).copied().collect()
}

/// The share of its range's scale with the least loss, of each row or of all: one for all blocks.
fn searched_scales(
    problem: &LayerProblem<'_>,
    blocks: &[Range<usize>],
    moments: &dyn Fn(Range<usize>) -> Vec<Moments>,
    options: &AdaRoundOptions,
) -> Vec<f64> {
    let rows = problem.out_channels;
    let base = if problem.per_channel {
        problem.scales.to_vec()
    } else {
        let least = problem.scales.iter().copied().fold(f64::INFINITY, f64::min);
        vec![least; rows]
    };
    let candidate = |share: f64| -> Vec<f64> {
        let scales = base.iter().zip(problem.least_scales);
        scales
            .map(|(scale, least)| (scale * share).max(*least))
            .collect()
    };
    let mut candidates = vec![problem.scales.to_vec()];
    candidates.extend(
        shares(f64::from(problem.max))
            .iter()
            .map(|&share| candidate(share)),
    );
    let mut costs = vec![vec![0.0_f64; rows]; candidates.len()];
    for block in blocks {
        let (weights, groups) = (
            columns(problem, block),
            groups(&moments(block.clone()), options),
        );
        let part = LayerProblem {
            weights: &weights,
            k: block.len(),
            ..*problem
        };
        let search = Search::new(&part, &groups, options.method);
        for (costs, scales) in costs.iter_mut().zip(&candidates) {
            let found = search.costs(scales);
            costs
                .iter_mut()
                .zip(found)
                .for_each(|(sum, cost)| *sum += cost);
        }
    }
    let least = |cost: &dyn Fn(usize) -> f64| {
        let places = 0..candidates.len();
        places
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
            .unwrap_or(0)
    };
    if problem.per_channel {
        let of_row = |row: usize| candidates[least(&|place| costs[place][row])][row];
        (0..rows).map(of_row).collect()
    } else {
        candidates[least(&|place| costs[place].iter().sum())].clone()
    }
}
