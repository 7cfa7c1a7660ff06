//! Functions of one variable that follow a layer.

use serde::{Deserialize, Serialize};

/// A function applied to every element of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, min), max)`; a bound may be infinite.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// As [`Activation::Clip`], with bounds for each channel (the last axis): what becomes of a clip whose channels were scaled.
    ///
    /// Only as the fused activation of a node.
    ClipPerChannel {
        /// Lower bounds.
        min: Vec<f32>,
        /// Upper bounds.
        max: Vec<f32>,
    },
    /// `x` where positive, else `alpha * x`.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(alpha * x + beta, 0), 1)`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x * min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The function's value at `x` in `channel`.
    pub fn apply(&self, channel: usize, x: f32) -> f32 {
        match *self {
            Activation::Relu => x.max(0.0),
            Activation::Clip { min, max } => x.max(min).min(max),
            Activation::ClipPerChannel { ref min, ref max } => {
                x.max(min[channel]).min(max[channel])
            }
            Activation::LeakyRelu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * x
                }
            }
            Activation::Sigmoid => {
                // Of the two equal forms the one whose exponential cannot overflow.
                if x >= 0.0 {
                    1.0 / (1.0 + libm::expf(-x))
                } else {
                    let e = libm::expf(x);
                    e / (1.0 + e)
                }
            }
            Activation::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::Tanh => libm::tanhf(x),
        }
    }

    /// Applies the function to pixels of `channels` channels, channels last.
    pub fn apply_to(&self, values: &mut [f32], channels: usize) {
        for pixel in values.chunks_exact_mut(channels.max(1)) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = self.apply(channel, *value);
            }
        }
    }

    /// Bounds of the output in `channel` where the function is a clamp (Relu, Clip), so that it fuses into a requantization.
    pub fn clamp_bounds(&self, channel: usize) -> Option<(f32, f32)> {
        match *self {
            Activation::Relu => Some((0.0, f32::INFINITY)),
            Activation::Clip { min, max } => Some((min, max)),
            Activation::ClipPerChannel { ref min, ref max } => Some((min[channel], max[channel])),
            _ => None,
        }
    }

    /// Name, as messages and reports show it.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Clip { .. } | Activation::ClipPerChannel { .. } => "clip",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid { .. } => "hard_sigmoid",
            Activation::HardSwish => "hard_swish",
            Activation::Tanh => "tanh",
        }
    }
}
