//! Results of a run, as values that become JSON.
//!
//! The JSON keys are an interface: they are added to, never renamed. A metric that does not apply is left out.

use crate::metrics::Regression;
use crate::recipe::Recipe;
use serde::Serialize;

/// Result of quantizing a model.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeReport {
    /// Name of the model.
    pub model: String,
    /// The recipe that was used.
    pub recipe: Recipe,
    /// Number of samples that the accuracy was measured on.
    pub samples: usize,
    /// Accuracy of the float network.
    pub float: Accuracy,
    /// Accuracy of the fake-quantized network.
    pub simulated: Accuracy,
    /// Accuracy of the device's integer engine.
    pub integer: Accuracy,
    /// Bytes of the blob.
    pub blob_bytes: usize,
    /// Bytes of weights in the blob, as stored.
    pub weight_bytes: usize,
    /// Bytes of RAM for activations and scratch.
    pub arena_bytes: usize,
    /// Lower bound of the arena for these operators, in bytes.
    pub arena_lower_bound_bytes: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Wall time of the run, in seconds.
    pub seconds: f64,
    /// Number of calibration samples.
    pub calibration_samples: usize,
    /// Name of the tensor at which `sqnr_db` is measured: the network's output, or the input of its final softmax.
    pub sqnr_tensor: String,
    /// Report of every operator.
    pub layers: Vec<LayerReport>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Warnings: reasons to doubt the result.
    pub warnings: Vec<String>,
}

/// Accuracy of one form of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Accuracy {
    /// Share of samples classified as labelled, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Signal-to-quantization-noise ratio against float, in dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr_db: Option<f64>,
    /// Share of samples with the float network's arg max, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Against targets: root of the mean squared error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// Against targets: mean absolute error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
    /// Against targets: coefficient of determination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
}

impl Accuracy {
    /// Adds the errors against targets.
    pub fn with_regression(self, found: Option<Regression>) -> Accuracy {
        Accuracy {
            rmse: found.map(|found| found.rmse),
            mae: found.map(|found| found.mae),
            r2: found.and_then(|found| found.r2),
            ..self
        }
    }
}

/// One operator of the quantized network, measured on a few samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Name of the node.
    pub name: String,
    /// Its operator on the device.
    pub op: &'static str,
    /// Shape of its output, `[h, w, c]`.
    pub shape: [u16; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Scale of its output, positive and finite.
    pub scale: f32,
    /// Zero point of its output, -128 to 127.
    pub zero_point: i32,
    /// SQNR of the fake-quantized network against float, in dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated_sqnr_db: Option<f64>,
    /// SQNR of the integer engine against float, in dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer_sqnr_db: Option<f64>,
    /// Share of values in which simulation and engine differ, 0 to 1.
    pub differing: f64,
    /// Largest difference between simulation and engine, in quantized steps.
    pub largest_step: u32,
    /// Share of values in which they differ when the simulated operator reads the engine's integers: its own rounding.
    pub differing_alone: f64,
    /// Largest such difference.
    pub largest_step_alone: u32,
}
