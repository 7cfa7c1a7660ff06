//! From the numbers of a file to the numbers a network was trained on.

use super::{DatasetError, InputLayout};
use crate::calibrate::Range;
use serde::{Deserialize, Serialize};

/// `real = (x / divisor - mean) / std`, in `f32` and in this order of operations.
///
/// In a recipe, `mean` and `std` are one number or a list of one number a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputTransform {
    /// Divides first, so that a byte becomes a fraction; 1 for nothing.
    pub divisor: f32,
    /// Subtracted: one value, or one a channel.
    #[serde(with = "one_or_many")]
    pub mean: Vec<f32>,
    /// Divides last: one value, or one a channel.
    #[serde(with = "one_or_many")]
    pub std: Vec<f32>,
    /// Smallest and largest number of a stored sample; what is needed to quantize without samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f32; 2]>,
}

impl Default for InputTransform {
    fn default() -> Self {
        InputTransform {
            divisor: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
            range: None,
        }
    }
}

impl InputTransform {
    /// What is wrong with the transform for samples of `channels` channels, if anything is.
    pub fn problem(&self, channels: usize) -> Option<String> {
        let wrong_length = |values: &[f32]| values.len() != 1 && values.len() != channels;
        let no_divisor = |x: &f32| !x.is_finite() || *x == 0.0;
        if wrong_length(&self.mean) || wrong_length(&self.std) {
            return Some(format!(
                "mean has {} and std {} values, expected 1 or {channels}, one a channel",
                self.mean.len(),
                self.std.len()
            ));
        }
        if no_divisor(&self.divisor) {
            let divisor = self.divisor;
            return Some(format!(
                "divisor is {divisor}; it must be finite and not 0 (--input-divisor, or in the recipe's [input])"
            ));
        }
        if let Some(index) = self.std.iter().position(no_divisor) {
            let std = self.std[index];
            return Some(format!(
                "std is {std} at index {index}; it must be finite and not 0 (--input-std, or in the recipe's [input])"
            ));
        }
        if let Some(index) = self.mean.iter().position(|x| !x.is_finite()) {
            let mean = self.mean[index];
            return Some(format!(
                "mean is {mean} at index {index}; it must be finite (--input-mean, or in the recipe's [input])"
            ));
        }
        let usable = |min: f32, max: f32| min.is_finite() && max.is_finite() && min < max;
        let [min, max] = self.range?;
        if !usable(min, max) {
            return Some(format!(
                "range is {min},{max}; it must be two finite numbers, the smaller one first (--input-range, or in the recipe's [input])"
            ));
        }
        let real = self.real_range()?;
        (!usable(real.min, real.max)).then(|| {
            format!(
                "range {min},{max} becomes {},{} by divisor, mean and std; it must stay two finite numbers that differ",
                real.min, real.max
            )
        })
    }

    /// As [`InputTransform::problem`], as an error.
    ///
    /// # Errors
    /// If there is a problem.
    pub(crate) fn check(&self, layout: &InputLayout) -> Result<(), DatasetError> {
        match self.problem(layout.channels()) {
            Some(problem) => Err(DatasetError::Transform { problem }),
            None => Ok(()),
        }
    }

    /// The range that real inputs lie in, over all channels, if the range of stored ones is known.
    pub fn real_range(&self) -> Option<Range> {
        let channels = self.mean.len().max(self.std.len());
        let mut ends: Vec<f32> = self
            .range?
            .into_iter()
            .flat_map(|end| vec![end; channels])
            .collect();
        self.apply(&mut ends, channels);
        ends.into_iter()
            .map(|end| Range { min: end, max: end })
            .reduce(Range::union)
    }

    /// Applies the transform to pixels of `channels` channels each, channels last.
    ///
    /// # Panics
    /// Where [`InputTransform::problem`] has found one.
    pub fn apply(&self, values: &mut [f32], channels: usize) {
        for pixel in values.chunks_exact_mut(channels) {
            for (channel, x) in pixel.iter_mut().enumerate() {
                let of = |values: &[f32]| values[if values.len() == 1 { 0 } else { channel }];
                *x = (*x / self.divisor - of(&self.mean)) / of(&self.std);
            }
        }
    }
}

/// A list with one element is written as that element.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(f32),
        Many(Vec<f32>),
    }

    pub(super) fn serialize<S: Serializer>(values: &[f32], to: S) -> Result<S::Ok, S::Error> {
        match values {
            [value] => value.serialize(to),
            _ => values.serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f32>, D::Error> {
        Ok(match OneOrMany::deserialize(from)? {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_computed_in_f32_in_the_written_order() {
        let transform = InputTransform {
            divisor: 256.0,
            mean: vec![0.3],
            std: vec![0.35],
            ..InputTransform::default()
        };
        let mut values: Vec<f32> = (0..=256u16).map(f32::from).collect();
        transform.apply(&mut values, 1);
        for (u, x) in (0..=256u16).zip(values) {
            let expected = (f32::from(u) / 256.0 - 0.3f32) / 0.35f32;
            assert_eq!(x.to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn each_channel_has_its_own_parameters() {
        let transform = InputTransform {
            divisor: 2.0,
            mean: vec![1.0, 0.0],
            std: vec![1.0, 4.0],
            ..InputTransform::default()
        };
        let mut values = [4.0, 8.0, 2.0, -8.0];
        transform.apply(&mut values, 2);
        assert_eq!(values, [1.0, 1.0, 0.0, -1.0]);
        assert_eq!(transform.problem(2), None);
        assert!(transform.problem(3).unwrap().contains("expected 1 or 3"));
    }

    #[test]
    fn unusable_divisors_are_found() {
        let with = |divisor, std| InputTransform {
            divisor,
            std: vec![std],
            ..InputTransform::default()
        };
        assert!(with(0.0, 1.0).problem(1).is_some());
        assert!(with(1.0, 0.0).problem(1).is_some());
        assert!(with(f32::NAN, 1.0).problem(1).is_some());
        assert!(with(1.0, 1.0).problem(1).is_none());
    }

    #[test]
    fn numbers_that_are_none_and_empty_ranges_are_found() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let problem = |transform: InputTransform| transform.problem(2).unwrap_or_default();
        let mean = problem(InputTransform {
            mean: vec![0.0, nan],
            ..InputTransform::default()
        });
        assert!(mean.contains("mean is NaN at index 1"), "{mean}");
        let std = problem(InputTransform {
            std: vec![0.5, -inf],
            ..InputTransform::default()
        });
        assert!(std.contains("std is -inf at index 1"), "{std}");
        let range = |divisor, range| {
            problem(InputTransform {
                divisor,
                range: Some(range),
                ..InputTransform::default()
            })
        };
        for ends in [[nan, 1.0], [0.0, nan], [1.0, -1.0], [1.0, 1.0], [0.0, inf]] {
            assert!(range(1.0, ends).contains("--input-range"), "{ends:?}");
        }
        assert!(range(1e-30, [0.0, 1e30]).contains("becomes 0,inf"));
        // Too large and too small to tell the ends apart.
        assert!(range(1e38, [0.0, 1e-20]).contains("becomes 0,0"));
        assert_eq!(range(-1.0, [0.0, 1.0]), "");
    }

    #[test]
    fn recipes_say_one_number_or_one_a_channel() {
        let read = |text: &str| toml::from_str::<InputTransform>(text);
        let digits = read("divisor = 256.0\nmean = 0.3\nstd = 0.35").unwrap();
        let expected = InputTransform {
            divisor: 256.0,
            mean: vec![0.3],
            std: vec![0.35],
            ..InputTransform::default()
        };
        assert_eq!(digits, expected);
        let text = toml::to_string(&digits).unwrap();
        assert_eq!(read(&text).unwrap(), digits);
        assert!(!text.contains('['), "{text}");
        let channels = read("mean = [0, 1, 2.5]").unwrap();
        assert_eq!(channels.mean, [0.0, 1.0, 2.5]);
        assert_eq!((channels.divisor, channels.std), (1.0, vec![1.0]));
        assert!(read("stddev = 1").is_err());
    }
}
