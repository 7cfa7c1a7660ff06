//! Moments and bounds through an activation.

use super::normal::{clipped_normal, density};
use super::{Channel, Interval};
use crate::graph::Activation;

/// `input` behind `activation`, on channel `channel`; without an activation itself.
pub(super) fn through(activation: Option<&Activation>, channel: usize, input: Channel) -> Channel {
    let Some(activation) = activation else {
        return input;
    };
    let hard = image(activation, channel, input.hard);
    let likely = image(activation, channel, input.likely);
    let (mean, variance) = moments(activation, channel, &input);
    Channel {
        mean: hard.nearest(mean),
        variance,
        hard,
        likely,
    }
}

/// The bounds of an activation that is a clamp, on channel `channel`.
fn clamp(activation: &Activation, channel: usize) -> Option<Interval> {
    let (min, max) = activation.clamp_bounds(channel)?;
    Some(Interval::new(min.into(), max.into()))
}

/// The smallest interval that holds the activation's value for every number in `interval`.
pub(super) fn image(activation: &Activation, channel: usize, interval: Interval) -> Interval {
    if let Some(bounds) = clamp(activation, channel) {
        return Interval::new(bounds.nearest(interval.low), bounds.nearest(interval.high));
    }
    // Ends and turning points; between two of them the function is monotone. Where it has a limit at infinity that arithmetic would
    // not find, a finite end has the same value.
    let (interval, turns): (Interval, &[f64]) = match activation {
        Activation::LeakyRelu { .. } => (interval, &[0.0]),
        Activation::HardSwish => {
            let far = Interval::new(-3.0, f64::INFINITY);
            let inner = Interval::new(far.nearest(interval.low), far.nearest(interval.high));
            (inner, &[-1.5])
        }
        Activation::HardSigmoid { .. } => {
            let far = Interval::new(f32::MIN.into(), f32::MAX.into());
            let inner = Interval::new(far.nearest(interval.low), far.nearest(interval.high));
            (inner, &[])
        }
        _ => (interval, &[]),
    };
    let inside = turns.iter().copied().filter(|&at| interval.contains(at));
    [interval.low, interval.high]
        .into_iter()
        .chain(inside)
        .map(|x| value(activation, x))
        .map(|y| Interval::new(y, y))
        .reduce(Interval::union)
        .unwrap_or(Interval::ALL)
}

fn value(activation: &Activation, x: f64) -> f64 {
    match activation {
        // Exact for large numbers and for infinity times zero.
        Activation::LeakyRelu { .. } if x >= 0.0 => x,
        Activation::LeakyRelu { alpha: 0.0 } => 0.0,
        Activation::LeakyRelu { alpha } => f64::from(*alpha) * x,
        _ => activation.apply(0, x as f32).into(),
    }
}

/// Mean and variance behind the activation, of a normal distribution with the input's moments.
fn moments(activation: &Activation, channel: usize, input: &Channel) -> (f64, f64) {
    let (mean, std) = (input.mean, input.variance.sqrt());
    if let Some(bounds) = clamp(activation, channel) {
        // What is clamped already is not normal any more, and is left as it is.
        if bounds.contains(input.hard.low) && bounds.contains(input.hard.high) {
            return (mean, input.variance);
        }
        return clipped_normal(mean, std, bounds.low, bounds.high);
    }
    match activation {
        Activation::LeakyRelu { alpha } => {
            if input.hard.low >= 0.0 {
                return (mean, input.variance);
            }
            // x is the difference of two parts, of which one is always 0.
            let alpha = f64::from(*alpha);
            let (up, up_variance) = clipped_normal(mean, std, 0.0, f64::INFINITY);
            let (down, down_variance) = clipped_normal(-mean, std, 0.0, f64::INFINITY);
            let variance = up_variance + alpha * alpha * down_variance + 2.0 * alpha * up * down;
            (up - alpha * down, variance.max(0.0))
        }
        Activation::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (f64::from(*alpha), f64::from(*beta));
            clipped_normal(alpha * mean + beta, alpha.abs() * std, 0.0, 1.0)
        }
        _ => integrated(activation, mean, std),
    }
}

/// Mean and variance by the midpoint rule over eight standard deviations to both sides.
fn integrated(activation: &Activation, mean: f64, std: f64) -> (f64, f64) {
    const STEPS: i32 = 320;
    const WIDTH: f64 = 16.0 / STEPS as f64;
    if std == 0.0 {
        return (value(activation, mean), 0.0);
    }
    let nodes = || {
        (0..STEPS).map(|step| {
            let x = (f64::from(step) + 0.5) * WIDTH - 8.0;
            (density(x) * WIDTH, value(activation, mean + std * x))
        })
    };
    let expected: f64 = nodes().map(|(weight, y)| weight * y).sum();
    let spread = nodes().map(|(weight, y)| weight * (y - expected) * (y - expected));
    (expected, spread.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sequence;

    const ALL: [Activation; 8] = [
        Activation::Relu,
        Activation::Clip {
            min: -0.5,
            max: 1.0,
        },
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::LeakyRelu { alpha: -0.3 },
        Activation::Sigmoid,
        Activation::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        Activation::HardSwish,
        Activation::Tanh,
    ];

    fn normal(mean: f64, std: f64) -> Channel {
        let deviations = Interval::new(-6.0 * std, 6.0 * std);
        Channel::new(mean, std * std, Interval::ALL, deviations)
    }

    #[test]
    fn moments_agree_with_samples() {
        let mut random = Sequence::new(41);
        // A sum of twelve is close to normal, and its own moments are taken out.
        let samples: Vec<f64> = (0..100_000)
            .map(|_| (0..12).map(|_| f64::from(random.unit())).sum::<f64>() - 6.0)
            .collect();
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        for activation in &ALL {
            for (mean, std) in [(0.3, 0.8), (-2.0, 1.5), (2.5, 1.0)] {
                let values: Vec<f64> = samples
                    .iter()
                    .map(|x| f64::from(activation.apply(0, (mean + std * x) as f32)))
                    .collect();
                let expected = mean_of(&values);
                let squares: Vec<f64> = values.iter().map(|y| (y - expected).powi(2)).collect();
                let spread = mean_of(&squares).sqrt();
                let found = through(Some(activation), 0, normal(mean, std));
                let context = format!("{activation:?} {mean} {std}: {found:?}");
                assert!(
                    (found.mean - expected).abs() < 0.02 * std,
                    "{expected} {context}"
                );
                assert!(
                    (found.variance.sqrt() - spread).abs() < 0.03 * std,
                    "{spread} {context}"
                );
                assert!(found.is_sound(), "{context}");
            }
        }
    }

    #[test]
    fn images_cover_all_values_and_reach_them() {
        for activation in &ALL {
            for (low, high) in [(-4.0, 2.0), (-1.0, -0.2), (0.5, 3.0), (-8.0, -5.0)] {
                let found = image(activation, 0, Interval::new(low, high));
                let values: Vec<f64> = (0..=1000)
                    .map(|i| low + (high - low) * f64::from(i) / 1000.0)
                    .map(|x| f64::from(activation.apply(0, x as f32)))
                    .collect();
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let context = format!("{activation:?} {low} {high}: {found:?} {least} {most}");
                assert!(
                    found.low <= least + 1e-6 && least - found.low < 3e-3,
                    "{context}"
                );
                assert!(
                    found.high >= most - 1e-6 && found.high - most < 3e-3,
                    "{context}"
                );
            }
            let all = image(activation, 0, Interval::ALL);
            assert!(all.low <= all.high, "{activation:?}: {all:?}");
        }
    }

    #[test]
    fn a_second_clamp_changes_nothing() {
        let once = through(Some(&Activation::Relu), 0, normal(0.0, 1.0));
        assert_eq!(through(Some(&Activation::Relu), 0, once), once);
    }
}
