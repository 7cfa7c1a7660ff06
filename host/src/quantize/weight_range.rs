//! The range of weights, and the symmetric scale that covers it.

use crate::range::cost::{Grid, divergence, squared_error_of_points};
use crate::range::histogram::Histogram;
use crate::range::search::{Coarse, SATURATION_WEIGHT, minimize};
use crate::range::{RangeMethod, RangeOptions};

/// 129 shrink factors down to 1/256 before the fine search; the errors of a short row in 15 levels are rugged.
const SMOOTH: Coarse = Coarse {
    pairs: 1.0 / 16.0,
    single: 1.0 / 16.0,
    octaves: 8.0,
};

/// The divergence of 15 levels still says something where 255 would outnumber the bins.
const RUGGED: Coarse = Coarse {
    pairs: 1.0 / 32.0,
    single: 1.0 / 32.0,
    octaves: 7.0,
};

/// The scale of weights that are quantized to `-max_level..=max_level` (127 or 7): at most `max|w| / max_level`, 0 if all are 0.
///
/// `values` are a row, or a whole tensor, and finite. Mean squared errors are those of the values themselves; the divergence is that of their
/// histogram. The percentile is that of `|w|`, linear between neighbours. Weights of 0 are exact with any scale and count in none of them, so that
/// channels which carry nothing decide nothing.
pub fn symmetric_scale(values: &[f32], max_level: i8, options: &RangeOptions) -> f64 {
    let magnitudes = || values.iter().map(|value| f64::from(value.abs()));
    let largest = magnitudes().fold(0.0, f64::max);
    let levels = f64::from(max_level);
    if largest == 0.0 || !largest.is_finite() {
        return largest / levels;
    }
    let error = |saturation: f64| {
        let points: Vec<f64> = magnitudes().collect();
        let cost = |_: f64, end: f64| {
            let grid = Grid::symmetric(end / levels, max_level);
            squared_error_of_points(&points, grid, saturation)
        };
        minimize([0.0, largest], SMOOTH, cost)[1]
    };
    let end = match options.method {
        RangeMethod::MinMax => largest,
        RangeMethod::Percentile => percentile(
            magnitudes().filter(|&value| value > 0.0).collect(),
            options.percentile,
        ),
        RangeMethod::Mse => error(1.0),
        RangeMethod::Sqnr => error(SATURATION_WEIGHT),
        RangeMethod::Entropy => {
            let histogram = Histogram::of(values);
            let pieces = histogram.pieces();
            let cost = |_: f64, end: f64| {
                let grid = Grid::symmetric(end / levels, max_level);
                match grid.step >= histogram.width() {
                    true => divergence(&pieces, grid),
                    false => f64::INFINITY,
                }
            };
            minimize([0.0, largest], RUGGED, cost)[1]
        }
    };
    end / levels
}

/// The percentile of `values`, of which there are some.
fn percentile(mut values: Vec<f64>, percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len() - 1;
    let place = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    values[below] + (values[above] - values[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sequence;

    const ALL: [RangeMethod; 5] = [
        RangeMethod::MinMax,
        RangeMethod::Percentile,
        RangeMethod::Mse,
        RangeMethod::Sqnr,
        RangeMethod::Entropy,
    ];

    fn scale(values: &[f32], levels: i8, method: RangeMethod) -> f64 {
        symmetric_scale(values, levels, &method.into())
    }

    fn error(values: &[f32], levels: i8, scale: f64) -> f64 {
        let max = f64::from(levels);
        let error = |&value: &f32| {
            let value = f64::from(value);
            (value - (value / scale).round().clamp(-max, max) * scale).powi(2)
        };
        values.iter().map(error).sum()
    }

    /// Least error over 20 000 scales.
    fn brute_force(values: &[f32], levels: i8) -> f64 {
        let widest = scale(values, levels, RangeMethod::MinMax);
        (1..=20_000)
            .map(|step| error(values, levels, widest * f64::from(step) / 20_000.0))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn mse_is_close_to_the_best_of_all_scales() {
        let mut random = Sequence::new(31);
        for levels in [127, 7] {
            for (count, outlier) in [(9, 0.0), (64, 0.0), (576, 5.0), (2304, 3.0)] {
                let mut values: Vec<f32> = (0..count)
                    .map(|_| (0..6).map(|_| random.unit()).sum::<f32>() - 3.0)
                    .collect();
                values[0] += outlier;
                let found = error(&values, levels, scale(&values, levels, RangeMethod::Mse));
                let best = brute_force(&values, levels);
                let widest = error(&values, levels, scale(&values, levels, RangeMethod::MinMax));
                assert!(found <= widest);
                // A short row's error jumps with every weight that changes its level.
                let tolerance = if count < 100 { 1.3 } else { 1.01 };
                assert!(
                    found <= tolerance * best,
                    "{levels} {count}: {found}, {best}, {widest}"
                );
            }
        }
    }

    #[test]
    fn min_max_and_zeros() {
        assert!((scale(&[0.5, -1.27], 127, RangeMethod::MinMax) - 0.01).abs() < 1e-9);
        for method in ALL {
            assert_eq!(scale(&[0.0; 5], 7, method), 0.0, "{method:?}");
            assert_eq!(scale(&[], 7, method), 0.0, "{method:?}");
            // One weight is represented exactly, among zeros too.
            let alone = scale(&[0.0, 0.0, -0.7], 7, method);
            assert!((alone - 0.1).abs() < 1e-3, "{method:?}: {alone}");
            let tiny = scale(&[1e-30, -2e-30], 127, method);
            assert!(tiny > 0.0 && tiny <= 2.01e-30 / 127.0, "{method:?}: {tiny}");
        }
    }

    #[test]
    fn an_outlier_is_cut_in_four_bits_where_it_pays() {
        let mut random = Sequence::new(32);
        let mut values: Vec<f32> = (0..1000)
            .map(|_| (0..6).map(|_| random.unit()).sum::<f32>() - 3.0)
            .collect();
        values.push(12.0);
        let widest = scale(&values, 7, RangeMethod::MinMax);
        let [mse, sqnr, entropy] = [RangeMethod::Mse, RangeMethod::Sqnr, RangeMethod::Entropy]
            .map(|method| scale(&values, 7, method));
        assert!(mse < 0.5 * widest, "{mse} {widest}");
        assert!(mse <= sqnr && sqnr < widest, "{mse} {sqnr} {widest}");
        assert!(entropy < widest, "{entropy} {widest}");
    }

    #[test]
    fn percentiles_are_of_the_magnitudes() {
        let mut values: Vec<f32> = (1..=1001)
            .map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) })
            .collect();
        // Zeros count for nothing.
        values.extend([0.0; 500]);
        let options = RangeOptions {
            method: RangeMethod::Percentile,
            percentile: 99.0,
        };
        assert!((symmetric_scale(&values, 7, &options) - 991.0 / 7.0).abs() < 1e-9);
    }
}
