//! `fewbit eval`: the accuracy of a model or a blob on data.

use crate::bar::Bar;
use crate::places::Places;
use crate::source::{AnyModel, ModelSource, model_of_blob};
use crate::tables::{columns, headings, table};
use crate::{show, write_json};
use anyhow::{Context, bail};
use clap::Args;
use fewbit::dataset::{Dataset, DatasetSpec, InputLayout, OutputForm};
use fewbit::executor::Executor;
use fewbit::graph::Graph;
use fewbit::measure::report::Accuracy;
use fewbit::measure::simulate::Simulator;
use fewbit::metrics::{Regression, Sqnr, arg_max, top1};
use fewbit::progress::Progress;
use fewbit::recipe::Recipe;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Samples between two steps of the progress bar.
const BLOCK: usize = 64;

/// Arguments of `eval`.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// Float model (.onnx) or blob (.fewbit)
    pub model: PathBuf,
    /// Samples, as in `data.npz:x_test,y_test` or `data.npz[!::4]`
    #[arg(long, value_name = "DATA")]
    pub data: DatasetSpec,
    /// Float model to compare the outputs with (SQNR, arg max)
    #[arg(long, value_name = "MODEL")]
    pub reference: Option<PathBuf>,
    /// Recipe with the input transform of a float model (a blob contains its own)
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Use this tensor of a float model as its output
    #[arg(long, value_name = "TENSOR")]
    pub output_tensor: Option<String>,
    /// Write the result as JSON to this file
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
/// If files cannot be read or do not match.
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
    let mut reference = None;
    let (outputs, data, form, transform) =
        match AnyModel::load(&args.model, args.output_tensor.as_deref())? {
            AnyModel::Float(graph) => {
                let recipe = Recipe::load_or_default(args.recipe.as_deref())?;
                if let Some(path) = &args.reference {
                    reference = Some(ModelSource::File(path.clone()).load(None)?);
                }
                let form = OutputForm::of(&graph);
                let layout = InputLayout::of(&graph)?;
                let data = Dataset::load_for(&args.data, &layout, &recipe.input, &form)?;
                let outputs = float_outputs(&graph, &data, &mut progress)?;
                (outputs, data, form, recipe.input)
            }
            AnyModel::Blob(blob) => {
                if args.recipe.is_some() {
                    bail!(
                        "a blob contains its input transform; use --recipe with float models only"
                    );
                }
                let simulator = Simulator::new(blob.as_bytes())
                    .with_context(|| format!("cannot run {name}"))?;
                let (layout, transform) = simulator.input_source();
                let mut form = simulator.output_form();
                if let Some(path) = &args.reference {
                    let graph = model_of_blob(path, &simulator)?;
                    form = OutputForm::of(&graph);
                    reference = Some(graph);
                }
                let data = Dataset::load_for(&args.data, &layout, &transform, &form)?;
                let encoding = simulator.output_encoding();
                let bytes = integer_outputs(&simulator, &data, &mut progress)?;
                let outputs = bytes
                    .iter()
                    .map(|&byte| encoding.dequantize(byte))
                    .collect();
                (outputs, data, form, transform)
            }
        };
    let regression = (data.targets.as_deref())
        .and_then(|targets| Regression::of(&outputs, targets, data.samples));
    let outputs = form.in_file_order(&outputs);
    let mut accuracy = Accuracy {
        top1: data
            .labels
            .as_deref()
            .and_then(|labels| top1(&outputs, labels)),
        ..Accuracy::default()
    }
    .with_regression(regression);
    if let (Some(reference), Some(path)) = (&reference, &args.reference) {
        check_shapes(path, reference, &form)?;
        // The reference may want its inputs in another order of axes than the model.
        let layout = InputLayout::of(reference)?;
        let inputs = Dataset::load_inputs(&args.data, &layout, &transform)?;
        compare(reference, &inputs, &outputs, &mut accuracy, &mut progress)?;
    }
    drop(progress);
    let headings: Vec<_> = ["model", "samples"]
        .map(str::to_owned)
        .into_iter()
        .chain(headings(&accuracy, "reference"))
        .collect();
    let headings: Vec<_> = headings.iter().map(String::as_str).collect();
    let mut summary = table(&headings);
    summary.add_row(
        [name.clone(), data.samples.to_string()]
            .into_iter()
            .chain(columns(&accuracy)),
    );
    let report = EvalReport {
        model: name,
        samples: data.samples,
        accuracy,
    };
    write_json(args.json.as_deref(), &report)?;
    show(&summary.to_string())
}

/// Runs a float graph over data.
pub(crate) fn float_outputs(
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
pub(crate) fn integer_outputs(
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

/// Refuses a reference whose outputs have another shape than the model's; axes of size 1 are ignored.
fn check_shapes(path: &Path, reference: &Graph, form: &OutputForm) -> anyhow::Result<()> {
    let squeezed =
        |shape: &[usize]| -> Vec<usize> { shape.iter().copied().filter(|&n| n != 1).collect() };
    let expected = reference.output_layout(0).shape;
    let found = (form.layout.as_ref()).map_or(&form.stored, |layout| &layout.shape);
    if squeezed(&expected) != squeezed(found) {
        bail!(
            "the output of {} has shape {expected:?} per sample, that of the model {found:?}: they are not the same network, or their axes are in another order",
            path.display()
        );
    }
    Ok(())
}

/// Compares outputs in the model's layout with those of a reference in its own.
fn compare(
    reference: &Graph,
    data: &Dataset,
    outputs: &[f32],
    accuracy: &mut Accuracy,
    progress: &mut dyn Progress,
) -> anyhow::Result<()> {
    let expected = float_outputs(reference, data, progress)?;
    let expected = OutputForm::of(reference).in_file_order(&expected);
    let mut sqnr = Sqnr::default();
    sqnr.add(&expected, outputs);
    accuracy.sqnr_db = sqnr.db();
    let classes = outputs.len() / data.samples.max(1);
    if classes <= 1 || accuracy.rmse.is_some() {
        return Ok(());
    }
    let pairs = outputs
        .chunks_exact(classes.max(1))
        .zip(expected.chunks_exact(classes.max(1)));
    let agreeing = pairs
        .filter(|(found, expected)| arg_max(found) == arg_max(expected))
        .count();
    accuracy.agreement = Some(agreeing as f64 / data.samples.max(1) as f64);
    Ok(())
}
