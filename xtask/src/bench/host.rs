//! `cargo xtask bench host`: speed of the float executor.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use fewbit::executor::Executor;
use fewbit::import::{self, ImportOptions};
use fewbit::output::write_atomically;
use fewbit::random::Sequence;
use fewbit_cli::table;
use serde::Serialize;

use fewbit_tests::models;

/// Networks and how many samples they run together.
const CASES: [(&str, &str, usize); 2] = [
    ("resnet8", "resnet8/resnet8_float.onnx", 32),
    (
        "efficientnet_lite0",
        "efficientnet_lite0/efficientnet_lite0_float.onnx",
        1,
    ),
];

const WARM_UP: usize = 5;
const RUNS: usize = 30;

/// Arguments of `bench host`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Write the rows as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row {
    net: &'static str,
    batch: usize,
    /// Median of a run over the batch.
    seconds: f64,
    samples_per_second: f64,
    gmacs_per_second: f64,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
}

/// Times the float networks and prints a table.
///
/// # Errors
///
/// Models that cannot be imported or run. Absent ones are skipped, with a note.
pub fn task(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for (net, file, batch) in CASES {
        let Some(path) = models::find(file) else {
            continue;
        };
        let graph = import::load(&path, &ImportOptions::default())?;
        let executor = Executor::new(&graph)?;
        let input = Sequence::new(1).values(batch * executor.input_elements(), 0.0, 1.0);
        let mut times = Vec::new();
        for run in 0..WARM_UP + RUNS {
            let started = Instant::now();
            executor.forward(&input, batch)?;
            if run >= WARM_UP {
                times.push(started.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        let seconds = times[RUNS / 2];
        rows.push(Row {
            net,
            batch,
            seconds,
            samples_per_second: batch as f64 / seconds,
            gmacs_per_second: graph.macs() as f64 * batch as f64 / seconds * 1e-9,
        });
    }
    let mut shown = table(&["net", "batch", "ms a run", "samples/s", "GMAC/s"]);
    for row in &rows {
        shown.add_row([
            row.net.to_owned(),
            row.batch.to_string(),
            format!("{:.2}", 1e3 * row.seconds),
            format!("{:.1}", row.samples_per_second),
            format!("{:.1}", row.gmacs_per_second),
        ]);
    }
    say!("{shown}")?;
    if let Some(path) = &args.json {
        write_atomically(path, &serde_json::to_vec_pretty(&Report { rows })?)?;
    }
    Ok(())
}
