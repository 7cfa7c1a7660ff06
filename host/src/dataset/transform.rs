//! Conversion of a file's numbers to the numbers that a network was trained on.

use super::{DatasetError, InputLayout};
use crate::executor::layout::Transpose;
use crate::range::Range;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// `real = (x / divisor - mean) / std`, in `f32` and in this order of operations.
///
/// In a recipe, `mean` and `std` are one number, a list of one number per channel, or a list of one per element of a sample, in the
/// order of the model file's own input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputTransform {
    /// Divisor, applied first, so that a byte becomes a fraction; 1 for none.
    pub divisor: f32,
    /// Mean, subtracted second: one value, one per channel, or one per element in the model file's order.
    #[serde(with = "one_or_many")]
    pub mean: Vec<f32>,
    /// Standard deviation, divided by last: one value, one per channel, or one per element in the model file's order.
    #[serde(with = "one_or_many")]
    pub std: Vec<f32>,
    /// Smallest and largest number of a stored sample; required to quantize without samples.
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
    /// Description of the transform's mismatch with samples of a layout, if there is one.
    pub fn problem(&self, layout: &InputLayout) -> Option<String> {
        let (channels, elements) = (layout.channels(), layout.elements());
        let wrong_length = |values: &[f32]| ![1, channels, elements].contains(&values.len());
        let no_divisor = |x: &f32| !x.is_finite() || *x == 0.0;
        if wrong_length(&self.mean) || wrong_length(&self.std) {
            return Some(format!(
                "mean has {} and std {} values, expected 1, {channels} (one for each channel) or {elements} (one for each element, as the model file has them)",
                self.mean.len(),
                self.std.len()
            ));
        }
        let of_elements = |values: &[f32]| values.len() > channels;
        let (one, all) = (self.mean.len() == 1, of_elements(&self.mean));
        let (other, others) = (self.std.len() == 1, of_elements(&self.std));
        if !one && !other && all != others {
            return Some(format!(
                "mean has {} and std {} values: where one of them has one for each element, the other must have as many, or one",
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
    pub fn check(&self, layout: &InputLayout) -> Result<(), DatasetError> {
        match self.problem(layout) {
            Some(problem) => Err(DatasetError::Transform { problem }),
            None => Ok(()),
        }
    }

    /// Range of real inputs, over all elements, if the range of stored ones is known.
    pub fn real_range(&self) -> Option<Range> {
        // Lists of elements are both in the same order.
        let count = self.mean.len().max(self.std.len());
        let layout = InputLayout::pixels(count);
        let mut ends: Vec<f32> = self
            .range?
            .into_iter()
            .flat_map(|end| vec![end; count])
            .collect();
        self.apply(&mut ends, &layout);
        ends.into_iter()
            .map(|end| Range { min: end, max: end })
            .reduce(Range::union)
    }

    /// Applies the transform to samples in the layout of the graph's input, channels last.
    ///
    /// # Panics
    /// If [`InputTransform::problem`] reports a mismatch.
    pub fn apply(&self, values: &mut [f32], layout: &InputLayout) {
        let (mean, std) = (
            of_elements(&self.mean, layout),
            of_elements(&self.std, layout),
        );
        // Pixels are alike unless elements differ.
        for part in values.chunks_exact_mut(mean.len().max(std.len())) {
            for (at, x) in part.iter_mut().enumerate() {
                *x = (*x / self.divisor - mean[at % mean.len()]) / std[at % std.len()];
            }
        }
    }
}

/// One value, one per channel, or one per element in the order of the graph's input.
fn of_elements<'v>(values: &'v [f32], layout: &InputLayout) -> Cow<'v, [f32]> {
    if values.len() == 1 || values.len() == layout.channels() {
        return Cow::Borrowed(values);
    }
    let mut ordered = vec![0.0; values.len()];
    Transpose::new(&layout.source_shape, &layout.source_axes).run(values, &mut ordered);
    Cow::Owned(ordered)
}

/// A list with one element is written as that element.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number, or a list of numbers")]
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
        transform.apply(&mut values, &InputLayout::pixels(1));
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
        transform.apply(&mut values, &InputLayout::pixels(2));
        assert_eq!(values, [1.0, 1.0, 0.0, -1.0]);
        assert_eq!(transform.problem(&InputLayout::pixels(2)), None);
        assert!(
            transform
                .problem(&InputLayout::pixels(3))
                .unwrap()
                .contains("expected 1, 3 (")
        );
    }

    #[test]
    fn elements_have_parameters_in_the_order_of_the_model_file() {
        // Two channels of one row of three in the file, [w, c] in the graph.
        let layout = InputLayout {
            shape: vec![3, 2],
            source_shape: vec![2, 3],
            source_axes: vec![1, 0],
        };
        let transform = InputTransform {
            mean: vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0],
            std: vec![1.0, 1.0, 1.0, 10.0, 10.0, 10.0],
            range: Some([0.0, 1.0]),
            ..InputTransform::default()
        };
        assert_eq!(transform.problem(&layout), None);
        let mut values = [
            1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0,
        ];
        transform.apply(&mut values, &layout);
        assert_eq!(values[..6], [0.0; 6]);
        assert_eq!(values[6..], [1.0; 6]);
        let range = transform.real_range().unwrap();
        assert_eq!((range.min, range.max), (-3.0, 0.0));
        let mixed = InputTransform {
            std: vec![1.0; 2],
            ..transform.clone()
        };
        assert!(mixed.problem(&layout).unwrap().contains("as many, or one"));
        let short = InputTransform {
            mean: vec![0.0; 5],
            ..transform
        };
        let problem = short.problem(&layout).unwrap();
        assert!(
            problem.contains("mean has 5") && problem.contains("6 (one for each element"),
            "{problem}"
        );
    }

    #[test]
    fn unusable_divisors_are_found() {
        let with = |divisor, std| InputTransform {
            divisor,
            std: vec![std],
            ..InputTransform::default()
        };
        assert!(with(0.0, 1.0).problem(&InputLayout::pixels(1)).is_some());
        assert!(with(1.0, 0.0).problem(&InputLayout::pixels(1)).is_some());
        assert!(
            with(f32::NAN, 1.0)
                .problem(&InputLayout::pixels(1))
                .is_some()
        );
        assert!(with(1.0, 1.0).problem(&InputLayout::pixels(1)).is_none());
    }

    #[test]
    fn numbers_that_are_none_and_empty_ranges_are_found() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let problem = |transform: InputTransform| {
            transform
                .problem(&InputLayout::pixels(2))
                .unwrap_or_default()
        };
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
