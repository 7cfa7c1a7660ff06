//! Encodings: which real number an integer stands for.
//!
//! `real = scale * (q - zero_point)`, equation (1) of `docs/arithmetic.md`.

use crate::calibrate::Range;
use fewbit_runtime::limits::{MAX_SOFTMAX_STEPS, MIN_SOFTMAX_STEPS};
use serde::Serialize;

/// Smallest scale of an encoding: a single below it loses digits.
const MIN_SCALE: f32 = f32::MIN_POSITIVE;

/// Encoding of an int8 tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Encoding {
    /// Real size of one step. A single, as the blob stores it, so that all sides compute with the same number.
    pub scale: f32,
    /// The integer that stands for 0, in -128..=127.
    pub zero_point: i32,
}

impl Encoding {
    /// Encoding of a softmax's output: 256 steps from 0 to 1.
    pub const SOFTMAX: Encoding = Encoding {
        scale: 1.0 / 256.0,
        zero_point: -128,
    };

    /// Encoding of a softmax whose outputs are at most `max`: [`SOFTMAX`](Encoding::SOFTMAX) from 1/2 on, else `1 / steps` with a whole number of
    /// steps, 257 to 2^19 of them, of which `max` is at most 255.
    pub fn softmax(max: f32) -> Encoding {
        if max >= 0.5 {
            return Encoding::SOFTMAX;
        }
        let steps = (255.0 / f64::from(max))
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

    /// The asymmetric int8 encoding that covers `range` and 0, which it represents exactly.
    ///
    /// `scale = (max - min) / 255`, `zero_point = round(-128 - min / scale)`.
    /// An empty range (all values 0) gets scale 1.
    pub fn asymmetric(range: Range) -> Encoding {
        Encoding::asymmetric_from(range, MIN_SCALE)
    }

    /// As [`Encoding::asymmetric`], with a scale of at least `least`.
    pub fn asymmetric_from(range: Range, least: f32) -> Encoding {
        let min = f64::from(range.min.min(0.0));
        let max = f64::from(range.max.max(0.0));
        if min == max {
            return Encoding {
                scale: 1.0,
                zero_point: 0,
            };
        }
        let scale = (((max - min) / 255.0) as f32).max(least.max(MIN_SCALE));
        let zero_point = (-128.0 - min / f64::from(scale))
            .round()
            .clamp(-128.0, 127.0);
        Encoding {
            scale,
            zero_point: zero_point as i32,
        }
    }

    /// The quantized value of `real`: rounded to nearest, ties upwards, saturated; -128 for what is no number.
    pub fn quantize(&self, real: f32) -> i8 {
        // Seen from -128, so that no value left after the clamp is negative and the cast rounds downwards.
        let steps = f64::from(real) / f64::from(self.scale) + f64::from(self.zero_point + 128);
        ((steps + 0.5).clamp(0.0, 255.0) as i32 - 128) as i8
    }

    /// The real number that `quantized` stands for.
    pub fn dequantize(&self, quantized: i8) -> f32 {
        (f64::from(i32::from(quantized) - self.zero_point) * f64::from(self.scale)) as f32
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
        assert_eq!(
            encoding(0.0, 255.0),
            Encoding {
                scale: 1.0,
                zero_point: -128
            }
        );
    }

    #[test]
    fn ties_go_up_and_the_ends_saturate() {
        let encoding = Encoding {
            scale: 0.5,
            zero_point: 10,
        };
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
