//! Statistics of activations without data.
//!
//! A BatchNorm folded into a layer tells the mean and the standard deviation of each of its outputs in training; everything behind
//! it follows by arithmetic under the assumption that elements are independent and, before an activation, normal
//! (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2 and appendix C).

mod activation;
mod error;
mod extremum;
mod interval;
mod layer;
mod movement;
mod normal;
mod propagate;

pub use error::StatisticsError;
pub use normal::{clipped_normal, cumulative, density};
pub use propagate::{ChannelStatistics, propagate};

pub(crate) use interval::Interval;
pub(crate) use propagate::channels;

/// Statistics of the elements of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Channel {
    /// Mean, within `hard`.
    pub(crate) mean: f64,
    /// Variance.
    pub(crate) variance: f64,
    /// Interval of all values; an end may be infinite.
    pub(crate) hard: Interval,
    /// Interval of almost all values: within `hard`, around the mean.
    pub(crate) likely: Interval,
}

impl Channel {
    /// A channel of one value.
    fn constant(value: f64) -> Channel {
        let at = Interval::new(value, value);
        Channel {
            mean: value,
            variance: 0.0,
            hard: at,
            likely: at,
        }
    }

    /// A channel of which mean and variance are known, made to keep within `hard`; likely are the values within `deviations` of the mean.
    fn new(mean: f64, variance: f64, hard: Interval, deviations: Interval) -> Channel {
        let hard = hard.repaired();
        // A damaged mean must not become a bound that looks sound.
        let mean = if mean.is_finite() {
            hard.nearest(mean)
        } else {
            f64::NAN
        };
        Channel {
            mean,
            variance,
            hard,
            likely: Interval::new(
                hard.nearest(mean + deviations.low),
                hard.nearest(mean + deviations.high),
            ),
        }
    }

    /// Distance of the likely values from the mean, to both sides.
    fn deviations(&self) -> Interval {
        Interval::new(self.likely.low - self.mean, self.likely.high - self.mean)
    }

    /// The channel together with zeros, as padding puts them in: its bounds change, its moments are left.
    fn with_zero(self) -> Channel {
        let zero = Interval::new(0.0, 0.0);
        Channel {
            hard: self.hard.union(zero),
            likely: self.likely.union(zero),
            ..self
        }
    }

    /// Elements taken from several channels, each given with its share; the shares add up to 1.
    fn mixture(parts: &[(f64, Channel)]) -> Channel {
        let mean: f64 = parts.iter().map(|(share, part)| share * part.mean).sum();
        let spread = |&(share, part): &(f64, Channel)| {
            share * (part.variance + (part.mean - mean) * (part.mean - mean))
        };
        let union = |interval: fn(&Channel) -> Interval| {
            let all = parts.iter().map(|(_, part)| interval(part));
            all.reduce(Interval::union).unwrap_or(Interval::ALL)
        };
        let hard = union(|part| part.hard);
        Channel {
            mean: hard.nearest(mean),
            variance: parts.iter().map(spread).sum(),
            hard,
            likely: union(|part| part.likely),
        }
    }

    fn is_sound(&self) -> bool {
        let numbers = [self.mean, self.variance, self.likely.low, self.likely.high];
        // What is used ends up as singles.
        let finite = numbers.iter().all(|&x| (x as f32).is_finite());
        finite && self.variance >= 0.0
    }
}
