//! Empirical bias correction: a channel's mean error goes into its bias.
//!
//! Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2 and appendix D: with
//! data, the expected error of a channel is the mean of its quantized less its float outputs.

use super::streams::Pair;
use crate::quantize::LayerWeights;

/// Shifts each channel of `layer` so that its mean output equals the float network's, and `output.quantized` with it.
///
/// `output` holds values before `activation`, channels last.
pub(super) fn correct(layer: &mut LayerWeights, output: &mut Pair) {
    let channels = layer.bias.len();
    let shift = mean_difference(&output.float, &output.quantized, channels);
    for (bias, shift) in layer.bias.iter_mut().zip(&shift) {
        *bias = (f64::from(*bias) + shift) as f32;
    }
    for pixel in output.quantized.chunks_exact_mut(channels) {
        for (value, shift) in pixel.iter_mut().zip(&shift) {
            *value += *shift as f32;
        }
    }
}

/// Mean of `expected - found`, channel by channel.
fn mean_difference(expected: &[f32], found: &[f32], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0_f64; channels];
    let pixels = expected
        .chunks_exact(channels)
        .zip(found.chunks_exact(channels));
    for (expected, found) in pixels {
        for ((sum, expected), found) in sums.iter_mut().zip(expected).zip(found) {
            *sum += f64::from(expected - found);
        }
    }
    let pixels = (expected.len() / channels.max(1)).max(1) as f64;
    sums.into_iter().map(|sum| sum / pixels).collect()
}
