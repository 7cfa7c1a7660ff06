//! `cargo xtask boards --verify`: networks on every emulated board.
//!
//! Each network is quantized once for every kernel family, then verified as `cargo xtask verify` does. What a board has
//! no room for is a row of its own in the result, with the figures, and no failure.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use fewbit::dataset::Dataset;
use fewbit_cli::{
    boards, percent, table,
    verify::{self, Mismatch, VerifyReport},
    write_json,
};
use fewbit_device::{
    board::{self, Board},
    firmware::DoesNotFit,
};
use fewbit_runtime::format::family::Family;
use serde::Serialize;

use fewbit_tests::networks::{Net, Network};

use crate::{environment, repository};

/// Arguments of `cargo xtask boards`: those of `fewbit boards`, and networks on every board.
#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    list: boards::Args,
    /// Verify the digits, the keyword network and ResNet8 on every emulated board instead.
    #[arg(long, conflicts_with = "blobs")]
    verify: bool,
    /// With --verify: inputs of each network on each board.
    #[arg(long, default_value_t = 20, value_name = "N", requires = "verify", value_parser = at_least_one)]
    limit: usize,
    /// With --verify: write the result as JSON.
    #[arg(long, value_name = "FILE", requires = "verify")]
    json: Option<PathBuf>,
}

/// A number of inputs: none would leave nothing to verify.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 leaves nothing to verify".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// Lists the boards, or runs networks on them.
///
/// # Errors
///
/// As [`boards::task`]; with `--verify`, whatever keeps a network from being run, and outputs that differ.
pub fn task(args: &Args) -> Result<()> {
    if args.verify {
        verified(args.limit, args.json.as_deref())
    } else {
        boards::task(&args.list, environment())
    }
}

/// The networks that are verified: what the smallest board holds, one of each usual kind.
const NETS: [Net; 3] = [Net::Digits, Net::Kws, Net::Resnet8];

/// A network on a board.
#[derive(Clone, Debug, Serialize)]
struct Row {
    board: String,
    model: &'static str,
    /// Number of inputs run, and of those whose outputs equal the host's in every byte.
    inputs: usize,
    identical: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    top1: Option<f64>,
    /// Mean cost per inference.
    instructions: u64,
    /// Everything in flash: application, kernels and blob.
    flash_bytes: u64,
    /// Variables, the arena included and the stack not.
    ram_bytes: u64,
    /// The deepest stack.
    stack_bytes: usize,
}

/// A network that a board has no room for.
#[derive(Clone, Debug, Serialize)]
struct Refusal {
    board: String,
    model: &'static str,
    /// The message that a build gives, with the figures.
    why: String,
}

/// Result of [`task`]; the keys are an interface.
#[derive(Clone, Debug, Default, Serialize)]
struct Matrix {
    rows: Vec<Row>,
    refused: Vec<Refusal>,
    /// Networks whose files are absent.
    skipped: Vec<&'static str>,
}

/// Verifies every network on every emulated board, over `limit` inputs each.
///
/// # Errors
///
/// Whatever keeps a network that fits from being run; [`Mismatch`] if any output differs, once all were run.
fn verified(limit: usize, json: Option<&Path>) -> Result<()> {
    let mut boards = board::all(repository())?;
    boards.retain(|board| board.qemu.is_some());
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let mut matrix = Matrix::default();
    for net in NETS {
        let Some(network) = Network::load(net)? else {
            matrix.skipped.push(net.name());
            continue;
        };
        let mut blobs: Vec<(Family, PathBuf)> = Vec::new();
        for board in &boards {
            let packing = board.isa;
            let known = blobs.iter().find(|(known, _)| *known == packing);
            let blob = match known {
                Some((_, path)) => path.clone(),
                None => {
                    let name = format!("{}-{}.fewbit", net.name(), packing.name());
                    let path = folder.path().join(name);
                    let quantized = network.quantize_for(packing)?;
                    fs::write(&path, quantized.blob.as_bytes())
                        .with_context(|| format!("cannot write {}", path.display()))?;
                    blobs.push((packing, path.clone()));
                    path
                }
            };
            add(&mut matrix, board, net, &blob, &network.evaluation, limit)?;
        }
    }
    print(&matrix)?;
    write_json(json, &matrix)?;
    let differing = matrix.rows.iter().map(|row| row.inputs - row.identical);
    match differing.sum() {
        0 => Ok(()),
        differing => Err(Mismatch {
            differing,
            inputs: matrix.rows.iter().map(|row| row.inputs).sum(),
            board: "the boards".to_owned(),
        }
        .into()),
    }
}

/// Runs one network on one board and adds what came of it.
fn add(
    matrix: &mut Matrix,
    board: &Board,
    net: Net,
    blob: &Path,
    data: &Dataset,
    limit: usize,
) -> Result<()> {
    let samples = limit.min(data.samples);
    let inputs = &data.inputs[..samples * data.elements()];
    let labels = data.labels.as_deref().map(|labels| &labels[..samples]);
    match verify::verify_samples(board, blob, inputs, labels, verify::LIMIT) {
        Ok(report) => {
            for difference in &report.differences {
                say!("{}, {}: {difference}", board.name, net.name())?;
            }
            matrix.rows.push(row(net, report));
        }
        Err(error) => match error.downcast_ref::<DoesNotFit>() {
            Some(why) => matrix.refused.push(Refusal {
                board: board.name.clone(),
                model: net.name(),
                why: why.to_string(),
            }),
            None => return Err(error.context(format!("{} on {}", net.name(), board.name))),
        },
    }
    Ok(())
}

fn row(net: Net, report: VerifyReport) -> Row {
    Row {
        model: net.name(),
        inputs: report.inputs,
        identical: report.identical,
        top1: report.top1,
        instructions: report.instructions_per_inference.unwrap_or(0),
        flash_bytes: report.flash_bytes + report.blob_bytes,
        ram_bytes: report.static_ram_bytes,
        stack_bytes: report.stack_bytes,
        board: report.board,
    }
}

fn print(matrix: &Matrix) -> Result<()> {
    let mut rows = table(&[
        "board",
        "model",
        "identical",
        "top-1",
        "instructions",
        "flash with blob",
        "RAM",
        "stack",
    ]);
    for row in &matrix.rows {
        rows.add_row([
            row.board.clone(),
            row.model.to_owned(),
            format!("{} of {}", row.identical, row.inputs),
            percent(row.top1),
            row.instructions.to_string(),
            format!("{} B", row.flash_bytes),
            format!("{} B", row.ram_bytes),
            format!("{} B", row.stack_bytes),
        ]);
    }
    say!("{rows}")?;
    for refusal in &matrix.refused {
        say!("refused: {}: {}", refusal.model, refusal.why)?;
    }
    for net in &matrix.skipped {
        say!("skipped: {net}: its files are absent")?;
    }
    Ok(())
}
