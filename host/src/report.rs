//! What a run found, as JSON and as a table.
//!
//! The JSON keys are an interface: they are added to, never renamed. A metric that does not apply is left out.

use crate::metrics::Regression;
use crate::recipe::Recipe;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

/// Result of quantizing a model.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeReport {
    /// Name of the model.
    pub model: String,
    /// The recipe that was used.
    pub recipe: Recipe,
    /// Samples that the accuracy was measured on.
    pub samples: usize,
    /// The float network.
    pub float: Accuracy,
    /// The float network on the grid of the integers.
    pub simulated: Accuracy,
    /// The device's integer engine.
    pub integer: Accuracy,
    /// Size of the blob.
    pub blob_bytes: usize,
    /// Bytes of weights in it, as stored.
    pub weight_bytes: usize,
    /// RAM for activations.
    pub arena_bytes: usize,
    /// No plan of the same operators can need less.
    pub arena_lower_bound_bytes: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Wall time of the run.
    pub seconds: f64,
    /// Samples that ranges were found on.
    pub calibration_samples: usize,
    /// Tensor that `sqnr_db` is measured at: the network's output, or what goes into its final softmax.
    pub sqnr_tensor: String,
    /// Every operator.
    pub layers: Vec<LayerReport>,
    /// What a user should know.
    pub notes: Vec<String>,
    /// What makes the result doubtful.
    pub warnings: Vec<String>,
}

/// Accuracy of one form of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Accuracy {
    /// Share of samples classified as labelled, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Signal-to-quantization-noise ratio against float.
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
    /// With the errors against targets in it.
    pub fn with_regression(self, found: Option<Regression>) -> Accuracy {
        Accuracy {
            rmse: found.map(|found| found.rmse),
            mae: found.map(|found| found.mae),
            r2: found.and_then(|found| found.r2),
            ..self
        }
    }

    /// Headings of [`Accuracy::columns`], where `other` is what outputs are compared with.
    pub fn headings(&self, other: &str) -> Vec<String> {
        let names = if self.rmse.is_some() {
            vec!["RMSE", "MAE", "R2"]
        } else {
            return vec![
                "top-1".to_owned(),
                format!("agrees with {other}"),
                "SQNR".to_owned(),
            ];
        };
        names
            .into_iter()
            .chain(["SQNR"])
            .map(str::to_owned)
            .collect()
    }

    /// The figures of a table's row: errors where there are targets, else shares of samples.
    pub fn columns(&self) -> Vec<String> {
        if self.rmse.is_some() {
            let numbers = [self.rmse, self.mae, self.r2].map(number);
            return (numbers.into_iter())
                .chain([decibels(self.sqnr_db)])
                .collect();
        }
        vec![
            percent(self.top1),
            percent(self.agreement),
            decibels(self.sqnr_db),
        ]
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
    /// Its output's scale.
    pub scale: f32,
    /// Its output's zero point.
    pub zero_point: i32,
    /// Of the fake-quantized network, against float.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated_sqnr_db: Option<f64>,
    /// Of the integer engine, against float.
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

impl QuantizeReport {
    /// The summary as a table.
    pub fn summary(&self) -> String {
        let headings: Vec<_> = ([String::new()].into_iter())
            .chain(self.float.headings("float"))
            .collect();
        let headings: Vec<_> = headings.iter().map(String::as_str).collect();
        let mut accuracy = table(&headings);
        let forms = [
            ("float", &self.float),
            ("fake-quantized", &self.simulated),
            ("integer engine", &self.integer),
        ];
        for (name, form) in forms {
            accuracy.add_row([name.to_owned()].into_iter().chain(form.columns()));
        }
        let mut size = table(&["blob", "of it weights", "arena", "lower bound", "MACs"]);
        size.add_row([
            format!("{} B", self.blob_bytes),
            format!("{} B", self.weight_bytes),
            format!("{} B", self.arena_bytes),
            format!("{} B", self.arena_lower_bound_bytes),
            self.macs.to_string(),
        ]);
        format!("{accuracy}\n{size}")
    }

    /// Every operator as a table.
    pub fn layer_table(&self) -> String {
        let columns = [
            "node",
            "operator",
            "output",
            "MACs",
            "simulated",
            "integer",
            "differing",
            "largest",
            "alone",
            "largest",
        ];
        let mut layers = table(&columns);
        for layer in &self.layers {
            let [h, w, c] = layer.shape;
            layers.add_row([
                layer.name.clone(),
                layer.op.to_owned(),
                format!("{h}x{w}x{c}"),
                layer.macs.to_string(),
                decibels(layer.simulated_sqnr_db),
                decibels(layer.integer_sqnr_db),
                format!("{:.3} %", 100.0 * layer.differing),
                layer.largest_step.to_string(),
                format!("{:.3} %", 100.0 * layer.differing_alone),
                layer.largest_step_alone.to_string(),
            ]);
        }
        layers.to_string()
    }
}

/// An empty table with headings; all columns but the first are aligned to the right.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(headings.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A share as a percentage, or a dash.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

/// A number with four digits behind the point, or in scientific notation where these would show little of it; or a dash.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| match value.abs() {
            size if size != 0.0 && !(0.01..1e6).contains(&size) => format!("{value:.3e}"),
            _ => format!("{value:.4}"),
        },
    )
}

/// A ratio in decibels, or a dash.
pub fn decibels(db: Option<f64>) -> String {
    db.map_or_else(|| "-".to_owned(), |db| format!("{db:.2} dB"))
}
