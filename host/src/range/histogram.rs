//! A streaming histogram that loses nothing when its range grows.
//!
//! Bins are `k * width .. (k + 1) * width` for whole `k` and a power of two as width, so that 0 lies on an edge, and two neighbours
//! become one when the width doubles. The width is the smallest with which the values so far and 0 fit into [`BINS`] bins: it depends
//! on their minimum and maximum alone, so the histogram is the same for any order of the values. Zeros are counted apart.

use super::cost::Piece;
use rayon::prelude::*;

/// Most bins.
pub(crate) const BINS: i64 = 2048;

/// Counts of the values of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    min: f32,
    max: f32,
    zeros: u64,
    /// Width of a bin, a power of two; 0 while there are zeros only.
    width: f64,
    /// Index `k` of the first bin, at most 0.
    first: i64,
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            zeros: 0,
            width: 0.0,
            first: 0,
            counts: Vec::new(),
        }
    }
}

/// Values that one thread counts at a time.
const PART: usize = 1 << 16;

fn plus(counts: &mut [u64], others: &[u64]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}

impl Histogram {
    /// The histogram of `values`, as [`Histogram::add`] makes it.
    pub(crate) fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Counts more values, each once. After a value that is not finite the extremes are not finite either, and nothing is counted any more.
    pub(crate) fn add(&mut self, values: &[f32]) {
        self.add_weighted(values, &[1]);
    }

    /// As [`Histogram::add`], counting the values of each channel (the last axis) so many times.
    pub(crate) fn add_weighted(&mut self, values: &[f32], weights: &[u32]) {
        let (mut min, mut max) = (self.min, self.max);
        let mut finite = true;
        for &value in values {
            min = min.min(value);
            max = max.max(value);
            finite &= value.is_finite();
        }
        let was_wild = self.min == f32::NEG_INFINITY || self.max == f32::INFINITY;
        (self.min, self.max) = (min, max);
        if !finite {
            self.max = f32::INFINITY;
        }
        if !finite || was_wild || values.is_empty() {
            return;
        }
        self.widen();
        let pixels = (values.len() / weights.len().max(1)) as u64;
        if self.width == 0.0 {
            self.zeros += pixels * weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
            return;
        }
        // A power of two: its reciprocal and all products are exact.
        let per_width = self.width.recip();
        let (first, bins) = (self.first, self.counts.len());
        let none = || (0_u64, vec![0_u64; bins]);
        let count = |(mut zeros, mut counts): (u64, Vec<u64>), values: &[f32]| {
            for (&value, &weight) in values.iter().zip(weights.iter().cycle()) {
                if value == 0.0 {
                    zeros += u64::from(weight);
                } else {
                    let bin = (f64::from(value) * per_width).floor() as i64 - first;
                    counts[bin as usize] += u64::from(weight);
                }
            }
            (zeros, counts)
        };
        let part = PART.next_multiple_of(weights.len().max(1));
        let parts = values.par_chunks(part).fold(none, count);
        let (zeros, counts) = parts.reduce(none, |(zeros, mut counts), (others, other)| {
            plus(&mut counts, &other);
            (zeros + others, counts)
        });
        self.zeros += zeros;
        plus(&mut self.counts, &counts);
    }

    /// Makes the bins cover the extremes and 0.
    fn widen(&mut self) {
        let (min, max) = (f64::from(self.min).min(0.0), f64::from(self.max).max(0.0));
        if min == max {
            return;
        }
        let bins = |width: f64| {
            let (first, last) = ((min / width).floor() as i64, (max / width).floor() as i64);
            (first, last + 1 - first)
        };
        // From a width that is surely too small.
        let mut width = libm::exp2(libm::log2(max - min).floor()) / (4 * BINS) as f64;
        while bins(width).1 > BINS {
            width *= 2.0;
        }
        let (first, count) = bins(width);
        if (width, first, count) == (self.width, self.first, self.counts.len() as i64) {
            return;
        }
        let mut counts = vec![0; count as usize];
        let merged = if self.width == 0.0 {
            1
        } else {
            (width / self.width) as i64
        };
        for (bin, &old) in (self.first..)
            .zip(&self.counts)
            .filter(|&(_, &old)| old > 0)
        {
            counts[(bin.div_euclid(merged) - first) as usize] += old;
        }
        (self.width, self.first, self.counts) = (width, first, counts);
    }

    /// Smallest and largest value; the wrong way round if there was no value, infinite if one was not finite.
    pub(crate) fn extremes(&self) -> (f32, f32) {
        (self.min, self.max)
    }

    /// Width of the bins; 0 if all values are 0.
    pub(crate) fn width(&self) -> f64 {
        self.width
    }

    /// Values counted.
    pub(crate) fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// The values other than 0, from the lowest to the highest, spread evenly over their bins (as far as the extremes reach).
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let (min, max) = (f64::from(self.min), f64::from(self.max));
        (self.first..)
            .zip(&self.counts)
            .filter(|&(_, &count)| count > 0)
            .map(|(bin, &count)| Piece {
                low: (bin as f64 * self.width).max(min),
                high: ((bin + 1) as f64 * self.width).min(max),
                mass: count as f64,
            })
            .collect()
    }

    /// The ends that are left when `share` of all values is cut off on each side, linear within a bin; 0 is never cut off.
    pub(crate) fn trimmed(&self, share: f64) -> (f64, f64) {
        let cut = share * self.total() as f64;
        let pieces = self.pieces();
        let mut left = cut;
        let mut low = 0.0;
        for piece in pieces.iter().take_while(|piece| piece.high <= 0.0) {
            if piece.mass > left {
                low = piece.low + (piece.high - piece.low) * left / piece.mass;
                break;
            }
            left -= piece.mass;
        }
        let mut left = cut;
        let mut high = 0.0;
        for piece in pieces.iter().rev().take_while(|piece| piece.low >= 0.0) {
            if piece.mass > left {
                high = piece.high - (piece.high - piece.low) * left / piece.mass;
                break;
            }
            left -= piece.mass;
        }
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sequence;

    fn masses(histogram: &Histogram) -> f64 {
        histogram.pieces().iter().map(|piece| piece.mass).sum()
    }

    #[test]
    fn any_order_and_any_batches_give_the_same_histogram() {
        let mut random = Sequence::new(11);
        let mut values = random.values(3000, -0.01, 0.02);
        values.extend(random.values(500, -7.0, 3.0));
        values.extend([0.0, 0.0, 100.0, -0.0, 1e-30]);
        let whole = Histogram::of(&values);
        let mut reversed = Histogram::default();
        for batch in values.rchunks(37) {
            reversed.add(batch);
        }
        let mut single = Histogram::default();
        values.iter().for_each(|&value| single.add(&[value]));
        assert_eq!(reversed, whole);
        assert_eq!(single, whole);
        assert_eq!(whole.total(), 3505);
        assert_eq!(whole.zeros, 3);
        assert_eq!(masses(&whole), 3502.0);
    }

    #[test]
    fn every_value_lies_in_its_bin_however_the_range_grew() {
        let values = [1e-6, 0.25, -0.5, 3.0, -70.0, 1000.0, 999.0];
        let mut histogram = Histogram::default();
        for (seen, &value) in values.iter().enumerate() {
            histogram.add(&[value]);
            let pieces = histogram.pieces();
            for &old in &values[..=seen] {
                let old = f64::from(old);
                let holds = |piece: &&Piece| piece.low <= old && old <= piece.high;
                assert!(pieces.iter().any(|piece| holds(&piece)), "{old}");
            }
            assert_eq!(masses(&histogram), seen as f64 + 1.0);
            assert!(histogram.counts.len() as i64 <= BINS);
            // No coarser than it need be.
            let span = histogram.max.max(0.0) - histogram.min.min(0.0);
            assert!(f64::from(span) / histogram.width >= (BINS / 2 - 1) as f64);
        }
    }

    #[test]
    fn zeros_and_constants_first() {
        let mut histogram = Histogram::default();
        histogram.add(&[]);
        histogram.add(&[0.0, 0.0]);
        assert!(histogram.pieces().is_empty());
        assert_eq!((histogram.extremes(), histogram.total()), ((0.0, 0.0), 2));
        assert_eq!(histogram.trimmed(0.1), (0.0, 0.0));

        let mut histogram = Histogram::default();
        histogram.add(&[0.3; 5]);
        let exact = f64::from(0.3_f32);
        let expected = Piece {
            low: exact,
            high: exact,
            mass: 5.0,
        };
        assert_eq!(histogram.pieces(), [expected]);
        assert_eq!(histogram.trimmed(0.01), (0.0, exact));
    }

    #[test]
    fn extreme_magnitudes() {
        let values = [1e-45, -1e-45, f32::MAX, f32::MIN];
        let mut histogram = Histogram::default();
        for value in values {
            histogram.add(&[value]);
        }
        assert_eq!(histogram, Histogram::of(&values));
        assert_eq!(masses(&histogram), 4.0);
    }

    #[test]
    fn not_finite_sticks() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut histogram = Histogram::of(&[1.0, bad]);
            histogram.add(&[2.0]);
            assert_eq!(histogram.extremes().1, f32::INFINITY, "{bad}");
        }
    }

    #[test]
    fn trimming_counts_values() {
        let values: Vec<f32> = (1..=1000).map(|i| i as f32).collect();
        let (low, high) = Histogram::of(&values).trimmed(0.01);
        assert_eq!(low, 0.0);
        assert!((high - 990.0).abs() <= 1.0, "{high}");
        // Half of the values are zeros; they count.
        let mut values: Vec<f32> = (-100..0).map(|i| i as f32).collect();
        values.extend([0.0; 100]);
        let (low, high) = Histogram::of(&values).trimmed(0.1);
        assert!((low + 80.0).abs() <= 1.0, "{low}");
        assert_eq!(high, 0.0);
    }
}
