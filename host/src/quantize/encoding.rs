//! Encodings: which real number an integer stands for.
//!
//! `real = scale * (q - zero_point)`, equation (1) of `docs/arithmetic.md`.

use super::bits::Bits;
use crate::range::Range;
use fewbit_runtime::limits::{MAX_SOFTMAX_STEPS, MIN_SOFTMAX_STEPS};
use std::ops::RangeInclusive;

/// Smallest scale of an encoding: a single below it loses digits.
const MIN_SCALE: f32 = f32::MIN_POSITIVE;

/// Encoding of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoding {
    /// Real size of one step. A single, as the blob stores it, so that all sides compute with the same number.
    pub scale: f32,
    /// The integer that stands for 0, one of those that [`bits`](Encoding::bits) hold.
    pub zero_point: i32,
    /// Width of the integers.
    pub bits: Bits,
}

impl Encoding {
    /// Encoding of a softmax's output: 256 steps from 0 to 1.
    pub const SOFTMAX: Encoding =
        Encoding::int8(1.0 / Bits::Int8.levels() as f32, Bits::Int8.min());

    /// An encoding of 8 bits.
    pub const fn int8(scale: f32, zero_point: i32) -> Encoding {
        Encoding {
            scale,
            zero_point,
            bits: Bits::Int8,
        }
    }

    /// Encoding of a softmax whose outputs are at most `max`: [`SOFTMAX`](Encoding::SOFTMAX) from 1/2 on, else `1 / steps` with a whole number of
    /// steps, 257 to 2^19 of them, of which `max` is at most 255.
    pub fn softmax(max: f32) -> Encoding {
        if max >= 0.5 {
            return Encoding::SOFTMAX;
        }
        let steps = (f64::from(Encoding::SOFTMAX.bits.steps()) / f64::from(max))
            .floor()
            .clamp(MIN_SOFTMAX_STEPS.into(), MAX_SOFTMAX_STEPS.into());
        Encoding {
            scale: (1.0 / steps) as f32,
            ..Encoding::SOFTMAX
        }
    }

    /// Steps from 0 to 1 of a softmax's output; whole, as [`Encoding::softmax`] makes them.
    pub(crate) fn softmax_steps(&self) -> u32 {
        (1.0 / f64::from(self.scale)).round() as u32
    }

    /// Whether a softmax's output may have this encoding: it is one of those that [`Encoding::softmax`] makes.
    pub(crate) fn suits_softmax(&self) -> bool {
        let steps = self.softmax_steps();
        let scale = (1.0 / f64::from(steps)) as f32;
        *self == Encoding::SOFTMAX
            || ((MIN_SOFTMAX_STEPS..=MAX_SOFTMAX_STEPS).contains(&steps)
                && *self
                    == Encoding {
                        scale,
                        ..Encoding::SOFTMAX
                    })
    }

    /// The reason why integers of this encoding cannot stand for real numbers, if there is one.
    pub(crate) fn problem(&self) -> Option<String> {
        if !self.scale.is_finite() || self.scale < MIN_SCALE {
            return Some(format!(
                "its scale is {:e}; it has to be a positive number of at least {MIN_SCALE:e}",
                self.scale
            ));
        }
        let (min, max) = (self.bits.min(), self.bits.max());
        (!(min..=max).contains(&self.zero_point)).then(|| {
            format!(
                "its zero point is {}, outside {min}..={max}",
                self.zero_point
            )
        })
    }

    /// The asymmetric int8 encoding that covers `range` and 0, which it represents exactly.
    ///
    /// `scale = (max - min) / steps`, `zero_point = round(smallest - min / scale)`, with 255 steps from the smallest integer, -128.
    /// An empty range (all values 0) gets scale 1.
    pub fn asymmetric(range: Range) -> Encoding {
        Encoding::asymmetric_from(range, MIN_SCALE)
    }

    /// As [`Encoding::asymmetric`], with a scale of at least `least`.
    pub fn asymmetric_from(range: Range, least: f32) -> Encoding {
        let min = f64::from(range.min.min(0.0));
        let max = f64::from(range.max.max(0.0));
        if min == max {
            return Encoding::int8(1.0, 0);
        }
        let bits = Bits::Int8;
        let [smallest, largest] = [bits.min(), bits.max()].map(f64::from);
        let scale = (((max - min) / f64::from(bits.steps())) as f32).max(least.max(MIN_SCALE));
        let zero_point = (smallest - min / f64::from(scale))
            .round()
            .clamp(smallest, largest);
        Encoding {
            scale,
            zero_point: zero_point as i32,
            bits,
        }
    }

    /// Quantized value of `real`: rounded to nearest, ties upwards, saturated; the smallest for NaN.
    pub fn quantize(&self, real: f32) -> i8 {
        // Seen from the smallest integer, so that no value left after the clamp is negative and the cast rounds downwards.
        let smallest = self.bits.min();
        let steps = f64::from(real) / f64::from(self.scale) + f64::from(self.zero_point - smallest);
        let most = f64::from(self.bits.steps());
        ((steps + 0.5).clamp(0.0, most) as i32 + smallest) as i8
    }

    /// Every integer that a value may have, in order.
    pub(crate) fn integers(&self) -> RangeInclusive<i8> {
        self.bits.min() as i8..=self.bits.max() as i8
    }

    /// The zero point as a tensor of bytes has it.
    pub(crate) fn zero_point_of_byte(&self) -> i8 {
        self.zero_point.clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }

    /// The real number that `quantized` stands for.
    pub fn dequantize(&self, quantized: i8) -> f32 {
        (f64::from(i32::from(quantized) - self.zero_point) * f64::from(self.scale)) as f32
    }

    /// The real numbers that `quantized` stand for.
    pub fn dequantize_all(&self, quantized: &[i8]) -> Vec<f32> {
        let real = |&value: &i8| self.dequantize(value);
        quantized.iter().map(real).collect()
    }

    /// `real` after a round trip.
    pub fn fake_quantize(&self, real: f32) -> f32 {
        self.dequantize(self.quantize(real))
    }

    /// Quantized bounds of the real range `min..=max`; infinite bounds become the type's.
    pub fn clamp_bounds(&self, min: f32, max: f32) -> (i8, i8) {
        (self.quantize(min), self.quantize(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(min: f32, max: f32) -> Encoding {
        Encoding::asymmetric(Range { min, max })
    }

    #[test]
    fn zero_is_exact_and_the_range_is_covered() {
        for (min, max) in [
            (-1.0, 1.0),
            (0.0, 6.0),
            (-3.0, 0.0),
            (2.0, 5.0),
            (-0.1, 100.0),
            (-7.0, -1.0),
        ] {
            let encoding = encoding(min, max);
            assert_eq!(encoding.fake_quantize(0.0), 0.0);
            for real in [min, max] {
                let error = (encoding.fake_quantize(real) - real).abs();
                assert!(
                    error <= encoding.scale * 0.51,
                    "{min}..{max}: {real} is off by {error}"
                );
            }
        }
        assert_eq!(encoding(0.0, 255.0), Encoding::int8(1.0, -128));
    }

    #[test]
    fn ties_go_up_and_the_ends_saturate() {
        let encoding = Encoding::int8(0.5, 10);
        assert_eq!(encoding.quantize(0.25), 11);
        assert_eq!(encoding.quantize(-0.25), 10);
        assert_eq!(encoding.quantize(1e9), 127);
        assert_eq!(encoding.quantize(f32::NEG_INFINITY), -128);
        assert_eq!(encoding.clamp_bounds(0.0, f32::INFINITY), (10, 127));
    }

    #[test]
    fn a_softmax_has_whole_steps_that_its_scale_tells() {
        for max in [1.0, 0.9, 0.5] {
            assert_eq!(Encoding::softmax(max), Encoding::SOFTMAX);
        }
        for (max, steps) in [(0.49, 520), (0.25, 1020), (0.01, 25_500), (0.0, 1 << 19)] {
            let encoding = Encoding::softmax(max);
            assert_eq!(encoding.softmax_steps(), steps, "{max}");
            assert_eq!((encoding.quantize(0.0), encoding.zero_point), (-128, -128));
        }
        for steps in 257..=1 << 19 {
            let encoding = Encoding {
                scale: (1.0 / f64::from(steps)) as f32,
                ..Encoding::SOFTMAX
            };
            assert_eq!(encoding.softmax_steps(), steps);
        }
    }

    #[test]
    fn degenerate_ranges_have_a_usable_scale() {
        assert_eq!(encoding(0.0, 0.0).scale, 1.0);
        assert_eq!(encoding(0.0, 1e-40).scale, MIN_SCALE);
        assert_eq!(encoding(0.0, 2.55e-30).quantize(2.55e-30), 127);
        assert!(encoding(-3e38, 3e38).scale.is_finite());
    }
}
