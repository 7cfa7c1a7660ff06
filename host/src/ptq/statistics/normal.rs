//! The normal distribution, whole and clipped.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Beyond so many standard deviations nothing is left that an f64 could show next to the rest.
const FAR: f64 = 38.0;

/// Density of the standard normal distribution at `x`.
pub fn density(x: f64) -> f64 {
    libm::exp(-0.5 * x * x) / (2.0 * PI).sqrt()
}

/// Share of the standard normal distribution below `x`, accurate relative to itself in the lower tail.
pub fn cumulative(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// Mean and variance of `min(max(x, min), max)` for a normal `x`; bounds may be infinite, `std` is at least 0.
///
/// Nagel et al., "Data-Free Quantization" (2019), appendix C, with moments about the point of the interval that is nearest to the
/// mean, where the formulas cancel least.
pub fn clipped_normal(mean: f64, std: f64, min: f64, max: f64) -> (f64, f64) {
    // The order of `Activation::Clip`: the upper bound wins.
    let clipped = mean.max(min).min(max);
    if min >= max {
        return (max, 0.0);
    }
    let (a, b) = ((min - mean) / std, (max - mean) / std);
    if std <= 0.0 || a > FAR || b < -FAR {
        return (clipped, 0.0);
    }
    let a = if a < -FAR { f64::NEG_INFINITY } else { a };
    let b = if b > FAR { f64::INFINITY } else { b };
    if a == f64::NEG_INFINITY && b == f64::INFINITY {
        return (mean, std * std);
    }
    // Shares at the bounds and between them, in standard units; of two equal forms the one without a difference of ones.
    let (below, above) = (cumulative(a), cumulative(-b));
    let inside = if a > 0.0 {
        cumulative(-a) - above
    } else {
        cumulative(b) - below
    };
    let centre = 0.0_f64.max(a).min(b);
    let weighted = |x: f64, share: f64| if x.is_finite() { x * share } else { 0.0 };
    let slope = density(a) - density(b);
    let (low, high) = (a - centre, b - centre);
    let first = slope - centre * inside + weighted(low, below) + weighted(high, above);
    let second = inside + weighted(a, density(a)) - weighted(b, density(b)) - 2.0 * centre * slope
        + centre * centre * inside
        + weighted(low * low, below)
        + weighted(high * high, above);
    let variance = (second - first * first).max(0.0) * std * std;
    // Not from the mean where that lies far outside: the difference to a bound would be lost.
    let base = if a > 0.0 {
        min
    } else if b < 0.0 {
        max
    } else {
        mean
    };
    let found = base + std * first;
    (found.max(min).min(max), variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral of `f(x) * density` by Simpson's rule from -12 to 12 with the interval cut at the bounds' kinks.
    fn integral(cuts: &[f64], f: impl Fn(f64) -> f64) -> f64 {
        let mut ends = vec![-12.0];
        ends.extend(cuts.iter().copied().filter(|cut| cut.abs() < 12.0));
        ends.push(12.0);
        let simpson = |low: f64, high: f64| {
            let steps = 4000;
            let h = (high - low) / f64::from(steps);
            let at = |i: i32| {
                let x = low + h * f64::from(i);
                let weight = match i {
                    0 => 1.0,
                    i if i == steps => 1.0,
                    i if i % 2 == 1 => 4.0,
                    _ => 2.0,
                };
                weight * f(x) * density(x)
            };
            (0..=steps).map(at).sum::<f64>() * h / 3.0
        };
        ends.windows(2).map(|pair| simpson(pair[0], pair[1])).sum()
    }

    #[test]
    fn the_cumulative_distribution_has_its_textbook_values() {
        // Abramowitz and Stegun, table 26.1.
        for (x, share) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_1),
            (1.96, 0.975_002_104_9),
            (-3.0, 0.001_349_898_03),
        ] {
            assert!((cumulative(x) - share).abs() < 1e-10, "{x}");
        }
        for x in [-2.0, 0.3, 1.7] {
            let sum = integral(&[x], |at| if at < x { 1.0 } else { 0.0 });
            // The half value at the cut is Simpson's; its weight is tiny.
            assert!((cumulative(x) - sum).abs() < 1e-3);
        }
    }

    #[test]
    fn clipping_agrees_with_numeric_integration() {
        let infinity = f64::INFINITY;
        for (mean, std) in [
            (0.0, 1.0),
            (-2.0, 0.7),
            (3.0, 2.0),
            (5.5, 0.4),
            (0.2, 4.0),
            (-9.0, 2.0),
        ] {
            for (min, max) in [
                (0.0, infinity),
                (0.0, 6.0),
                (-1.0, 1.0),
                (-infinity, 0.5),
                (2.0, 2.5),
                (-infinity, infinity),
            ] {
                let cuts = [(min - mean) / std, (max - mean) / std];
                let clip = |x: f64| (mean + std * x).max(min).min(max);
                let expected = integral(&cuts, clip);
                let spread = integral(&cuts, |x| (clip(x) - expected).powi(2));
                let (found, variance) = clipped_normal(mean, std, min, max);
                let context = format!("{mean} {std} {min} {max}: {found} {expected}");
                assert!((found - expected).abs() < 1e-7, "{context}");
                assert!(
                    (variance - spread).abs() < 1e-7,
                    "{variance} {spread} {context}"
                );
            }
        }
    }

    #[test]
    fn far_tails_and_dead_channels_stay_finite() {
        for (mean, std) in [
            (-1e8, 1.0),
            (1e8, 1.0),
            (-10.0, 1.0),
            (-39.0, 1.0),
            (0.0, 0.0),
            (-1.0, 1e-300),
            (1.0, 1e-38),
            (0.0, 1e30),
        ] {
            for (min, max) in [(0.0, f64::INFINITY), (0.0, 6.0), (1.0, 1.0), (-1.0, 0.0)] {
                let (found, variance) = clipped_normal(mean, std, min, max);
                assert!(found.is_finite() && variance.is_finite(), "{mean} {std}");
                assert!(found >= min && found <= max && variance >= 0.0);
            }
        }
        assert_eq!(clipped_normal(0.5, 0.0, 0.0, 6.0), (0.5, 0.0));
        assert_eq!(clipped_normal(-3.0, 0.0, 0.0, 6.0), (0.0, 0.0));
        // E[max(x, 0)] of a mean 10 deviations below: density(10) / 102 or so.
        let (found, _) = clipped_normal(-10.0, 1.0, 0.0, f64::INFINITY);
        assert!(found > 0.0 && found < 1e-23, "{found}");
    }
}
