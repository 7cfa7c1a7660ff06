//! Parameters of convolutions and fully connected layers.

/// Weights and bias of a layer that sums products.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Weights, one row per output channel: OHWI of a convolution, OI of a fully connected layer.
    pub weights: Vec<f32>,
    /// Bias, one value per output channel.
    pub bias: Vec<f32>,
    /// Output channels.
    pub out_channels: usize,
    /// The BatchNorm that was folded into this layer: the distribution of its outputs (before the activation).
    pub folded: Option<BatchNorm>,
}

impl Linear {
    /// Products summed for one output: length of a row of weights.
    pub fn weights_per_channel(&self) -> usize {
        self.weights.len() / self.out_channels.max(1)
    }

    /// The rows of weights, one per output channel.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.weights.chunks_exact(self.weights_per_channel().max(1))
    }

    /// As [`Linear::rows`], to change them.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let length = self.weights_per_channel().max(1);
        self.weights.chunks_exact_mut(length)
    }
}

/// Parameters and statistics of a BatchNorm, one value per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Scale: standard deviation of the output.
    pub gamma: Vec<f32>,
    /// Shift: mean of the output.
    pub beta: Vec<f32>,
    /// Mean of the input.
    pub mean: Vec<f32>,
    /// Variance of the input.
    pub variance: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// A BatchNorm that computes `x * scale + shift`, for affine operators that carry no statistics.
    pub fn affine(scale: Vec<f32>, shift: Vec<f32>) -> Self {
        let channels = scale.len();
        BatchNorm {
            gamma: scale,
            beta: shift,
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            epsilon: 0.0,
        }
    }

    /// Whether gamma and beta describe a distribution: `false` for what [`BatchNorm::affine`] made.
    pub fn has_statistics(&self) -> bool {
        let plain = self.epsilon == 0.0 && self.mean.iter().all(|&mean| mean == 0.0);
        !(plain && self.variance.iter().all(|&variance| variance == 1.0))
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.gamma.len()
    }

    /// The same function as `x * scale + shift`: `scale = gamma / sqrt(variance + epsilon)`, `shift = beta - mean * scale`.
    ///
    /// Computed in `f64`, as both may be far apart in magnitude.
    pub fn scale_and_shift(&self, channel: usize) -> (f64, f64) {
        let deviation = (f64::from(self.variance[channel]) + f64::from(self.epsilon)).sqrt();
        let scale = f64::from(self.gamma[channel]) / deviation;
        let shift = f64::from(self.beta[channel]) - f64::from(self.mean[channel]) * scale;
        (scale, shift)
    }
}
