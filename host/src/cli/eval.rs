//! `fewbit eval`: the accuracy of a model or a blob on data.

use super::places::Places;
use super::source::{AnyModel, ModelSource};
use super::{show, write_json};
use crate::dataset::{Dataset, DatasetSpec, InputLayout};
use crate::executor::Executor;
use crate::graph::Graph;
use crate::metrics::{Sqnr, arg_max, top1};
use crate::progress::{Bar, Progress};
use crate::recipe::Recipe;
use crate::report::{Accuracy, decibels, percent, table};
use crate::simulate::Simulator;
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Samples run between two steps of the progress bar.
const BLOCK: usize = 64;

/// Arguments of `eval`.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// A float model (.onnx) or a blob (.fewbit)
    pub model: PathBuf,
    /// Samples, as in `data.npz:x_test,y_test` or `data.npz[!::4]`
    #[arg(long, value_name = "DATA")]
    pub data: DatasetSpec,
    /// A float model to compare the outputs with (SQNR, arg max)
    #[arg(long, value_name = "MODEL")]
    pub reference: Option<PathBuf>,
    /// The recipe that says how samples are prepared for a float model (a blob knows)
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Take this tensor of a float model as its output
    #[arg(long, value_name = "TENSOR")]
    pub output_tensor: Option<String>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Result of `eval`.
#[derive(Debug, Serialize)]
struct EvalReport {
    model: String,
    samples: usize,
    #[serde(flatten)]
    accuracy: Accuracy,
}

/// Measures and prints the accuracy of a model.
///
/// # Errors
/// Files that cannot be read or do not fit together.
pub fn eval(args: &EvalArgs) -> anyhow::Result<()> {
    Places::default()
        .reads_model("the model", Some(&args.model))
        .reads("the samples", Some(&args.data.path))
        .reads_model("the reference", args.reference.as_deref())
        .reads("the recipe", args.recipe.as_deref())
        .writes("--json", args.json.as_deref())
        .check()?;
    let name = args.model.display().to_string();
    let mut progress = Bar::default();
    let (outputs, data) = match AnyModel::load(&args.model, args.output_tensor.as_deref())? {
        AnyModel::Float(graph) => {
            let recipe = args
                .recipe
                .as_deref()
                .map(Recipe::load)
                .transpose()?
                .unwrap_or_default();
            let data = Dataset::load(&args.data, &InputLayout::of(&graph)?, &recipe.input)?;
            (float_outputs(&graph, &data, &mut progress)?, data)
        }
        AnyModel::Blob(blob) => {
            if args.recipe.is_some() {
                bail!("a blob knows how its samples are prepared; --recipe goes with float models");
            }
            let simulator =
                Simulator::new(blob.as_bytes()).with_context(|| format!("cannot run {name}"))?;
            let (layout, transform) = simulator.input_source();
            let data = Dataset::load(&args.data, &layout, &transform)?;
            let encoding = simulator.output_encoding();
            let bytes = integer_outputs(&simulator, &data, &mut progress)?;
            let outputs = bytes
                .iter()
                .map(|&byte| encoding.dequantize(byte))
                .collect();
            (outputs, data)
        }
    };
    let mut accuracy = Accuracy {
        top1: data
            .labels
            .as_deref()
            .and_then(|labels| top1(&outputs, labels)),
        ..Accuracy::default()
    };
    if let Some(path) = &args.reference {
        compare(path, &data, &outputs, &mut accuracy, &mut progress)?;
    }
    drop(progress);
    let mut summary = table(&["model", "samples", "top-1", "agrees with reference", "SQNR"]);
    summary.add_row([
        name.clone(),
        data.samples.to_string(),
        percent(accuracy.top1),
        percent(accuracy.agreement),
        decibels(accuracy.sqnr_db),
    ]);
    let report = EvalReport {
        model: name,
        samples: data.samples,
        accuracy,
    };
    write_json(args.json.as_deref(), &report)?;
    show(&summary.to_string())
}

/// Runs a float graph over data.
pub(super) fn float_outputs(
    graph: &Graph,
    data: &Dataset,
    progress: &mut dyn Progress,
) -> anyhow::Result<Vec<f32>> {
    let executor = Executor::new(graph)?;
    let mut outputs = Vec::new();
    progress.begin("float", data.samples);
    for block in data.inputs.chunks(BLOCK * data.elements()) {
        let samples = block.len() / data.elements();
        outputs.extend(executor.forward(block, samples)?);
        progress.advance(samples);
    }
    Ok(outputs)
}

/// Runs a blob over data.
pub(super) fn integer_outputs(
    simulator: &Simulator,
    data: &Dataset,
    progress: &mut dyn Progress,
) -> anyhow::Result<Vec<i8>> {
    let mut outputs = Vec::new();
    progress.begin("integer engine", data.samples);
    for block in data.inputs.chunks(BLOCK * data.elements()) {
        outputs.extend(
            simulator
                .run(&simulator.quantize_inputs(block), None)?
                .output,
        );
        progress.advance(block.len() / data.elements());
    }
    Ok(outputs)
}

fn compare(
    path: &std::path::Path,
    data: &Dataset,
    outputs: &[f32],
    accuracy: &mut Accuracy,
    progress: &mut dyn Progress,
) -> anyhow::Result<()> {
    let reference = ModelSource::File(path.to_owned()).load(None)?;
    let expected = float_outputs(&reference, data, progress)?;
    if expected.len() != outputs.len() {
        bail!(
            "{} gives {} values for these samples, the model {}: they are not the same network",
            path.display(),
            expected.len(),
            outputs.len()
        );
    }
    let mut sqnr = Sqnr::default();
    sqnr.add(&expected, outputs);
    accuracy.sqnr_db = sqnr.db();
    let classes = outputs.len() / data.samples.max(1);
    let pairs = outputs
        .chunks_exact(classes.max(1))
        .zip(expected.chunks_exact(classes.max(1)));
    let agreeing = pairs
        .filter(|(found, expected)| arg_max(found) == arg_max(expected))
        .count();
    accuracy.agreement = Some(agreeing as f64 / data.samples.max(1) as f64);
    Ok(())
}
