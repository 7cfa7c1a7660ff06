//! Observers: from a stream of values to the range to cover.

use serde::{Deserialize, Serialize};

/// A closed range of real numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Lower end.
    pub min: f32,
    /// Upper end.
    pub max: f32,
}

impl Range {
    /// The smallest range that covers both.
    pub fn union(self, other: Range) -> Range {
        Range {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Watches the values of one tensor.
pub trait Observer: Send {
    /// Takes in more values.
    fn observe(&mut self, values: &[f32]);

    /// The range to cover, given all values so far. Not finite if a value was not.
    fn range(&self) -> Range;
}

/// How a tensor's range is found, by its name in recipes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RangeMethod {
    /// From the smallest to the largest value.
    #[default]
    MinMax,
}

impl RangeMethod {
    /// A new observer of this kind.
    pub fn observer(self) -> Box<dyn Observer> {
        match self {
            RangeMethod::MinMax => Box::new(MinMax::default()),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_max_streams() {
        let mut observer = MinMax::default();
        observer.observe(&[0.5, -2.0]);
        observer.observe(&[1.5]);
        assert_eq!(
            observer.range(),
            Range {
                min: -2.0,
                max: 1.5
            }
        );
    }

    #[test]
    fn values_that_are_not_finite_show() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut observer = MinMax::default();
            observer.observe(&[0.0, bad, 1.0]);
            let range = observer.range();
            assert!(!range.min.is_finite() || !range.max.is_finite(), "{bad}");
        }
    }
}
