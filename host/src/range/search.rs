//! Searches for the range of least cost.
//!
//! Both ends shrink independently towards 0, which always stays in the range; an end that is 0 stays where it is. A coarse search over
//! all pairs of shrink factors finds the valley, and searches of half the spacing around the best pair follow it down. Costs are
//! smooth enough for that: what a spacing of half an octave can skip is the ripple of the rounded zero point.

use super::cost::{Grid, divergence, squared_error};
use super::histogram::Histogram;
use super::{Range, RangeMethod, RangeOptions};

/// Weight of what saturates in [`RangeMethod::Sqnr`]: AIMET's gamma.
pub(crate) const SATURATION_WEIGHT: f64 = 3.0;

/// Finest spacing of shrink factors, in octaves: a range is found to half a percent.
const FINEST: f64 = 1.0 / 128.0;

/// The pairs that a search begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coarse {
    /// Spacing of the factors where both ends shrink, in octaves.
    pub(crate) pairs: f64,
    /// Spacing where only one does.
    pub(crate) single: f64,
    /// The smallest factor is `2^-octaves`.
    pub(crate) octaves: f64,
}

/// For squared errors, which have one broad valley.
const SMOOTH: Coarse = Coarse {
    pairs: 0.5,
    single: 0.125,
    octaves: 10.0,
};

/// For divergences, which are rugged, and say nothing once a step is narrower than a bin.
const RUGGED: Coarse = Coarse {
    pairs: 0.125,
    single: 1.0 / 64.0,
    octaves: 3.0,
};

/// The ends within `ends` (`[min, max]`, `min <= 0 <= max`) with the least cost; the widest of equals.
pub(crate) fn minimize(ends: [f64; 2], coarse: Coarse, cost: impl Fn(f64, f64) -> f64) -> [f64; 2] {
    let fixed = ends.map(|end| end == 0.0);
    if fixed == [true; 2] {
        return ends;
    }
    let at = |exponents: [f64; 2]| {
        [
            ends[0] * libm::exp2(-exponents[0]),
            ends[1] * libm::exp2(-exponents[1]),
        ]
    };
    let value = |exponents: [f64; 2]| {
        let [min, max] = at(exponents);
        cost(min, max)
    };
    let mut spacing = if fixed.contains(&true) {
        coarse.single
    } else {
        coarse.pairs
    };
    let mut best = ([0.0; 2], value([0.0; 2]));
    let mut visit = |low: &[f64], high: &[f64]| {
        for &low in low {
            for &high in high {
                let found = value([low, high]);
                if found < best.1 {
                    best = ([low, high], found);
                }
            }
        }
        best.0
    };
    let steps = (coarse.octaves / spacing) as i32;
    let coarse = |fixed: bool| match fixed {
        true => vec![0.0],
        false => (0..=steps).map(|step| f64::from(step) * spacing).collect(),
    };
    let mut centre = visit(&coarse(fixed[0]), &coarse(fixed[1]));
    while spacing > FINEST {
        spacing /= 2.0;
        let around = |side: usize| match fixed[side] {
            true => vec![0.0],
            false => (-2..=2)
                .map(|step| centre[side] + f64::from(step) * spacing)
                .filter(|&exponent| exponent >= 0.0)
                .collect(),
        };
        centre = visit(&around(0), &around(1));
    }
    at(centre)
}

/// The range for a tensor of `levels` levels, quantized asymmetrically. Holds 0 unless the method is min-max, and is never wider than the values seen and 0.
pub(crate) fn choose(histogram: &Histogram, options: &RangeOptions, levels: u32) -> Range {
    let (min, max) = histogram.extremes();
    if options.method == RangeMethod::MinMax || !min.is_finite() || !max.is_finite() {
        return Range { min, max };
    }
    let ends = [f64::from(min).min(0.0), f64::from(max).max(0.0)];
    let pieces = histogram.pieces();
    let error = |saturation: f64| {
        minimize(ends, SMOOTH, |min, max| {
            squared_error(&pieces, Grid::asymmetric(min, max, levels), saturation)
        })
    };
    let [min, max] = match options.method {
        RangeMethod::MinMax => ends,
        RangeMethod::Percentile => histogram.trimmed(1.0 - options.percentile / 100.0).into(),
        RangeMethod::Mse => error(1.0),
        RangeMethod::Sqnr => error(SATURATION_WEIGHT),
        RangeMethod::Entropy => minimize(ends, RUGGED, |min, max| {
            let grid = Grid::asymmetric(min, max, levels);
            match grid.step >= histogram.width() {
                true => divergence(&pieces, grid),
                false => f64::INFINITY,
            }
        }),
    };
    Range {
        min: min as f32,
        max: max as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::Encoding;
    use crate::testing::Sequence;

    /// About normal, standard deviation 1: a sum of twelve.
    fn normal(random: &mut Sequence, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (0..12).map(|_| random.unit()).sum::<f32>() - 6.0)
            .collect()
    }

    fn range(values: &[f32], method: RangeMethod) -> Range {
        choose(&Histogram::of(values), &method.into(), 256)
    }

    /// Mean squared error of the values themselves, through the encoding that the device gets.
    fn true_error(values: &[f32], range: Range) -> f64 {
        let encoding = Encoding::asymmetric(range);
        let error = |&value: &f32| f64::from(value - encoding.fake_quantize(value)).powi(2);
        values.iter().map(error).sum::<f64>() / values.len() as f64
    }

    /// Least error over a fine search of the values themselves, both ends independent.
    fn brute_force(values: &[f32]) -> f64 {
        let seen = range(values, RangeMethod::MinMax);
        let mut best = f64::INFINITY;
        for low in 1..=40 {
            for high in 1..=40 {
                let tried = Range {
                    min: seen.min.min(0.0) * low as f32 / 40.0,
                    max: seen.max.max(0.0) * high as f32 / 40.0,
                };
                best = best.min(true_error(values, tried));
            }
        }
        best
    }

    #[test]
    fn mse_is_as_good_as_a_search_of_the_values() {
        let mut random = Sequence::new(21);
        let bell = normal(&mut random, 4000);
        let rectified: Vec<f32> = bell.iter().map(|x| x.max(0.0)).collect();
        let mut outliers = bell.clone();
        outliers.extend([9.0, -14.0, 25.0]);
        let skewed: Vec<f32> = bell.iter().map(|x| (0.8 * x).exp() - 0.3).collect();
        let uniform = random.values(4000, -0.4, 1.0);
        let negative: Vec<f32> = rectified.iter().map(|x| -x * x).collect();
        for (name, values) in [
            ("bell", bell),
            ("rectified", rectified),
            ("outliers", outliers),
            ("skewed", skewed),
            ("uniform", uniform),
            ("negative", negative),
        ] {
            let found = true_error(&values, range(&values, RangeMethod::Mse));
            let expected = brute_force(&values);
            assert!(found <= 1.02 * expected, "{name}: {found}, {expected}");
            let widest = true_error(&values, range(&values, RangeMethod::MinMax));
            assert!(found <= 1.001 * widest, "{name}: {found}, {widest}");
        }
    }

    #[test]
    fn rare_outliers_are_cut_by_every_method_but_min_max() {
        let mut random = Sequence::new(22);
        let mut values = normal(&mut random, 100_000);
        values.extend([40.0, -30.0]);
        let seen = range(&values, RangeMethod::MinMax);
        assert_eq!((seen.min, seen.max), (-30.0, 40.0));
        for method in [
            RangeMethod::Percentile,
            RangeMethod::Mse,
            RangeMethod::Sqnr,
            RangeMethod::Entropy,
        ] {
            let found = range(&values, method);
            assert!(found.max < 38.0 && found.max > 2.0, "{method:?}: {found:?}");
            assert!(
                found.min > -29.0 && found.min < -2.0,
                "{method:?}: {found:?}"
            );
        }
        let counted = range(&values, RangeMethod::Percentile);
        assert!(counted.max < 5.0 && counted.min > -5.0, "{counted:?}");
        // What saturates costs more, so less does.
        let (mse, sqnr) = (
            range(&values, RangeMethod::Mse),
            range(&values, RangeMethod::Sqnr),
        );
        assert!(sqnr.max - sqnr.min >= mse.max - mse.min, "{mse:?} {sqnr:?}");
    }

    #[test]
    fn a_rectified_tensor_keeps_its_lower_end_and_zeros_cost_nothing() {
        let mut random = Sequence::new(23);
        let positive: Vec<f32> = normal(&mut random, 20_000)
            .iter()
            .map(|x| x.max(0.0))
            .chain([12.0])
            .collect();
        let mut with_zeros = positive.clone();
        with_zeros.extend([0.0; 200_000]);
        for method in [RangeMethod::Mse, RangeMethod::Sqnr, RangeMethod::Entropy] {
            let found = range(&positive, method);
            assert_eq!(found.min, 0.0, "{method:?}");
            assert!(found.max < 12.0, "{method:?}: {found:?}");
            assert_eq!(range(&with_zeros, method), found, "{method:?}");
        }
    }

    #[test]
    fn a_uniform_tensor_is_not_cut() {
        let values = Sequence::new(24).values(50_000, -1.0, 3.0);
        for method in [RangeMethod::Mse, RangeMethod::Sqnr, RangeMethod::Entropy] {
            let found = range(&values, method);
            assert!(
                found.max > 2.9 && found.min < -0.95,
                "{method:?}: {found:?}"
            );
        }
    }

    #[test]
    fn every_range_holds_zero_and_lies_within_what_was_seen() {
        let mut random = Sequence::new(25);
        for (low, high) in [(2.0, 5.0), (-7.0, -6.5), (-1e-20, 1e-20), (-1.0, 1e4)] {
            let values = random.values(500, low, high);
            let seen = range(&values, RangeMethod::MinMax);
            for method in [
                RangeMethod::Percentile,
                RangeMethod::Mse,
                RangeMethod::Sqnr,
                RangeMethod::Entropy,
            ] {
                let found = range(&values, method);
                assert!(found.min <= 0.0 && found.max >= 0.0, "{method:?}");
                assert!(found.min >= seen.min.min(0.0), "{method:?}");
                assert!(found.max <= seen.max.max(0.0), "{method:?}");
            }
        }
    }

    #[test]
    fn constants_and_zeros() {
        for method in [
            RangeMethod::Percentile,
            RangeMethod::Mse,
            RangeMethod::Sqnr,
            RangeMethod::Entropy,
        ] {
            let zeros = range(&[0.0; 9], method);
            assert_eq!((zeros.min, zeros.max), (0.0, 0.0), "{method:?}");
            let constant = range(&[-2.5; 9], method);
            assert_eq!((constant.min, constant.max), (-2.5, 0.0), "{method:?}");
        }
    }

    #[test]
    fn fewer_levels_cut_more() {
        let values = normal(&mut Sequence::new(26), 20_000);
        let histogram = Histogram::of(&values);
        let width = |levels| {
            let range = choose(&histogram, &RangeMethod::Mse.into(), levels);
            range.max - range.min
        };
        assert!(width(16) < 0.9 * width(256));
    }
}
