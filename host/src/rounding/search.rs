//! Integers and scales of a layer together, by the quadratic loss.
//!
//! Three starts, nearest rounding among them, each improved by single steps; the best is taken, so that the result is never worse
//! than rounding to nearest. Scales are tried below the range's own, by the error of the layer's output and not of the weights (the idea
//! of AIMET's SeqMSE), and then fitted to the integers in closed form, in turns.

use super::quadratic::{Group, Row};
use super::{LayerProblem, Rounded};
use rayon::prelude::*;

/// Shares of the range's scale that are tried, for 4 bits and for 8.
const SHARES_INT4: [f64; 13] = [
    0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35,
];
const SHARES_INT8: [f64; 5] = [0.97, 0.94, 0.9, 0.85, 0.8];

/// Turns of fitting the scale and descending.
const TURNS: usize = 4;

/// A row with its integers.
#[derive(Clone, Debug)]
struct Found {
    values: Vec<i8>,
    scale: f64,
    cost: f64,
}

/// A layer with what is known of its rows.
pub(super) struct Search<'p> {
    problem: &'p LayerProblem<'p>,
    rows: Vec<Row<'p>>,
    /// Whether rows are only ever rounded to nearest.
    nearest_only: bool,
}

impl<'p> Search<'p> {
    pub(super) fn new(
        problem: &'p LayerProblem<'p>,
        groups: &'p [Group],
        nearest_only: bool,
    ) -> Self {
        let rows = problem
            .weights
            .par_chunks_exact(problem.k)
            .enumerate()
            .map(|(row, weights)| groups[row * groups.len() / problem.out_channels].row(weights))
            .collect();
        Search {
            problem,
            rows,
            nearest_only,
        }
    }

    /// Finds integers, and scales where `search_scales` allows it.
    pub(super) fn run(&self, search_scales: bool) -> Rounded {
        let scales = self.problem.scales;
        let nearest = self.all(|row| self.nearest(row, scales[row]));
        let mut found = self.all(|row| self.improved(row, scales[row], &nearest[row].values));
        if search_scales && self.problem.per_channel {
            found = self.all(|row| self.search_row(row, &found[row]));
        } else if search_scales {
            found = self.search_tensor(found);
        }
        Rounded {
            cost_nearest: total(&nearest),
            cost: total(&found),
            scales: found.iter().map(|row| row.scale).collect(),
            values: found.into_iter().flat_map(|row| row.values).collect(),
        }
    }

    /// The better of `values`, which were learnt for the scales given, and rounding to nearest, row by row.
    pub(super) fn no_worse_than_nearest(&self, values: &[i8]) -> Rounded {
        let (scales, k) = (self.problem.scales, self.problem.k);
        let nearest = self.all(|row| self.nearest(row, scales[row]));
        let found = self.all(|row| {
            let learnt = self.found(row, values[row * k..][..k].to_vec(), scales[row]);
            if learnt.cost < nearest[row].cost {
                learnt
            } else {
                nearest[row].clone()
            }
        });
        Rounded {
            cost_nearest: total(&nearest),
            cost: total(&found),
            scales: scales.to_vec(),
            values: found.into_iter().flat_map(|row| row.values).collect(),
        }
    }

    fn all(&self, row: impl Fn(usize) -> Found + Send + Sync) -> Vec<Found> {
        (0..self.rows.len()).into_par_iter().map(row).collect()
    }

    fn max(&self) -> f64 {
        f64::from(self.problem.max)
    }

    fn found(&self, row: usize, values: Vec<i8>, scale: f64) -> Found {
        Found {
            cost: self.rows[row].cost(&values, scale),
            values,
            scale,
        }
    }

    fn nearest(&self, row: usize, scale: f64) -> Found {
        let (k, max) = (self.problem.k, self.max());
        let values = self.problem.weights[row * k..][..k]
            .iter()
            .map(|&weight| (f64::from(weight) / scale).round().clamp(-max, max) as i8)
            .collect();
        self.found(row, values, scale)
    }

    /// A first answer for a scale.
    fn quick(&self, row: usize, scale: f64) -> Found {
        if self.nearest_only {
            return self.nearest(row, scale);
        }
        self.found(row, self.rows[row].nearest_plane(scale, self.max()), scale)
    }

    /// The best of the quick answer, `start` and nearest rounding, each improved by single steps.
    fn improved(&self, row: usize, scale: f64, start: &[i8]) -> Found {
        let nearest = self.nearest(row, scale);
        if self.nearest_only {
            return nearest;
        }
        let mut starts = vec![self.quick(row, scale).values];
        // With 8 bits the first answer is so close that others lead to the same.
        if self.max() < FINE {
            starts.extend([start.to_vec(), nearest.values.clone()]);
        }
        let descended = starts.into_iter().map(|mut values| {
            self.rows[row].descend(&mut values, scale, self.max());
            self.found(row, values, scale)
        });
        descended.fold(
            nearest,
            |best, next| if next.cost < best.cost { next } else { best },
        )
    }

    fn search_row(&self, row: usize, start: &Found) -> Found {
        let least = self.problem.least_scales[row];
        let mut best = start.clone();
        for share in shares(self.max()) {
            let next = self.quick(row, (start.scale * share).max(least));
            if next.cost < best.cost {
                best = next;
            }
        }
        for _ in 0..TURNS {
            let (linear, square) = self.rows[row].scale_sums(&best.values);
            let scale = if linear > 0.0 && square > 0.0 {
                (linear / square).max(least)
            } else {
                best.scale
            };
            let next = self.improved(row, scale, &best.values);
            if next.cost >= best.cost {
                break;
            }
            best = next;
        }
        best
    }

    /// One scale for all rows but those that need a larger one for their bias.
    fn search_tensor(&self, start: Vec<Found>) -> Vec<Found> {
        let least = self.problem.least_scales;
        let base = self
            .problem
            .scales
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let mut best = start;
        for share in shares(self.max()) {
            let next = self.all(|row| self.quick(row, (base * share).max(least[row])));
            if total(&next) < total(&best) {
                best = next;
            }
        }
        for _ in 0..TURNS {
            let (linear, square) = (0..self.rows.len())
                .filter(|&row| best[row].scale > least[row])
                .map(|row| self.rows[row].scale_sums(&best[row].values))
                .fold((0.0, 0.0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
            if !(linear > 0.0 && square > 0.0) {
                break;
            }
            let scale = linear / square;
            let next = self.all(|row| self.improved(row, scale.max(least[row]), &best[row].values));
            if total(&next) >= total(&best) {
                break;
            }
            best = next;
        }
        best
    }
}

fn total(found: &[Found]) -> f64 {
    found.iter().map(|row| row.cost).sum()
}

/// Levels from which on weights are fine enough for a single start.
const FINE: f64 = 16.0;

fn shares(max: f64) -> &'static [f64] {
    if max < FINE {
        &SHARES_INT4
    } else {
        &SHARES_INT8
    }
}
