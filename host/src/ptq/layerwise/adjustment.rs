//! Adjustments of synthetic samples to look like those of training.

use crate::graph::NodeMap;

/// Adjustment of a layer's outputs to those of training: `gain * y + shift`, per channel, before the activation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adjustment {
    pub(crate) gain: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl Adjustment {
    /// Adjusts outputs of the layer, channels last.
    pub(crate) fn apply(&self, values: &mut [f32]) {
        for pixel in values.chunks_exact_mut(self.gain.len().max(1)) {
            for ((value, gain), shift) in pixel.iter_mut().zip(&self.gain).zip(&self.shift) {
                *value = *value * gain + shift;
            }
        }
    }
}

/// One adjustment a node; `None` where nothing is known or nothing is to be done.
pub(crate) type Adjustments = NodeMap<Option<Adjustment>>;
