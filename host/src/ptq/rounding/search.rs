//! Integers and scales of a layer together, by the quadratic loss.
//!
//! Three starts, nearest rounding among them, each improved by single steps; the best is taken, so that the result is never worse
//! than rounding to nearest. Scales are tried below the range's own, by the error of the layer's output and not of the weights (the idea
//! of AIMET's SeqMSE), and then fitted to the integers in closed form, in turns.

use super::problem::{LayerProblem, Rounded, Scales};
use super::quadratic::{Descended, Group, LANES, Panel};
use crate::parallel;
use crate::recipe::RoundingMethod;

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
    scale: f64,
    row: Descended,
}

impl Found {
    fn cost(&self) -> f64 {
        self.row.cost
    }
}

/// Integers, their scale, and the loss.
type Quick = (Vec<i8>, f64, f64);

/// A layer with what is known of its rows.
pub(super) struct Search<'p> {
    problem: &'p LayerProblem<'p>,
    /// Rows next to each other, with the first one's number.
    panels: Vec<(usize, Panel<'p>)>,
    /// Decides where the search ends: with rounding to nearest, nothing else is tried.
    method: RoundingMethod,
}

impl<'p> Search<'p> {
    pub(super) fn new(
        problem: &'p LayerProblem<'p>,
        groups: &'p [Group],
        method: RoundingMethod,
    ) -> Self {
        let (per_group, k) = (problem.out_channels / groups.len().max(1), problem.k);
        let panels = (0..problem.out_channels).flat_map(|row| {
            // Panels begin with their group, and hold rows of one group only.
            let place = row % per_group.max(1);
            let rows = LANES.min(per_group - place);
            (place % LANES == 0).then_some((row, rows))
        });
        let panels: Vec<(usize, usize)> = panels.collect();
        let panels = parallel::map(panels.len(), |index| {
            let (row, rows) = panels[index];
            let weights = &problem.weights[row * k..(row + rows) * k];
            (row, groups[row / per_group].panel(weights))
        });
        Search {
            problem,
            panels,
            method,
        }
    }

    /// Finds integers, and scales where they are to be searched.
    pub(super) fn run(&self, scales: Scales) -> Rounded {
        let search_scales = scales == Scales::Searched;
        let scales = self.problem.scales;
        let nearest = self.all(|row, panel| self.nearest(row, panel, own(scales, row, panel)));
        let mut found = self.all(|row, panel| {
            let nearest = &nearest[row..][..panel.rows()];
            let found = self.improved(panel, own(scales, row, panel), nearest, &[]);
            if search_scales && self.problem.per_channel {
                self.search_panel(row, panel, found)
            } else {
                found
            }
        });
        if search_scales && !self.problem.per_channel {
            found = self.search_tensor(found);
        }
        rounded(&nearest, found)
    }

    /// The loss of each row with other scales, by a first answer.
    pub(super) fn costs(&self, scales: &[f64]) -> Vec<f64> {
        let quick = parallel::map(self.panels.len(), |index| {
            let (row, panel) = &self.panels[index];
            self.quick(*row, panel, own(scales, *row, panel))
        });
        quick.into_iter().flatten().map(|(.., cost)| cost).collect()
    }

    /// The better of `values`, which were learnt for the scales given, and rounding to nearest, row by row.
    pub(super) fn no_worse_than_nearest(&self, values: &[i8]) -> Rounded {
        let (scales, k) = (self.problem.scales, self.problem.k);
        let nearest = self.all(|row, panel| self.nearest(row, panel, own(scales, row, panel)));
        let learnt = self.all(|row, panel| {
            let values = values[row * k..][..panel.rows() * k].chunks_exact(k);
            let values: Vec<Vec<i8>> = values.map(<[i8]>::to_vec).collect();
            let scales = own(scales, row, panel);
            found(panel.describe(&values, scales), scales)
        });
        rounded(&nearest, best(nearest.clone(), learnt))
    }

    /// Of all rows, panel by panel.
    fn all(&self, panel: impl Fn(usize, &Panel<'p>) -> Vec<Found> + Send + Sync) -> Vec<Found> {
        let found = parallel::map(self.panels.len(), |index| {
            let (row, rows) = &self.panels[index];
            panel(*row, rows)
        });
        found.into_iter().flatten().collect()
    }

    fn max(&self) -> f64 {
        f64::from(self.problem.max)
    }

    fn nearest(&self, row: usize, panel: &Panel<'_>, scales: &[f64]) -> Vec<Found> {
        let (k, max) = (self.problem.k, self.max());
        let rows = self.problem.weights[row * k..].chunks_exact(k);
        let rows: Vec<Vec<i8>> = (rows.zip(scales))
            .map(|(weights, &scale)| {
                let level = |&weight: &f32| (f64::from(weight) / scale).round().clamp(-max, max);
                weights.iter().map(|weight| level(weight) as i8).collect()
            })
            .collect();
        found(panel.describe(&rows, scales), scales)
    }

    /// A first answer for other scales, with its loss.
    fn quick(&self, row: usize, panel: &Panel<'_>, scales: &[f64]) -> Vec<Quick> {
        if self.method == RoundingMethod::Nearest {
            let nearest = self.nearest(row, panel, scales).into_iter();
            return nearest
                .map(|row| (row.row.values, row.scale, row.row.cost))
                .collect();
        }
        let planes = panel.nearest_plane(scales, self.max()).into_iter();
        planes
            .zip(scales)
            .map(|((values, cost), &scale)| (values, scale, cost))
            .collect()
    }

    /// The best of nearest rounding, of the nearest plane and of `start`, each improved by single steps.
    fn improved(
        &self,
        panel: &Panel<'_>,
        scales: &[f64],
        nearest: &[Found],
        start: &[Found],
    ) -> Vec<Found> {
        if self.method == RoundingMethod::Nearest {
            return nearest.to_vec();
        }
        let planes = panel.nearest_plane(scales, self.max()).into_iter();
        let mut starts: Vec<Vec<Vec<i8>>> = vec![planes.map(|(values, _)| values).collect()];
        // With 8 bits the first answer is so close that others lead to the same.
        if self.max() < FINE {
            let values = |rows: &[Found]| rows.iter().map(|row| row.row.values.clone()).collect();
            starts.push(values(nearest));
            if !start.is_empty() {
                starts.push(values(start));
            }
        }
        (starts.iter()).fold(nearest.to_vec(), |best_so_far, start| {
            let descended = panel.descend(start, scales, self.max());
            best(best_so_far, found(descended, scales))
        })
    }

    /// Scales of rows that may each have their own.
    fn search_panel(&self, row: usize, panel: &Panel<'_>, start: Vec<Found>) -> Vec<Found> {
        let least = own(self.problem.least_scales, row, panel);
        let limited = |scale: f64, least: &f64| scale.max(*least);
        let ranges: Vec<f64> = start.iter().map(|row| row.scale).collect();
        let mut quick: Vec<Quick> = (start.iter())
            .map(|row| (row.row.values.clone(), row.scale, row.cost()))
            .collect();
        for share in shares(self.max()) {
            let scales = ranges.iter().zip(least);
            let scales: Vec<f64> = scales
                .map(|(&scale, least)| limited(scale * share, least))
                .collect();
            for (best, next) in quick.iter_mut().zip(self.quick(row, panel, &scales)) {
                if next.2 < best.2 {
                    *best = next;
                }
            }
        }
        let (values, scales): (Vec<_>, Vec<_>) = (quick.into_iter())
            .map(|(values, scale, _)| (values, scale))
            .unzip();
        let mut found = found(panel.describe(&values, &scales), &scales);
        for _ in 0..TURNS {
            let scales: Vec<f64> = (found.iter().zip(least))
                .map(|(row, least)| match row.row.scale_sums {
                    (linear, square) if linear > 0.0 && square > 0.0 => {
                        limited(linear / square, least)
                    }
                    _ => row.scale,
                })
                .collect();
            let nearest = self.nearest(row, panel, &scales);
            let next = self.improved(panel, &scales, &nearest, &found);
            let better_than = |(next, row): (&Found, &Found)| next.cost() < row.cost();
            if !next.iter().zip(&found).any(better_than) {
                break;
            }
            found = best(found, next);
        }
        found
    }

    /// One scale for all rows but those that need a larger one for their bias.
    fn search_tensor(&self, start: Vec<Found>) -> Vec<Found> {
        let least = self.problem.least_scales;
        let base = (self.problem.scales.iter().copied()).fold(f64::INFINITY, f64::min);
        let limited = |scale: f64, row: usize, panel: &Panel<'_>| -> Vec<f64> {
            let least = own(least, row, panel).iter();
            least.map(|least| scale.max(*least)).collect()
        };
        let mut best = start;
        for share in shares(self.max()) {
            let next = self.all(|row, panel| {
                let scales = limited(base * share, row, panel);
                let quick = self.quick(row, panel, &scales).into_iter();
                let values: Vec<Vec<i8>> = quick.map(|(values, ..)| values).collect();
                found(panel.describe(&values, &scales), &scales)
            });
            if total(&next) < total(&best) {
                best = next;
            }
        }
        for _ in 0..TURNS {
            let (linear, square) = (0..best.len())
                .filter(|&row| best[row].scale > least[row])
                .map(|row| best[row].row.scale_sums)
                .fold((0.0, 0.0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
            if !(linear > 0.0 && square > 0.0) {
                break;
            }
            let next = self.all(|row, panel| {
                let scales = limited(linear / square, row, panel);
                let nearest = self.nearest(row, panel, &scales);
                self.improved(panel, &scales, &nearest, &best[row..][..panel.rows()])
            });
            if total(&next) >= total(&best) {
                break;
            }
            best = next;
        }
        best
    }
}

/// A layer's numbers that belong to the rows of a panel.
fn own<'v>(values: &'v [f64], row: usize, panel: &Panel<'_>) -> &'v [f64] {
    &values[row..][..panel.rows()]
}

fn found(rows: Vec<Descended>, scales: &[f64]) -> Vec<Found> {
    let rows = rows.into_iter().zip(scales);
    rows.map(|(row, &scale)| Found { scale, row }).collect()
}

/// For each row the result of less loss; the first of equal ones.
fn best(first: Vec<Found>, second: Vec<Found>) -> Vec<Found> {
    let better = |(first, second): (Found, Found)| {
        if second.cost() < first.cost() {
            second
        } else {
            first
        }
    };
    first.into_iter().zip(second).map(better).collect()
}

fn rounded(nearest: &[Found], found: Vec<Found>) -> Rounded {
    Rounded {
        cost_nearest: total(nearest),
        cost: total(&found),
        scales: found.iter().map(|row| row.scale).collect(),
        values: found.into_iter().flat_map(|row| row.row.values).collect(),
    }
}

fn total(found: &[Found]) -> f64 {
    found.iter().map(Found::cost).sum()
}

/// Levels from which on weights are fine enough for a single start.
const FINE: f64 = 16.0;

/// Shares of the range's scale that are tried.
pub(super) fn shares(max: f64) -> &'static [f64] {
    if max < FINE {
        &SHARES_INT4
    } else {
        &SHARES_INT8
    }
}
