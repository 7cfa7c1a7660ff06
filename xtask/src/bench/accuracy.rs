//! `cargo xtask bench accuracy`: loss of accuracy per network.
//!
//! Every row runs in a process of its own, so that its time and its peak of memory are its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fewbit::output::write_atomically;
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit_cli::{decibels, percent, table};
use serde::{Deserialize, Serialize};

use super::cases::{CASES, Case};
use super::usage::Usage;
use fewbit_tests::networks::{Net, Network};

/// Arguments of `bench accuracy`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only the rows of this network
    #[arg(long, value_enum, value_name = "NET")]
    only: Option<Net>,
    /// Only the short part: the networks that come with the project
    #[arg(long)]
    short: bool,
    /// Run one row and print it as JSON
    #[arg(long, hide = true)]
    row: Option<usize>,
}

/// A row as measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Name of the network.
    pub net: String,
    /// Difference from the default recipe.
    pub case: String,
    /// Bits of the weights.
    pub bits: u32,
    /// `per-channel` or `per-tensor`.
    pub granularity: String,
    /// Accuracy of the float network, 0 to 1.
    pub float_top1: Option<f64>,
    /// Accuracy of the integer engine, 0 to 1.
    pub top1: Option<f64>,
    /// Samples whose arg max is another than the float network's.
    pub changed: Option<usize>,
    /// Samples measured on.
    pub samples: usize,
    /// SQNR of the integer engine's logits against float, in dB.
    pub sqnr_db: Option<f64>,
    /// SQNR of the fake-quantized network's logits against float, in dB.
    pub simulated_sqnr_db: Option<f64>,
    /// Wall time of quantizing.
    pub seconds: f64,
    /// CPU time of quantizing, over all threads.
    pub cpu_seconds: Option<f64>,
    /// Peak of the process's memory up to the end of quantizing.
    pub peak_rss_mb: Option<f64>,
    /// Figures that the project requires.
    pub wanted_db: Option<f64>,
    /// Percentage points of accuracy that may be lost.
    pub most_loss: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
}

/// Runs the benchmark and prints its table.
///
/// # Errors
///
/// If a row cannot be run, or, after all have run, if rows miss their required figures. Rows whose network is absent are skipped, with a note.
pub fn task(args: &Args) -> Result<()> {
    if let Some(index) = args.row {
        let case = CASES.get(index).context("there is no such row")?;
        let row = measure(case)?;
        say!("{}", serde_json::to_string(&row)?)?;
        return Ok(());
    }
    let chosen =
        |case: &Case| args.only.is_none_or(|net| net == case.net) && (!args.short || case.short);
    let mut rows = Vec::new();
    for (index, case) in CASES.iter().enumerate().filter(|(_, case)| chosen(case)) {
        note!("{}: {} …", case.net.name(), case.name);
        rows.extend(run_alone(index)?);
    }
    say!("{}", shown(&rows))?;
    let missed: Vec<String> = rows.iter().filter_map(Row::missed).collect();
    if let Some(path) = &args.json {
        write_atomically(path, &serde_json::to_vec_pretty(&Report { rows })?)?;
    }
    if !missed.is_empty() {
        bail!("less than wanted: {}", missed.join("; "));
    }
    Ok(())
}

/// The short part, as CI runs it.
///
/// # Errors
///
/// As [`task`].
pub fn short() -> Result<()> {
    task(&Args {
        json: None,
        only: None,
        short: true,
        row: None,
    })
}

impl Row {
    /// Message about a row that misses its required figures.
    fn missed(&self) -> Option<String> {
        let name = format!(
            "{} {} W{} {}",
            self.net, self.case, self.bits, self.granularity
        );
        if let (Some(found), Some(wanted)) = (self.sqnr_db, self.wanted_db)
            && found < wanted
        {
            return Some(format!("{name}: {found:.2} dB of {wanted:.2} dB"));
        }
        let (lost, most) = (100.0 * (self.float_top1? - self.top1?), self.most_loss?);
        (lost > most).then(|| format!("{name}: loses {lost:.2} points, {most:.2} are allowed"))
    }
}

/// Runs a row in a process of its own; `None` if the network is absent.
fn run_alone(index: usize) -> Result<Option<Row>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "accuracy", "--row", &index.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run a row")?;
    if !output.status.success() {
        bail!("a row failed");
    }
    serde_json::from_slice(&output.stdout).context("a row's result cannot be read")
}

/// Quantizes and measures; `None` if the network's files are absent.
fn measure(case: &Case) -> Result<Option<Row>> {
    let Some(Network {
        float,
        mut calibration,
        evaluation,
        mut recipe,
    }) = Network::load(case.net)?
    else {
        return Ok(None);
    };
    if let Some(samples) = case.samples {
        calibration = calibration.thinned(samples);
    }
    recipe.weights.bits = case.bits;
    recipe.weights.granularity = case.granularity;
    (case.change)(&mut recipe);
    let range = recipe.input.real_range();
    let on = match range.as_slice() {
        ranges @ [_] if case.data_free => Calibration::Statistics(ranges),
        [] if case.data_free => bail!("the range of the input is not known"),
        _ => Calibration::Samples(&calibration),
    };
    let (before, started) = (Usage::now(), Instant::now());
    let quantized = pipeline::quantize(&float, on, &recipe, &mut Silent)?;
    let (seconds, after) = (started.elapsed().as_secs_f64(), Usage::now());
    let report = pipeline::evaluate(
        &float,
        &quantized,
        &evaluation,
        &recipe,
        started,
        &mut Silent,
    )?;
    let changed = |agreement: f64| ((1.0 - agreement) * report.samples as f64).round() as usize;
    Ok(Some(Row {
        net: case.net.name().to_owned(),
        case: case.name.to_owned(),
        bits: case.bits.bits(),
        granularity: case.granularity.describe().replace(' ', "-"),
        float_top1: report.float.top1,
        top1: report.integer.top1,
        changed: report.integer.agreement.map(changed),
        samples: report.samples,
        sqnr_db: report.integer.sqnr_db,
        simulated_sqnr_db: report.simulated.sqnr_db,
        seconds,
        cpu_seconds: after
            .zip(before)
            .map(|(after, before)| after.cpu_seconds - before.cpu_seconds),
        peak_rss_mb: after.map(|usage| usage.peak_rss_mb),
        wanted_db: case.wanted_db,
        most_loss: case.most_loss,
    }))
}

fn shown(rows: &[Row]) -> String {
    let mut shown = table(&[
        "net",
        "case",
        "weights",
        "float",
        "top-1",
        "changed",
        "SQNR",
        "simulated",
        "wanted",
        "s",
        "CPU s",
        "MB",
    ]);
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    for row in rows {
        shown.add_row([
            row.net.clone(),
            row.case.clone(),
            format!("W{} {}", row.bits, row.granularity),
            percent(row.float_top1),
            percent(row.top1),
            row.changed.map_or_else(
                || "-".to_owned(),
                |changed| format!("{changed} of {}", row.samples),
            ),
            decibels(row.sqnr_db),
            decibels(row.simulated_sqnr_db),
            decibels(row.wanted_db),
            number(Some(row.seconds), 2),
            number(row.cpu_seconds, 2),
            number(row.peak_rss_mb, 0),
        ]);
    }
    shown.to_string()
}
