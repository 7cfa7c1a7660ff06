//! `fewbit inspect`: the contents of a model or a blob.

use crate::packing;
use crate::places::Places;
use crate::source::AnyModel;
use crate::{show, table, write_json};
use anyhow::Context;
use clap::Args;
use fewbit::graph::Graph;
use fewbit::measure::simulate::Simulator;
use fewbit_runtime::Summary;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::program::Op;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// Float model (.onnx) or blob (.fewbit)
    pub model: PathBuf,
    /// Write the same as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Output of `inspect`.
#[derive(Debug, Serialize)]
struct InspectReport {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<BlobFacts>,
    macs: u64,
    layers: Vec<Layer>,
}

#[derive(Debug, Serialize)]
struct BlobFacts {
    version: u16,
    /// Kernel family that the weights are packed for.
    packing: Family,
    blob_bytes: usize,
    program_bytes: u32,
    weights_bytes: u32,
    parameters_bytes: u32,
    metadata_bytes: u32,
    arena_bytes: usize,
    tensors: usize,
}

#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    op: String,
    shape: Vec<usize>,
    macs: u64,
    /// Offset of the output in the arena, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zero_point: Option<i32>,
}

/// Prints the contents of a model.
///
/// # Errors
/// If the file cannot be read, or is neither a model nor a blob.
pub fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    Places::default()
        .reads_model("the model", Some(&args.model))
        .writes("--json", args.json.as_deref())
        .check()?;
    let report = match AnyModel::load(&args.model, None)? {
        AnyModel::Float(graph) => of_graph(&graph),
        AnyModel::Blob(blob) => of_blob(blob.as_bytes())
            .with_context(|| format!("cannot read {}", args.model.display()))?,
    };
    let mut layers = table(&[
        "node",
        "operator",
        "output",
        "MACs",
        "offset",
        "scale",
        "zero point",
    ]);
    let dash = || "-".to_owned();
    for layer in &report.layers {
        layers.add_row([
            layer.name.clone(),
            layer.op.clone(),
            layer
                .shape
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("x"),
            layer.macs.to_string(),
            layer.offset.map_or_else(dash, |offset| offset.to_string()),
            layer
                .scale
                .map_or_else(dash, |scale| format!("{scale:.6e}")),
            layer
                .zero_point
                .map_or_else(dash, |zero_point| zero_point.to_string()),
        ]);
    }
    write_json(args.json.as_deref(), &report)?;
    let mut text = format!(
        "{layers}\n{}: {} operators, {} MACs",
        report.model,
        report.layers.len(),
        report.macs
    );
    if let Some(facts) = &report.blob {
        text += &format!(
            "\nblob of {} B, format version {}: program {} B, weights {} B, parameters {} B, metadata {} B; arena {} B",
            facts.blob_bytes,
            facts.version,
            facts.program_bytes,
            facts.weights_bytes,
            facts.parameters_bytes,
            facts.metadata_bytes,
            facts.arena_bytes
        );
        text += &format!("\npacked  {}", packing::described(facts.packing));
    }
    show(&text)
}

fn of_graph(graph: &Graph) -> InspectReport {
    let layers = graph.nodes.iter().map(|node| {
        let shape = graph.tensors[node.output].shape.clone();
        let outputs: usize = shape.iter().product();
        let products = node
            .op
            .linear()
            .map_or(0, |linear| linear.weights_per_channel());
        Layer {
            name: node.name.clone(),
            op: node.op.kind().to_owned(),
            shape,
            macs: outputs as u64 * products as u64,
            offset: None,
            scale: None,
            zero_point: None,
        }
    });
    InspectReport {
        model: graph.name.clone(),
        blob: None,
        macs: graph.macs(),
        layers: layers.collect(),
    }
}

fn of_blob(blob: &[u8]) -> anyhow::Result<InspectReport> {
    let summary = Summary::from_bytes(blob)?;
    let simulator = Simulator::new(blob)?;
    let program = simulator.model().program();
    let layer = |(index, op): (usize, &Op)| {
        let output = program.tensors.get(usize::from(op.output()));
        let encoding = simulator.op_encoding(index);
        // Of a weighted operator; elementwise ones count no multiply-accumulates in the reports.
        let weighted = matches!(
            op,
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_)
        );
        Layer {
            name: simulator.op_name(index).to_owned(),
            op: op.kind().to_owned(),
            shape: output.map_or_else(Vec::new, |tensor| tensor.shape().map(usize::from).to_vec()),
            macs: if weighted {
                simulator.model().macs(index)
            } else {
                0
            },
            offset: output.map(|tensor| tensor.offset),
            scale: encoding.map(|encoding| encoding.scale),
            zero_point: encoding.map(|encoding| encoding.zero_point),
        }
    };
    let layers: Vec<Layer> = program.ops.iter().enumerate().map(layer).collect();
    Ok(InspectReport {
        model: simulator.metadata().name.clone(),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        blob: Some(BlobFacts {
            version: fewbit_runtime::format::VERSION,
            packing: summary.packing,
            blob_bytes: blob.len(),
            program_bytes: summary.program_bytes,
            weights_bytes: summary.weights_bytes,
            parameters_bytes: summary.parameters_bytes,
            metadata_bytes: summary.metadata_bytes,
            arena_bytes: simulator.model().arena_bytes(),
            tensors: simulator.model().tensor_count(),
        }),
        layers,
    })
}
