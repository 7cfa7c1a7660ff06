//! Reports as tables on the terminal.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use fewbit::measure::report::{Accuracy, QuantizeReport};

/// Headings of [`columns`]; `other` names the reference of the comparison.
pub(crate) fn headings(accuracy: &Accuracy, other: &str) -> Vec<String> {
    let names = if accuracy.rmse.is_some() {
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

/// Figures of a table's row: errors if there are targets, otherwise shares of samples.
pub(crate) fn columns(accuracy: &Accuracy) -> Vec<String> {
    if accuracy.rmse.is_some() {
        let numbers = [accuracy.rmse, accuracy.mae, accuracy.r2].map(number);
        return (numbers.into_iter())
            .chain([decibels(accuracy.sqnr_db)])
            .collect();
    }
    vec![
        percent(accuracy.top1),
        percent(accuracy.agreement),
        decibels(accuracy.sqnr_db),
    ]
}

/// Table of accuracy and sizes.
pub fn summary(report: &QuantizeReport) -> String {
    let headings: Vec<_> = ([String::new()].into_iter())
        .chain(headings(&report.float, "float"))
        .collect();
    let headings: Vec<_> = headings.iter().map(String::as_str).collect();
    let mut accuracy = table(&headings);
    let forms = [
        ("float", &report.float),
        ("fake-quantized", &report.simulated),
        ("integer engine", &report.integer),
    ];
    for (name, form) in forms {
        accuracy.add_row([name.to_owned()].into_iter().chain(columns(form)));
    }
    let mut size = table(&["blob", "of it weights", "arena", "lower bound", "MACs"]);
    size.add_row([
        format!("{} B", report.blob_bytes),
        format!("{} B", report.weight_bytes),
        format!("{} B", report.arena_bytes),
        format!("{} B", report.arena_lower_bound_bytes),
        report.macs.to_string(),
    ]);
    format!("{accuracy}\n{size}")
}

/// Table of all operators.
pub(crate) fn layer_table(report: &QuantizeReport) -> String {
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
    for layer in &report.layers {
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

/// A number with four decimals, or in scientific notation if it is too small for these; or a dash.
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
