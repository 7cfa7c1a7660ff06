//! Observers: from a stream of values to the range to cover.

use crate::quantize::Bits;
use crate::range::histogram::Histogram;
use crate::range::search;
use crate::range::{Range, RangeMethod, RangeOptions};

/// Levels of an activation tensor.
const LEVELS: u32 = Bits::Int8.levels();

/// Watches the values of one tensor.
pub trait Observer: Send + Sync {
    /// Takes in more values.
    fn observe(&mut self, values: &[f32]);

    /// The range to cover, given all values so far. Not finite if a value was not.
    fn range(&self) -> Range;
}

impl RangeOptions {
    /// A new observer of an int8 tensor.
    pub fn observer(self) -> Box<dyn Observer> {
        match self.method {
            RangeMethod::MinMax => Box::new(MinMax::default()),
            _ => Box::new(HistogramObserver {
                histogram: Histogram::default(),
                options: self,
                weights: vec![1],
            }),
        }
    }

    /// Creates an observer of an int8 tensor in which an error of a channel counts by its `importance`, relative to the others. Only methods
    /// that minimize a squared error use it.
    pub(crate) fn observer_of(self, importance: &[f64]) -> Box<dyn Observer> {
        let most = importance.iter().copied().fold(0.0, f64::max);
        let weighs = matches!(self.method, RangeMethod::Mse | RangeMethod::Sqnr);
        if !(weighs && most > 0.0 && most.is_finite()) {
            return self.observer();
        }
        let weight = |&value: &f64| (value / most * MOST_WEIGHT).ceil() as u32;
        Box::new(HistogramObserver {
            histogram: Histogram::default(),
            options: self,
            weights: importance.iter().map(weight).collect(),
        })
    }
}

/// Weight of the values of the channel that matters most.
const MOST_WEIGHT: f64 = 4096.0;

/// The smallest and the largest value.
#[derive(Clone, Copy, Debug)]
pub struct MinMax {
    range: Range,
}

impl Default for MinMax {
    fn default() -> Self {
        MinMax {
            range: Range {
                min: f32::INFINITY,
                max: f32::NEG_INFINITY,
            },
        }
    }
}

impl Observer for MinMax {
    fn observe(&mut self, values: &[f32]) {
        for &value in values {
            // `f32::min` skips NaN; make one stick instead, so that it is reported.
            if value.is_nan() {
                self.range.max = f32::INFINITY;
            }
            self.range.min = self.range.min.min(value);
            self.range.max = self.range.max.max(value);
        }
    }

    fn range(&self) -> Range {
        self.range
    }
}

/// Counts values and chooses the range at the end.
#[derive(Debug)]
struct HistogramObserver {
    histogram: Histogram,
    options: RangeOptions,
    /// Weight per channel, or one for all.
    weights: Vec<u32>,
}

impl Observer for HistogramObserver {
    fn observe(&mut self, values: &[f32]) {
        self.histogram.add_weighted(values, &self.weights);
    }

    fn range(&self) -> Range {
        search::choose(&self.histogram, &self.options, LEVELS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [RangeMethod; 5] = [
        RangeMethod::MinMax,
        RangeMethod::Percentile,
        RangeMethod::Mse,
        RangeMethod::Sqnr,
        RangeMethod::Entropy,
    ];

    #[test]
    fn min_max_streams() {
        let mut observer = MinMax::default();
        observer.observe(&[0.5, -2.0]);
        observer.observe(&[1.5]);
        let expected = Range {
            min: -2.0,
            max: 1.5,
        };
        assert_eq!(observer.range(), expected);
    }

    #[test]
    fn values_that_are_not_finite_show() {
        for method in ALL {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut observer = RangeOptions::new(method).observer();
                observer.observe(&[0.0, bad, 1.0]);
                observer.observe(&[2.0]);
                let range = observer.range();
                assert!(
                    !range.min.is_finite() || !range.max.is_finite(),
                    "{method:?} {bad}"
                );
            }
        }
    }

    #[test]
    fn a_late_large_value_is_not_lost() {
        for method in ALL {
            let mut observer = RangeOptions::new(method).observer();
            observer.observe(&[0.0, 0.01, -0.01]);
            observer.observe(&[50.0; 20]);
            let max = observer.range().max;
            assert!((45.0..=50.0).contains(&max), "{method:?}: {max}");
        }
    }
}
