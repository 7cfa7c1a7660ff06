//! `fewbit run`: outputs of a model or a blob, as a file.

use crate::bar::Bar;
use crate::eval::{float_outputs, integer_outputs};
use crate::places::Places;
use crate::source::{AnyModel, layout_of_blob};
use crate::{json::add_json, show};
use anyhow::{Context, bail};
use clap::Args;
use fewbit::dataset::{Dataset, DatasetSpec, InputLayout, OutputForm, add_npy};
use fewbit::measure::simulate::Simulator;
use fewbit::output::{Outputs, WriteFileError};
use fewbit::recipe::Recipe;
use ndarray_npy::WritableElement;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Float model (.onnx) or blob (.fewbit)
    pub model: PathBuf,
    /// Inputs, one sample after the other along the first axis (.npy or .npz)
    #[arg(long, value_name = "DATA")]
    pub input: DatasetSpec,
    /// Output file (.npy): int8 of a blob, float of a float model; in the model's own shape and order of axes
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Convert a blob's outputs back to real numbers
    #[arg(long)]
    pub float: bool,
    /// Write outputs in the device's layout, channels last
    #[arg(long)]
    pub device_layout: bool,
    /// Float model that a blob was made from; needed for old blobs, which do not contain its shape and order of axes
    #[arg(long, value_name = "MODEL", conflicts_with = "device_layout")]
    pub layout_of: Option<PathBuf>,
    /// Recipe with the input transform of a float model (a blob contains its own)
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Use this tensor of a float model as its output
    #[arg(long, value_name = "TENSOR")]
    pub output_tensor: Option<String>,
    /// Write a description of the run and its outputs as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Result of `run`.
#[derive(Debug, Serialize)]
struct RunReport<'a> {
    model: &'a Path,
    samples: usize,
    /// Shape of one output, as written.
    shape: Vec<usize>,
    /// Shape of one output in the model file, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_shape: Option<Vec<usize>>,
    /// Shape of one output on the device.
    device_shape: Vec<usize>,
    /// Shape of the written array.
    file_shape: Vec<usize>,
    output: &'a Path,
}

/// Runs a model over inputs and writes its outputs.
///
/// # Errors
/// If files cannot be read or written, or do not match.
pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    Places::default()
        .reads_model("the model", Some(&args.model))
        .reads("the samples", Some(&args.input.path))
        .reads("the recipe", args.recipe.as_deref())
        .reads_model("the model of --layout-of", args.layout_of.as_deref())
        .writes("--output", Some(&args.output))
        .writes("--json", args.json.as_deref())
        .check()?;
    let mut files = Outputs::default();
    let (samples, form, device_shape, file_shape) =
        match AnyModel::load(&args.model, args.output_tensor.as_deref())? {
            AnyModel::Float(graph) => {
                if args.layout_of.is_some() {
                    bail!("a float model has its own layout; use --layout-of with blobs only");
                }
                let recipe = Recipe::load_or_default(args.recipe.as_deref())?;
                let data =
                    Dataset::load_inputs(&args.input, &InputLayout::of(&graph)?, &recipe.input)?;
                let outputs = float_outputs(&graph, &data, &mut Bar::default())?;
                let form = OutputForm::of(&graph);
                let device = form.stored.clone();
                let shape = args.add(&mut files, &form, &device, data.samples, outputs)?;
                (data.samples, form, device, shape)
            }
            AnyModel::Blob(blob) => {
                if args.recipe.is_some() {
                    bail!(
                        "a blob contains its input transform; use --recipe with float models only"
                    );
                }
                let name = args.model.display();
                let simulator = Simulator::new(blob.as_bytes())
                    .with_context(|| format!("cannot run {name}"))?;
                let (layout, transform) = simulator.input_source();
                let data = Dataset::load_inputs(&args.input, &layout, &transform)?;
                let form = match &args.layout_of {
                    Some(path) => layout_of_blob(path, &simulator)?,
                    None => simulator.output_form(),
                };
                let device = simulator.output_shape().to_vec();
                let bytes = integer_outputs(&simulator, &data, &mut Bar::default())?;
                let shape = if args.float {
                    let encoding = simulator.output_encoding();
                    let real: Vec<f32> = bytes
                        .iter()
                        .map(|&byte| encoding.dequantize(byte))
                        .collect();
                    args.add(&mut files, &form, &device, data.samples, real)?
                } else {
                    args.add(&mut files, &form, &device, data.samples, bytes)?
                };
                (data.samples, form, device, shape)
            }
        };
    let model_shape = form.layout.as_ref().map(|layout| layout.shape.clone());
    let as_on_device = args.device_layout || model_shape.is_none();
    let report = RunReport {
        model: &args.model,
        samples,
        shape: match &model_shape {
            Some(shape) if !args.device_layout => shape.clone(),
            _ => device_shape.clone(),
        },
        model_shape,
        device_shape,
        file_shape,
        output: &args.output,
    };
    add_json(&mut files, args.json.as_deref(), &report)?;
    files.commit()?;
    let (device, path) = (&report.device_shape, args.output.display());
    let written = match (as_on_device, &report.model_shape) {
        (false, _) => format!(
            "the model's {:?}; on the device it is {device:?}",
            report.shape
        ),
        (true, Some(model)) => format!("{device:?} as on the device; in the model it is {model:?}"),
        (true, None) => format!(
            "{device:?} as on the device (this blob does not hold its model's layout; give the model with --layout-of, or quantize it again)"
        ),
    };
    show(&format!(
        "{samples} outputs in {path}, array {:?}, each of shape {written}",
        report.file_shape
    ))
}

impl RunArgs {
    /// Adds the outputs, sample after sample as on the device, as a file in the requested layout, and prints its shape.
    fn add<T: WritableElement + Copy>(
        &self,
        files: &mut Outputs,
        form: &OutputForm,
        device: &[usize],
        samples: usize,
        values: Vec<T>,
    ) -> Result<Vec<usize>, WriteFileError> {
        let (shape, values) = match &form.layout {
            Some(layout) if !self.device_layout => (
                layout.batched_shape(samples),
                layout.with_batch_in_place(samples, form.in_file_order(&values)),
            ),
            _ => {
                let mut shape = vec![samples];
                shape.extend(device);
                (shape, values)
            }
        };
        add_npy(files, &self.output, &shape, &values)?;
        Ok(shape)
    }
}
