//! Reports as JSON.

use std::path::Path;

use anyhow::Context;
use fewbit::output::Outputs;

/// Writes a report as JSON, if a file was named.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: Option<&Path>, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut outputs = Outputs::default();
    add_json(&mut outputs, path, report)?;
    outputs.commit().map_err(Into::into)
}

/// As [`write_json`], as one of several outputs that appear together.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn add_json(
    outputs: &mut Outputs,
    path: Option<&Path>,
    report: &impl serde::Serialize,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut text =
        serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    text.push('\n');
    outputs.add(path, text.as_bytes()).map_err(Into::into)
}
