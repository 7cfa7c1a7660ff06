//! `cargo xtask bench device`: instructions, arena and flash, board by board.
//!
//! Instructions are exact and repeatable to within 40 per operator; QEMU does not count cycles. The column `cycles` is instructions times
//! 1.5, what published cycles of a Cortex-M4 come to over counted instructions: an estimate, no measurement.

mod layers;
mod peers;
mod record;

use std::path::PathBuf;

use anyhow::{Result, bail};
use fewbit::measure::simulate::Simulator;
use fewbit::output::write_atomically;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::WeightBits;
use fewbit_cli::table;
use fewbit_runtime::{AlignedBlob, Engine, Model, Summary, format::family::Family};

use crate::{repository, root};
use fewbit_device::board::{self, Board};
use fewbit_device::firmware;
use fewbit_device::semihosted::{self, Options};
use fewbit_tests::networks::{Net, Network};
use layers::LAYERS;
use peers::Peers;
use record::{LayerRecord, ModelRecord, Record};

/// Cycles an instruction on a Cortex-M4, as published cycles over counted instructions of other runtimes show.
const CYCLES_PER_INSTRUCTION: f64 = 1.5;

/// Samples that the benchmark's models are calibrated on: counts do not depend on weights.
const CALIBRATION_SAMPLES: usize = 32;

/// The whole models that are measured.
const MODELS: [Net; 4] = [Net::Resnet8, Net::Kws, Net::Vww, Net::Ad];

/// Arguments of `bench device`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Boards to run on [default: all emulated ones]
    #[arg(long, value_name = "NAME")]
    board: Vec<String>,
    /// Only single layers
    #[arg(long, conflicts_with = "models")]
    layers: bool,
    /// Only whole models
    #[arg(long)]
    models: bool,
    /// Only this model: resnet8, kws, vww or ad
    #[arg(long, value_enum, value_name = "NET", conflicts_with = "layers")]
    only: Option<Net>,
    /// Blobs that run on every board, and no kernels of its own
    #[arg(long)]
    scalar: bool,
    /// Print the operators of each model too
    #[arg(long)]
    operators: bool,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with the figures of an older run; fails where one has grown by more than 1 %
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// Runs the benchmark.
///
/// # Errors
///
/// If a build or a run fails, a board computes other bytes than the host, or `--compare` finds a regression.
pub fn task(args: &Args) -> Result<()> {
    if let Some(only) = args.only
        && !MODELS.contains(&only)
    {
        bail!(
            "{} is not a model of this benchmark; its models are {}",
            only.name(),
            MODELS.map(Net::name).join(", ")
        );
    }
    let old = args.compare.as_deref().map(record::read).transpose()?;
    let peers = Peers::load()?;
    let mut boards = if args.board.is_empty() {
        board::all(repository())?
    } else {
        args.board
            .iter()
            .map(|name| Board::load(repository(), name))
            .collect::<Result<_>>()?
    };
    boards.retain(|board| board.qemu.is_some());
    let mut records = Vec::new();
    for mut board in boards {
        if args.scalar {
            board.isa = Family::Scalar;
        }
        let mut record = Record {
            board: board.name.clone(),
            cpu: board.cpu.clone(),
            ..Record::default()
        };
        if !args.models {
            layers_on(&board, &peers, &mut record)?;
        }
        if !args.layers {
            models_on(&board, args, &peers, &mut record)?;
        }
        records.push(record);
    }
    if let Some(path) = &args.json {
        write_atomically(path, serde_json::to_string_pretty(&records)?.as_bytes())?;
    }
    if let Some(old) = old {
        let (text, regressions) = record::compare(&old, &records);
        say!("{text}")?;
        if !regressions.is_empty() {
            let list: Vec<String> = regressions.into_iter().map(|r| r.0).collect();
            bail!("figures have grown by more than 1 %:\n{}", list.join("\n"));
        }
    }
    Ok(())
}

/// The committed figures, beside the page that shows them.
const BASELINE: &str = "docs/results/device.json";

/// Measures the layers on the Cortex-M4 again and compares them with the committed figures.
///
/// # Errors
///
/// As [`task`].
pub fn against_baseline() -> Result<()> {
    task(&Args {
        board: vec!["mps2-an386".to_owned()],
        layers: true,
        models: false,
        only: None,
        scalar: false,
        operators: false,
        json: None,
        compare: Some(root().join(BASELINE)),
    })
}

fn ratio(peer: Option<u64>, own: u64) -> String {
    peer.map_or_else(
        || "-".to_owned(),
        |peer| format!("{:.2}", peer as f64 / own.max(1) as f64),
    )
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn cycles(instructions: u64) -> String {
    format!("{:.0}", instructions as f64 * CYCLES_PER_INSTRUCTION)
}

fn layers_on(board: &Board, peers: &Peers, record: &mut Record) -> Result<()> {
    let program = layers::program(&LAYERS, board.isa)?;
    if !has_room(board, "the layers", &program.blob)? {
        return Ok(());
    }
    let blob = AlignedBlob::new(&program.blob);
    let model = Box::new(Model::<128, 128>::from_bytes(blob.as_bytes())?);
    let firmware = firmware::build_bytes(board, &program.blob)?;
    let options = Options {
        operators: true,
        ..Options::default()
    };
    let report = semihosted::run_firmware(board, &firmware, &[vec![0]], &options)?;
    record.compiler.clone_from(&report.compiler);
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena)?;
    let crc32 = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let head = [
        "layer",
        "",
        "MACs",
        "instructions",
        "a MAC",
        "cycles (estimate)",
        "CMSIS-NN",
        "ratio",
    ];
    let mut rows = table(&head);
    let Some(found) = report.operators.first() else {
        bail!("{} reported no operators", board.name);
    };
    for (op, found) in found.iter().enumerate() {
        engine.step(op);
        let bytes: Vec<u8> = engine
            .op_output(op)
            .iter()
            .map(|value| value.cast_unsigned())
            .collect();
        let layer = program
            .ops
            .iter()
            .position(|own| *own == op)
            .map(|index| &LAYERS[index]);
        if crc32.checksum(&bytes) != found.crc {
            bail!(
                "{} computes other bytes than the host: operator {op}, layer {}",
                board.name,
                layer.map_or("-", |layer| layer.name)
            );
        }
        let Some(layer) = layer else { continue };
        let macs = model.macs(op);
        let peer = peers.layer(&board.cpu, layer.name);
        rows.add_row(vec![
            layer.name.to_owned(),
            layer.what.to_owned(),
            macs.to_string(),
            found.instructions.to_string(),
            if macs == 0 {
                "-".to_owned()
            } else {
                format!("{:.3}", found.instructions as f64 / macs as f64)
            },
            cycles(found.instructions),
            shown(peer),
            ratio(peer, found.instructions),
        ]);
        record.layers.push(LayerRecord {
            name: layer.name.to_owned(),
            macs,
            instructions: found.instructions,
        });
    }
    say!(
        "{}, {} kernels, {}\n{}{}",
        board.name,
        board.isa.name(),
        report.compiler,
        Peers::note(&board.cpu).unwrap_or_default(),
        rows
    )?;
    Ok(())
}

fn models_on(board: &Board, args: &Args, peers: &Peers, record: &mut Record) -> Result<()> {
    let head = [
        "model",
        "instructions",
        "cycles (estimate)",
        "TFLM",
        "ratio",
        "arena",
        "TFLM",
        "ratio",
        "blob",
        "flash",
        "TFLM",
        "stack",
    ];
    let mut rows = table(&head);
    for net in MODELS {
        if args.only.is_some_and(|only| only != net) {
            continue;
        }
        let Some(mut network) = Network::load(net)? else {
            continue;
        };
        network.calibration = network.calibration.thinned(CALIBRATION_SAMPLES);
        network.recipe.rounding.method = RoundingMethod::Nearest;
        network.recipe.target = board.isa.into();
        for bits in [WeightBits::Int8, WeightBits::Int4] {
            network.recipe.weights.bits = bits;
            let quantized = network.quantize()?;
            let simulator = Simulator::new(quantized.blob.as_bytes())?;
            let elements = network.evaluation.elements();
            let input = simulator.quantize_inputs(&network.evaluation.inputs[..elements]);
            let expected = simulator.run(&input, None)?.output;
            if !has_room(board, net.name(), quantized.blob.as_bytes())? {
                continue;
            }
            let firmware = firmware::build_bytes(board, quantized.blob.as_bytes())?;
            let report = semihosted::run_firmware(
                board,
                &firmware,
                std::slice::from_ref(&input),
                &Options::default(),
            )?;
            if report.outputs.first() != Some(&expected) {
                bail!(
                    "{} computes other bytes of {} than the host",
                    board.name,
                    net.name()
                );
            }
            let name = match bits {
                WeightBits::Int8 => net.name().to_owned(),
                WeightBits::Int4 => format!("{} int4", net.name()),
            };
            if args.operators {
                print_operators(board, &firmware, &input, &simulator)?;
            }
            record.compiler.clone_from(&report.compiler);
            let own = ModelRecord {
                name,
                instructions: report.instructions.first().copied().unwrap_or(0),
                arena_bytes: report.arena_bytes as u64,
                blob_bytes: report.blob_bytes,
                runtime_flash_bytes: firmware::bare_sizes(board, quantized.blob.as_bytes())?
                    .map_or(report.flash_bytes, |sizes| sizes.flash_bytes),
            };
            let peer = peers.model(&board.cpu, &own.name);
            rows.add_row(vec![
                own.name.clone(),
                own.instructions.to_string(),
                cycles(own.instructions),
                shown(peer.map(|peer| peer.instructions)),
                ratio(peer.map(|peer| peer.instructions), own.instructions),
                own.arena_bytes.to_string(),
                shown(peer.and_then(|peer| peer.arena)),
                ratio(peer.and_then(|peer| peer.arena), own.arena_bytes),
                own.blob_bytes.to_string(),
                own.runtime_flash_bytes.to_string(),
                shown(peer.and_then(|peer| peer.flash)),
                report.stack_bytes.to_string(),
            ]);
            record.models.push(own);
        }
    }
    say!(
        "{}, {} kernels\n{}{}",
        board.name,
        board.isa.name(),
        Peers::note(&board.cpu).unwrap_or_default(),
        rows
    )?;
    Ok(())
}

/// Whether blob, arena and 4 KiB for stack and application fit the board's memories; reports if they do not.
fn has_room(board: &Board, what: &str, blob: &[u8]) -> Result<bool> {
    let arena = u64::from(Summary::from_bytes(blob)?.arena_bytes);
    let fits = arena + 4096 <= board.ram_bytes && blob.len() as u64 <= board.flash_bytes;
    if !fits {
        say!(
            "{} does not fit {}: arena {arena} of {} bytes of RAM, blob {} of {} bytes of flash",
            what,
            board.name,
            board.ram_bytes,
            blob.len(),
            board.flash_bytes
        )?;
    }
    Ok(fits)
}

fn print_operators(
    board: &Board,
    firmware: &firmware::Firmware,
    input: &[i8],
    simulator: &Simulator<'_>,
) -> Result<()> {
    let options = Options {
        operators: true,
        ..Options::default()
    };
    let report = semihosted::run_firmware(board, firmware, &[input.to_vec()], &options)?;
    let head = ["operator", "", "MACs", "instructions", "a MAC"];
    let mut rows = table(&head);
    let model = simulator.model();
    for (op, found) in report.operators.first().into_iter().flatten().enumerate() {
        let macs = model.macs(op);
        rows.add_row(vec![
            op.to_string(),
            model.program().ops[op].kind().to_owned(),
            macs.to_string(),
            found.instructions.to_string(),
            if macs == 0 {
                "-".to_owned()
            } else {
                format!("{:.3}", found.instructions as f64 / macs as f64)
            },
        ]);
    }
    say!("{}", rows)?;
    Ok(())
}
