//! `fewbit verify`: a blob on the host and on a board, byte for byte.
//!
//! The host runs the runtime itself, so that a difference points to a compiler, a kernel family or a memory, and not to another
//! model of the arithmetic. If outputs differ, the operators' checksums show which one differed first, and its bytes are fetched.

use std::path::Path;
use std::time::Duration;
use std::{fmt, fs};

mod args;
mod over;

use anyhow::{Context as _, Result, bail};
use fewbit::dataset::Dataset;
use fewbit::default_model;
use fewbit::measure::simulate::Simulator;
use fewbit::metrics::top1;
use fewbit_protocol::{CRC32, message::Unit};
use fewbit_runtime::{AlignedBlob, format::family::Family};
use serde::Serialize;

pub use args::{Args, LIMIT, Transport};

use crate::{Environment, packing, percent, table, write_json};
use fewbit_device::{board::Board, firmware};

/// Number of random inputs if there is no data.
const RANDOM_INPUTS: usize = 20;

/// Number of inputs that are compared layer by layer if outputs differ.
const EXPLAINED: usize = 3;

/// Exit code for outputs that differ.
pub const MISMATCH_CODE: u8 = 4;

/// Result of `verify`; the keys are an interface.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// Name of the board.
    pub board: String,
    /// Kernel family of the board.
    pub kernels: &'static str,
    /// Kernel family that the blob on the board is packed for.
    pub packing: Family,
    /// Whether it was packed for the board first.
    pub repacked: bool,
    /// Number of inputs run.
    pub inputs: usize,
    /// Number of inputs whose outputs were equal in every byte.
    pub identical: usize,
    /// Share of inputs classified as labelled on the device, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Mean instructions per inference, on an emulated board.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions_per_inference: Option<u64>,
    /// Mean cycles per inference, on a board that counts cycles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_per_inference: Option<u64>,
    /// Mean milliseconds per inference, on a board with a known time base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microseconds_per_inference: Option<u64>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Deepest stack, in bytes.
    pub stack_bytes: usize,
    /// Bytes of flash without the blob.
    pub flash_bytes: u64,
    /// Bytes of the blob.
    pub blob_bytes: u64,
    /// Bytes of variables, with the arena and without the stack.
    pub static_ram_bytes: u64,
    /// First difference of each of the first inputs that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// First byte in which host and device differ, for one input.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Number of the input.
    pub input: usize,
    /// Number of the operator.
    pub op: usize,
    /// Name of the operator's node.
    pub name: String,
    /// Kind of the operator.
    pub kind: &'static str,
    /// Index in the operator's output.
    pub index: usize,
    /// Byte on the host.
    pub expected: i8,
    /// Byte on the device.
    pub found: i8,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "input {}: operator {} `{}` ({}) differs first, at index {}: expected {}, found {}",
            self.input, self.op, self.name, self.kind, self.index, self.expected, self.found
        )
    }
}

/// Error: some outputs differ between host and device.
#[derive(Debug, thiserror::Error)]
#[error(
    "{differing} of {inputs} outputs differ between host and {board}; the first differing layers are above"
)]
pub struct Mismatch {
    /// Number of inputs whose outputs differ.
    pub differing: usize,
    /// Number of inputs run.
    pub inputs: usize,
    /// Name of the board.
    pub board: String,
}

/// Verifies and prints; outputs that differ give the error [`Mismatch`].
///
/// # Errors
///
/// If the blob cannot be run, and [`Mismatch`].
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let report = verify(args, environment)?;
    say!("{}", summary(&report))?;
    if let Some(advice) = advice(&report) {
        say!("{advice}")?;
    }
    write_json(args.json.as_deref(), &report)?;
    if report.identical != report.inputs {
        let differing = report.inputs - report.identical;
        return Err(Mismatch {
            differing,
            inputs: report.inputs,
            board: report.board,
        }
        .into());
    }
    Ok(())
}

/// Runs a blob on the host and on a board, over the inputs that the arguments name, and compares.
///
/// # Errors
///
/// If the blob cannot be run.
pub fn verify(args: &Args, environment: &Environment) -> Result<VerifyReport> {
    let path = match &args.blob {
        Some(path) => path.clone(),
        None => environment.default_blob()?,
    };
    let blob = load(&path)?;
    let simulator = simulator(&blob, &path)?;
    let (inputs, labels) = inputs(args, &simulator)?;
    let board = Board::load(&environment.repository()?, &args.board)?;
    let packed = match args.repack {
        true => packing::packed_for(&board, &blob)
            .with_context(|| format!("cannot pack {} for {}", path.display(), board.name))?,
        false => None,
    };
    let mut device = over::open(&board, packed.as_ref().unwrap_or(&blob), &path, args)?;
    // The host's side is the blob as it was given: what was packed has to give the same.
    let report = compare_on(
        &board,
        device.as_mut(),
        &simulator,
        &inputs,
        labels.as_deref(),
    )?;
    Ok(match packed {
        Some(_) => VerifyReport {
            packing: board.isa,
            repacked: true,
            ..report
        },
        None => report,
    })
}

/// As [`verify`], over real inputs, one sample after the other, and their labels.
///
/// # Errors
///
/// If the blob cannot be run.
pub fn verify_samples(
    board: &Board,
    path: &Path,
    samples: &[f32],
    labels: Option<&[u32]>,
    limit: Duration,
) -> Result<VerifyReport> {
    let blob = load(path)?;
    let simulator = simulator(&blob, path)?;
    let quantized = simulator.quantize_inputs(samples);
    let inputs: Vec<Vec<i8>> = quantized
        .chunks_exact(simulator.input_elements())
        .map(<[i8]>::to_vec)
        .collect();
    compare(board, path, &simulator, &inputs, labels, limit)
}

fn load(path: &Path) -> Result<AlignedBlob> {
    let blob = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(AlignedBlob::new(&blob))
}

fn simulator<'a>(blob: &'a AlignedBlob, path: &Path) -> Result<Simulator<'a>> {
    Simulator::new(blob.as_bytes()).with_context(|| format!("cannot run {}", path.display()))
}

/// Runs the blob at `path` on a board, and compares with the outputs of `simulator` for the same inputs.
///
/// # Errors
///
/// If either cannot be run.
pub fn compare(
    board: &Board,
    path: &Path,
    simulator: &Simulator,
    inputs: &[Vec<i8>],
    labels: Option<&[u32]>,
    limit: Duration,
) -> Result<VerifyReport> {
    let firmware = firmware::build(board, path)?;
    let mut device = over::Semihosted::new(board, firmware, limit);
    compare_on(board, &mut device, simulator, inputs, labels)
}

/// Runs the inputs on both sides and compares.
fn compare_on(
    board: &Board,
    device: &mut dyn over::Device,
    simulator: &Simulator,
    inputs: &[Vec<i8>],
    labels: Option<&[u32]>,
) -> Result<VerifyReport> {
    let expected = simulator.run(&inputs.concat(), None)?.output;
    let found = device.run(inputs)?;
    let expected: Vec<&[i8]> = expected.chunks_exact(simulator.output_elements()).collect();
    let differing: Vec<usize> = (0..inputs.len())
        .filter(|&input| {
            expected.get(input).copied() != found.outputs.get(input).map(Vec::as_slice)
        })
        .collect();
    let mut differences = Vec::new();
    for &input in differing.iter().take(EXPLAINED) {
        differences.extend(explain(device, simulator, &inputs[input], input)?);
    }
    let outputs: Vec<i8> = found.outputs.concat();
    let cost = mean(&found.costs);
    let (instructions, cycles, microseconds) = match found.unit {
        Unit::Instructions => (Some(cost), None, None),
        Unit::Cycles { .. } => (None, Some(cost), Some(found.unit.microseconds(cost))),
        Unit::Microseconds => (None, None, Some(cost)),
    };
    Ok(VerifyReport {
        board: board.name.clone(),
        kernels: board.isa.name(),
        packing: simulator.model().packing(),
        repacked: false,
        inputs: inputs.len(),
        identical: inputs.len() - differing.len(),
        top1: labels.and_then(|labels| top1(&outputs, labels)),
        instructions_per_inference: instructions,
        cycles_per_inference: cycles,
        microseconds_per_inference: microseconds,
        arena_bytes: found.arena_bytes,
        stack_bytes: found.stack_bytes,
        flash_bytes: found.flash_bytes,
        blob_bytes: found.blob_bytes,
        static_ram_bytes: found.static_ram_bytes,
        differences,
    })
}

fn mean(costs: &[u64]) -> u64 {
    costs.iter().sum::<u64>() / (costs.len() as u64).max(1)
}

/// Quantized inputs, and their labels if there are any.
type Samples = (Vec<Vec<i8>>, Option<Vec<u32>>);

/// Inputs and labels: from a data set, or of the built-in network, or random bytes.
fn inputs(args: &Args, simulator: &Simulator) -> Result<Samples> {
    let limit = args.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        bail!("--limit 0 leaves nothing to verify");
    }
    let (layout, transform) = simulator.input_source();
    let data = match &args.data {
        Some(spec) => Some(Dataset::load_for(
            spec,
            &layout,
            &transform,
            &simulator.output_form(),
        )?),
        None if args.blob.is_none() => Some(default_model::evaluation(&layout, &transform)?),
        None => None,
    };
    let elements = simulator.input_elements();
    let Some(data) = data else {
        let count = limit.min(RANDOM_INPUTS);
        say!("no --data: {count} inputs of random bytes")?;
        let mut random = fewbit::random::Random::new(1);
        return Ok(((0..count).map(|_| random.bytes(elements)).collect(), None));
    };
    let quantized = simulator.quantize_inputs(&data.inputs);
    let inputs: Vec<Vec<i8>> = quantized
        .chunks_exact(elements)
        .take(limit)
        .map(<[i8]>::to_vec)
        .collect();
    let labels = data.labels.map(|mut labels| {
        labels.truncate(limit);
        labels
    });
    Ok((inputs, labels))
}

/// Finds the first operator whose output differs for `input`, and the place of the difference.
fn explain(
    device: &mut dyn over::Device,
    simulator: &Simulator,
    input: &[i8],
    number: usize,
) -> Result<Option<Difference>> {
    let mut expected: Vec<Vec<i8>> = Vec::new();
    let mut arena = vec![0; simulator.model().arena_bytes()];
    simulator.run_observed(input, &mut arena, |_, bytes| expected.push(bytes.to_vec()))?;
    let first =
        device
            .operator_crcs(input)?
            .iter()
            .zip(&expected)
            .position(|(&found, expected)| {
                let bytes: Vec<u8> = expected.iter().map(|byte| byte.cast_unsigned()).collect();
                found != CRC32.checksum(&bytes)
            });
    let Some(op) = first else { return Ok(None) };
    let found = device.operator_bytes(input, op)?;
    let index = found
        .iter()
        .zip(&expected[op])
        .position(|(found, expected)| found != expected);
    let kind = simulator
        .model()
        .program()
        .ops
        .get(op)
        .map_or("?", |op| op.kind());
    Ok(index.map(|index| Difference {
        input: number,
        op,
        name: simulator.op_name(op).to_owned(),
        kind,
        index,
        expected: expected[op][index],
        found: found[index],
    }))
}

/// The mean cost with its unit.
fn cost(report: &VerifyReport) -> String {
    let milliseconds = |us: u64| format!("{}.{:03} ms", us / 1000, us % 1000);
    let parts = [
        report
            .instructions_per_inference
            .map(|n| format!("{n} instructions")),
        report.cycles_per_inference.map(|n| format!("{n} cycles")),
        report.microseconds_per_inference.map(milliseconds),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Effect of packing, done or possible; `None` if the board's kernels use the blob's order of weights as it is.
fn advice(report: &VerifyReport) -> Option<String> {
    let VerifyReport { board, kernels, .. } = report;
    if report.repacked {
        Some(format!(
            "the blob was packed for `{kernels}` in memory; `quantize --target {board}` writes one that is"
        ))
    } else if report.packing == Family::Scalar && *kernels != Family::Scalar.name() {
        Some(format!(
            "the blob is packed for any processor; --repack packs it for `{kernels}`, which is faster on {board}, and `quantize --target {board}` writes one that is"
        ))
    } else {
        None
    }
}

/// Report as a table, with the places where host and board differ.
pub fn summary(report: &VerifyReport) -> String {
    let mut summary = table(&[
        "board",
        "identical",
        "top-1",
        "cost",
        "arena",
        "stack",
        "flash",
        "blob",
    ]);
    summary.add_row([
        report.board.clone(),
        format!("{} of {}", report.identical, report.inputs),
        percent(report.top1),
        cost(report),
        format!("{} B", report.arena_bytes),
        format!("{} B", report.stack_bytes),
        format!("{} B", report.flash_bytes),
        format!("{} B", report.blob_bytes),
    ]);
    let mut text = summary.to_string();
    for difference in &report.differences {
        text.push_str(&format!("\n{difference}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_offered_where_it_makes_a_board_faster() {
        let words = |kernels, packing, repacked| {
            advice(&VerifyReport {
                board: "mine".to_owned(),
                kernels,
                packing,
                repacked,
                inputs: 1,
                identical: 1,
                top1: None,
                instructions_per_inference: None,
                cycles_per_inference: None,
                microseconds_per_inference: None,
                arena_bytes: 0,
                stack_bytes: 0,
                flash_bytes: 0,
                blob_bytes: 0,
                static_ram_bytes: 0,
                differences: Vec::new(),
            })
        };
        let offered = words("dsp", Family::Scalar, false).expect("offered");
        assert!(
            offered.contains("--repack") && offered.contains("--target mine"),
            "{offered}"
        );
        let done = words("dsp", Family::Dsp, true).expect("said");
        assert!(done.contains("was packed for `dsp`"), "{done}");
        assert_eq!(words("dsp", Family::Dsp, false), None);
        assert_eq!(words("scalar", Family::Scalar, false), None);
    }
}
