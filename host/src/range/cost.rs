//! Cost of quantizing a distribution to a grid.
//!
//! Costs are exact for the distribution given: a histogram's bins are taken as evenly filled and integrated in closed form, points as
//! they are. The grid holds 0, so that zeros cost nothing and need not be part of the distribution.

/// Added and subtracted, this rounds a number below 2^51 to nearest: it fills all bits of the significand above the point.
const ROUND: f64 = 6_755_399_441_055_744.0;

fn nearest(x: f64) -> f64 {
    (x + ROUND) - ROUND
}

/// Values spread evenly between two ends, or a point where these are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// Number of values.
    pub(crate) mass: f64,
}

/// The multiples `low..=high` of a step: what a quantized tensor can hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    /// Distance of two levels.
    pub(crate) step: f64,
    /// Number of the lowest level, a whole number.
    pub(crate) low: f64,
    /// Number of the highest level, a whole number.
    pub(crate) high: f64,
}

impl Grid {
    /// The asymmetric grid of an even number of `levels` over a range that holds 0, as `Encoding::asymmetric` makes it.
    pub(crate) fn asymmetric(min: f64, max: f64, levels: u32) -> Grid {
        let step = (max - min) / f64::from(levels - 1);
        let half = f64::from(levels / 2);
        let zero_point = (-half - min / step).round().clamp(-half, half - 1.0);
        Grid {
            step,
            low: -half - zero_point,
            high: half - 1.0 - zero_point,
        }
    }

    /// The symmetric grid `-max..=max`.
    pub(crate) fn symmetric(step: f64, max: i8) -> Grid {
        Grid {
            step,
            low: -f64::from(max),
            high: f64::from(max),
        }
    }
}

/// Sum of the squared errors of all values; those more than half a step outside of the grid count `saturation` times.
pub(crate) fn squared_error(pieces: &[Piece], grid: Grid, saturation: f64) -> f64 {
    let per_step = grid.step.recip();
    let sum: f64 = pieces
        .iter()
        .map(|piece| {
            let (low, high) = (piece.low * per_step, piece.high * per_step);
            // The closed form is a difference divided by the width, which says nothing about a point.
            let error = if high - low < 1e-6 {
                point_error((low + high) / 2.0, grid, saturation)
            } else {
                spread_error(low, high, grid, saturation)
            };
            piece.mass * error
        })
        .sum();
    sum * grid.step * grid.step
}

/// As [`squared_error`] of points of mass 1.
pub(crate) fn squared_error_of_points(points: &[f64], grid: Grid, saturation: f64) -> f64 {
    let per_step = grid.step.recip();
    let errors = points
        .iter()
        .map(|&point| point_error(point * per_step, grid, saturation));
    errors.sum::<f64>() * grid.step * grid.step
}

/// Squared error of one value, in steps.
fn point_error(at: f64, grid: Grid, saturation: f64) -> f64 {
    let error = at - nearest(at.clamp(grid.low, grid.high));
    // Clamped values are whole already; rounding leaves at most 1/2.
    let weight = if error.abs() > 0.5 { saturation } else { 1.0 };
    weight * error * error
}

/// Mean squared error of values spread evenly over `a..b`, in steps.
fn spread_error(a: f64, b: f64, grid: Grid, saturation: f64) -> f64 {
    let (low, high) = (grid.low - 0.5, grid.high + 0.5);
    let (inner_a, inner_b) = (a.clamp(low, high), b.clamp(low, high));
    // The integral of the squared distance to the nearest whole number: 1/12 for each one passed, and r^3/3 for the rest.
    let (whole_a, whole_b) = (nearest(inner_a), nearest(inner_b));
    let rest = (inner_b - whole_b).powi(3) - (inner_a - whole_a).powi(3);
    let mut sum = (whole_b - whole_a) / 12.0 + rest / 3.0;
    if b > high {
        sum += saturation * ((b - grid.high).powi(3) - (a.max(high) - grid.high).powi(3)) / 3.0;
    }
    if a < low {
        sum += saturation * ((grid.low - a).powi(3) - (grid.low - b.min(low)).powi(3)) / 3.0;
    }
    sum / (b - a)
}

/// Kullback-Leibler divergence of the quantized distribution from the true one, whose outliers are in its outermost bins.
///
/// Migacz, "8-bit Inference with TensorRT" (2017), for a grid around any zero point: every bin falls to its nearest level, and a level's
/// mass is handed back in equal parts to its bins that are not empty. `pieces` are the bins that are not empty, in ascending order. Infinite where
/// none of them is within the grid.
pub(crate) fn divergence(pieces: &[Piece], grid: Grid) -> f64 {
    let level = |piece: &Piece| nearest((piece.low + piece.high) / 2.0 / grid.step);
    let mass = |pieces: &[Piece]| pieces.iter().map(|piece| piece.mass).sum::<f64>();
    let start = pieces.partition_point(|piece| level(piece) < grid.low);
    let end = pieces.partition_point(|piece| level(piece) <= grid.high);
    if start >= end {
        return f64::INFINITY;
    }
    let (below, inside, above) = (&pieces[..start], &pieces[start..end], &pieces[end..]);
    let (below, within, above) = (mass(below), mass(inside), mass(above));
    let total = below + within + above;
    let last = inside.len() - 1;
    let mut sum = 0.0;
    let mut index = 0;
    for bins in inside.chunk_by(|a, b| level(a) == level(b)) {
        let quantized = mass(bins) / bins.len() as f64 / within;
        for bin in bins {
            let mut true_mass = bin.mass;
            if index == 0 {
                true_mass += below;
            }
            if index == last {
                true_mass += above;
            }
            let share = true_mass / total;
            sum += share * libm::log(share / quantized);
            index += 1;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::Encoding;
    use crate::range::Range;

    #[test]
    fn grids_are_those_of_encodings() {
        for (min, max) in [(-1.0, 2.0), (0.0, 6.0), (-0.7, 0.0), (-0.01, 100.0)] {
            let grid = Grid::asymmetric(f64::from(min), f64::from(max), 256);
            let encoding = Encoding::asymmetric(Range { min, max });
            assert!((grid.step / f64::from(encoding.scale) - 1.0).abs() < 1e-6);
            assert_eq!(grid.low, f64::from(-128 - encoding.zero_point));
            assert_eq!(grid.high, f64::from(127 - encoding.zero_point));
        }
    }

    /// The mean over many values in the piece, rounded one by one.
    fn sampled(low: f64, high: f64, grid: Grid, saturation: f64) -> f64 {
        let samples = 200_000;
        let error = |i: i32| {
            let value = low + (high - low) * (f64::from(i) + 0.5) / f64::from(samples);
            let level = (value / grid.step).round().clamp(grid.low, grid.high);
            let error = value - level * grid.step;
            let weight = if error.abs() > grid.step / 2.0 {
                saturation
            } else {
                1.0
            };
            weight * error * error
        };
        (0..samples).map(error).sum::<f64>() / f64::from(samples)
    }

    #[test]
    fn the_closed_form_is_the_mean_over_samples() {
        let grid = Grid {
            step: 0.3,
            low: -5.0,
            high: 10.0,
        };
        let ends = [
            (-0.1, 0.1),
            (0.2, 0.21),
            (-9.0, 9.0),
            (3.3, 8.0),
            (2.9, 3.1),
            (-4.0, -2.0),
            (-1.7, -1.3),
            (0.15, 0.45),
        ];
        for (low, high) in ends {
            for saturation in [1.0, 3.0] {
                let piece = Piece {
                    low,
                    high,
                    mass: 2.0,
                };
                let found = squared_error(&[piece], grid, saturation);
                let expected = 2.0 * sampled(low, high, grid, saturation);
                assert!(
                    (found - expected).abs() < 1e-4 * expected + 1e-9,
                    "{low}..{high}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn points_and_narrow_pieces_agree() {
        let grid = Grid::symmetric(0.1, 7);
        let points: [f64; 6] = [0.04, -0.33, 0.7, 0.749, 0.76, -2.0];
        let of_points = squared_error_of_points(&points, grid, 3.0);
        for width in [0.0, 1e-9, 1e-6] {
            let pieces = points.map(|point| Piece {
                low: point - width,
                high: point + width,
                mass: 1.0,
            });
            let found = squared_error(&pieces, grid, 3.0);
            assert!((found - of_points).abs() < 1e-5 * of_points, "{width}");
        }
        // By hand: 0.76 and -2 are more than half a step beyond 0.7.
        let expected = 0.04_f64.powi(2) + 0.03_f64.powi(2) + 0.049_f64.powi(2);
        let expected = expected + 3.0 * (0.06_f64.powi(2) + 1.3_f64.powi(2));
        assert!((of_points - expected).abs() < 1e-12);
    }

    #[test]
    fn divergence_by_hand() {
        let bin = |at: f64, mass: f64| Piece {
            low: at - 0.5,
            high: at + 0.5,
            mass,
        };
        let grid = Grid {
            step: 4.0,
            low: 0.0,
            high: 1.0,
        };
        // Centres 3 and 5 fall to level 1 and get 2 each; 0.5 to level 0; 9 lies outside and joins 5.
        let pieces = [bin(0.5, 4.0), bin(3.0, 3.0), bin(5.0, 1.0), bin(9.0, 2.0)];
        let part = |p: f64, q: f64| p * (p / q).ln();
        let expected = part(0.4, 0.5) + part(0.3, 0.25) + part(0.3, 0.25);
        assert!((divergence(&pieces, grid) - expected).abs() < 1e-12);
        let far = [bin(100.0, 1.0)];
        assert_eq!(divergence(&far, grid), f64::INFINITY);
    }
}
