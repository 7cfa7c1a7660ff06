//! Ranges of values, and the search for those that quantize best.

pub(crate) mod cost;
pub(crate) mod histogram;
pub(crate) mod search;

use crate::choice::choices;
use crate::graph::{TensorId, TensorMap};
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

/// The range of every tensor of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges(TensorMap<Range>);

impl Ranges {
    /// The given ranges, one for each tensor of a graph.
    pub fn new(ranges: TensorMap<Range>) -> Ranges {
        Ranges(ranges)
    }

    /// The range of a tensor.
    pub fn of(&self, tensor: TensorId) -> Range {
        self.0[tensor]
    }

    /// Sets the range of a tensor, where it is known better than it can be observed.
    pub fn set(&mut self, tensor: TensorId, range: Range) {
        self.0[tensor] = range;
    }
}

choices! {
    /// Method of finding a tensor's range, by its name in recipes.
    ///
    /// All but the first leave out values that are rare and far away, so that the others get finer steps. Zeros cost nothing in any of
    /// them: 0 is always represented exactly.
    pub enum RangeMethod, MinMax by default {
        /// From the smallest to the largest value.
        MinMax = "min-max",
        /// Without the outermost values, a given share at each end.
        Percentile = "percentile",
        /// Least mean squared error of the quantized values.
        Mse = "mse",
        /// As `mse`, but what saturates counts three times (AIMET's "tf_enhanced").
        Sqnr = "sqnr",
        /// Least Kullback-Leibler divergence of the quantized from the true distribution.
        Entropy = "entropy",
    }
}

/// A [`RangeMethod`] with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RangeOptions {
    /// The method.
    pub method: RangeMethod,
    /// Of [`RangeMethod::Percentile`]: `100 - percentile` percent of the values are left out at each end; above 50, at most 100.
    pub percentile: f64,
}

impl RangeOptions {
    /// Share of values kept on each side, in percent, by default.
    pub const DEFAULT_PERCENTILE: f64 = 99.99;

    /// A method with the default parameters.
    pub fn new(method: RangeMethod) -> Self {
        RangeOptions {
            method,
            percentile: Self::DEFAULT_PERCENTILE,
        }
    }

    /// Whether [`RangeOptions::percentile`] is a number that makes sense.
    pub(crate) fn is_valid(&self) -> bool {
        self.percentile > 50.0 && self.percentile <= 100.0
    }
}

impl Default for RangeOptions {
    fn default() -> Self {
        RangeOptions::new(RangeMethod::default())
    }
}

impl From<RangeMethod> for RangeOptions {
    fn from(method: RangeMethod) -> Self {
        RangeOptions::new(method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_from_toml() {
        let options: RangeOptions = toml::from_str("method = \"entropy\"").expect("parses");
        assert_eq!(options, RangeMethod::Entropy.into());
        let options: RangeOptions =
            toml::from_str("method = \"percentile\"\npercentile = 99.5").expect("parses");
        assert_eq!(options.method, RangeMethod::Percentile);
        assert_eq!(options.percentile, 99.5);
        let error = toml::from_str::<RangeOptions>("percentil = 99.5").expect_err("a typo");
        assert!(error.to_string().contains("percentil"), "{error}");
    }
}
