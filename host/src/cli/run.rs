//! `fewbit run`: outputs of a model or a blob, as a file.

use super::eval::{float_outputs, integer_outputs};
use super::places::Places;
use super::source::AnyModel;
use super::{add_json, show};
use crate::dataset::{Dataset, DatasetSpec, InputLayout, add_npy};
use crate::output::Outputs;
use crate::progress::Bar;
use crate::recipe::Recipe;
use crate::simulate::Simulator;
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// A float model (.onnx) or a blob (.fewbit)
    pub model: PathBuf,
    /// Inputs, one sample after the other along the first axis (.npy or .npz)
    #[arg(long, value_name = "DATA")]
    pub input: DatasetSpec,
    /// Where the outputs go (.npy): int8 of a blob, float of a float model
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Turn a blob's outputs back into real numbers
    #[arg(long)]
    pub float: bool,
    /// The recipe that says how samples are prepared for a float model (a blob knows)
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Take this tensor of a float model as its output
    #[arg(long, value_name = "TENSOR")]
    pub output_tensor: Option<String>,
    /// Write what was run, and where the outputs are, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Result of `run`.
#[derive(Debug, Serialize)]
struct RunReport<'a> {
    model: &'a Path,
    samples: usize,
    /// Of one output.
    shape: &'a [usize],
    output: &'a Path,
}

/// Runs a model over inputs and writes what comes out.
///
/// # Errors
/// Files that cannot be read, written, or do not fit together.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    Places::default()
        .reads_model("the model", Some(&args.model))
        .reads("the samples", Some(&args.input.path))
        .reads("the recipe", args.recipe.as_deref())
        .writes("--output", Some(&args.output))
        .writes("--json", args.json.as_deref())
        .check()?;
    let mut files = Outputs::default();
    let (samples, shape) = match AnyModel::load(&args.model, args.output_tensor.as_deref())? {
        AnyModel::Float(graph) => {
            let recipe = args
                .recipe
                .as_deref()
                .map(Recipe::load)
                .transpose()?
                .unwrap_or_default();
            let data = Dataset::load_inputs(&args.input, &InputLayout::of(&graph)?, &recipe.input)?;
            let outputs = float_outputs(&graph, &data, &mut Bar::default())?;
            let mut shape = vec![data.samples];
            shape.extend(&graph.tensors[graph.outputs[0]].shape);
            add_npy(&mut files, &args.output, &shape, &outputs)?;
            (data.samples, shape)
        }
        AnyModel::Blob(blob) => {
            if args.recipe.is_some() {
                bail!("a blob knows how its samples are prepared; --recipe goes with float models");
            }
            let name = args.model.display();
            let simulator =
                Simulator::new(blob.as_bytes()).with_context(|| format!("cannot run {name}"))?;
            let (layout, transform) = simulator.input_source();
            let data = Dataset::load_inputs(&args.input, &layout, &transform)?;
            let bytes = integer_outputs(&simulator, &data, &mut Bar::default())?;
            let mut shape = vec![data.samples];
            shape.extend(simulator.output_shape());
            if args.float {
                let encoding = simulator.output_encoding();
                let real: Vec<f32> = bytes
                    .iter()
                    .map(|&byte| encoding.dequantize(byte))
                    .collect();
                add_npy(&mut files, &args.output, &shape, &real)?;
            } else {
                add_npy(&mut files, &args.output, &shape, &bytes)?;
            }
            (data.samples, shape)
        }
    };
    let report = RunReport {
        model: &args.model,
        samples,
        shape: &shape[1..],
        output: &args.output,
    };
    add_json(&mut files, args.json.as_deref(), &report)?;
    files.commit()?;
    show(&format!(
        "{samples} outputs of shape {:?} in {}",
        &shape[1..],
        args.output.display()
    ))
}
