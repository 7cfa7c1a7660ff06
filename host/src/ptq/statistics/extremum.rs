//! The larger or smaller of two values.
//!
//! Moments are Clark's for two independent normal values: C. E. Clark, "The Greatest of a Finite Set of Random Variables",
//! Operations Research 9 (1961), equations (2) and (3) with a correlation of 0.

use super::{Channel, Interval, cumulative, density};

/// The larger of `a` and `b`, independent of each other.
pub(super) fn larger(a: Channel, b: Channel) -> Channel {
    let hard = larger_interval(a.hard, b.hard);
    let (mean, variance) = moments([a.mean, b.mean], [a.variance, b.variance]);
    let mean = if mean.is_finite() {
        hard.nearest(mean)
    } else {
        f64::NAN
    };
    // Around the mean, wherever the two normal values of the formula would have it.
    let likely = larger_interval(a.likely, b.likely).union(Interval::new(mean, mean));
    Channel {
        mean,
        variance,
        hard,
        likely,
    }
}

/// The smaller of `a` and `b`, independent of each other.
pub(super) fn smaller(a: Channel, b: Channel) -> Channel {
    negated(larger(negated(a), negated(b)))
}

/// The larger of a number of each.
fn larger_interval(a: Interval, b: Interval) -> Interval {
    Interval::new(a.low.max(b.low), a.high.max(b.high))
}

fn negated(channel: Channel) -> Channel {
    Channel {
        mean: -channel.mean,
        variance: channel.variance,
        hard: channel.hard.scaled(-1.0),
        likely: channel.likely.scaled(-1.0),
    }
}

/// Mean and variance of the larger of two independent normal values.
fn moments(mean: [f64; 2], variance: [f64; 2]) -> (f64, f64) {
    let spread = (variance[0] + variance[1]).sqrt();
    if spread == 0.0 {
        return (mean[0].max(mean[1]), 0.0);
    }
    // About the larger mean, where the formulas cancel least.
    let (first, second) = if mean[0] >= mean[1] { (0, 1) } else { (1, 0) };
    let below = mean[second] - mean[first];
    let alpha = -below / spread;
    let (share, other) = (cumulative(alpha), cumulative(-alpha));
    let bell = spread * density(alpha);
    let shift = below * other + bell;
    let square =
        variance[first] * share + (variance[second] + below * below) * other + below * bell;
    (mean[first] + shift, (square - shift * shift).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(mean: f64, variance: f64, low: f64, high: f64) -> Channel {
        let interval = Interval::new(low, high);
        Channel {
            mean,
            variance,
            hard: interval,
            likely: interval,
        }
    }

    /// Sums over a grid of both values, in steps of a tenth of a deviation.
    fn summed(mean: [f64; 2], variance: [f64; 2]) -> (f64, f64) {
        let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
        for i in -80..=80 {
            for j in -80..=80 {
                let (u, v) = (f64::from(i) / 10.0, f64::from(j) / 10.0);
                let share = density(u) * density(v);
                let a = mean[0] + u * variance[0].sqrt();
                let value = a.max(mean[1] + v * variance[1].sqrt());
                weight += share;
                first += share * value;
                second += share * value * value;
            }
        }
        let mean = first / weight;
        (mean, second / weight - mean * mean)
    }

    #[test]
    fn moments_are_those_of_two_normal_values() {
        for (mean, variance) in [
            ([0.0, 0.0], [1.0, 1.0]),
            ([1.0, -0.5], [0.25, 4.0]),
            ([-3.0, 2.0], [1.0, 0.5]),
            ([0.5, 0.0], [2.0, 0.0]),
        ] {
            let (found, expected) = (moments(mean, variance), summed(mean, variance));
            assert!(
                (found.0 - expected.0).abs() < 2e-3,
                "{found:?} {expected:?}"
            );
            assert!(
                (found.1 - expected.1).abs() < 5e-3,
                "{found:?} {expected:?}"
            );
        }
        // Of two standard normal values: 1 / sqrt(pi) and 1 - 1 / pi.
        let pi = std::f64::consts::PI;
        let (mean, variance) = moments([1e6; 2], [1.0; 2]);
        assert!((mean - 1e6 - 1.0 / pi.sqrt()).abs() < 1e-9);
        assert!((variance - (1.0 - 1.0 / pi)).abs() < 1e-9);
        assert_eq!(moments([3.0, -2.0], [0.0; 2]), (3.0, 0.0));
    }

    #[test]
    fn bounds_are_the_larger_and_the_smaller_of_both() {
        let (a, b) = (channel(0.0, 1.0, -3.0, 4.0), channel(1.0, 0.1, 0.0, 2.0));
        let found = larger(a, b);
        assert_eq!(found.hard, Interval::new(0.0, 4.0));
        assert_eq!(found.likely, found.hard);
        assert!(found.mean > 1.0 && found.mean < 2.0);
        let found = smaller(a, b);
        assert_eq!(found.hard, Interval::new(-3.0, 2.0));
        assert!(found.mean < 0.0 && found.mean > -1.0);
        let half = channel(0.0, 1.0, 0.0, f64::INFINITY);
        assert_eq!(smaller(half, b).hard, Interval::new(0.0, 2.0));
        // A mean that is damaged does not become a bound.
        let damaged = channel(f64::NAN, 1.0, -1.0, 1.0);
        assert!(!larger(damaged, b).is_sound());
    }
}
