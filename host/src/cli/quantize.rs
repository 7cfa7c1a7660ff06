//! `fewbit quantize`: from a model to a blob, with what it cost.

use super::source::ModelSource;
use super::write_json;
use crate::dataset::{Dataset, DatasetSpec, InputLayout};
use crate::default_model;
use crate::graph::Graph;
use crate::output::write_atomically;
use crate::pipeline;
use crate::progress::Bar;
use crate::recipe::{Granularity, Recipe, WeightBits};
use crate::report::QuantizeReport;
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `quantize`.
#[derive(Args, Clone, Debug, Default)]
pub struct QuantizeArgs {
    /// The float model (.onnx); without one, the digits network that is built in
    pub model: Option<PathBuf>,
    /// Samples to find ranges on: FILE.npz or FILE.npy, arrays and slices as in `data.npz:x_train,y_train[0:512]` or `data.npz[::4]`
    #[arg(long, value_name = "DATA")]
    pub calibration: Option<DatasetSpec>,
    /// Samples to measure accuracy on, as for --calibration (`data.npz[!::4]` takes those that `[::4]` leaves); default: the calibration samples
    #[arg(long, value_name = "DATA")]
    pub eval: Option<DatasetSpec>,
    /// Storage type of the weights
    #[arg(long, value_enum)]
    pub weights: Option<WeightBits>,
    /// One weight scale for each output channel, or one for each tensor
    #[arg(long, value_enum)]
    pub granularity: Option<Granularity>,
    /// A recipe with all choices; flags override it
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Stored samples are divided by this first
    #[arg(long, value_name = "NUMBER")]
    pub input_divisor: Option<f32>,
    /// Then this is subtracted: one number, or one for each channel
    #[arg(
        long,
        value_name = "NUMBERS",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub input_mean: Option<Vec<f32>>,
    /// Then they are divided by this: one number, or one for each channel
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub input_std: Option<Vec<f32>>,
    /// Take this tensor of the model as its output, and drop what comes after it
    #[arg(long, value_name = "TENSOR")]
    pub output_tensor: Option<String>,
    /// Where the blob goes; the recipe used is written beside it [default: the model's name with .fewbit]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print every layer as well
    #[arg(long)]
    pub layers: bool,
}

/// What `quantize` made.
pub struct Outcome {
    /// The report that was printed.
    pub report: QuantizeReport,
    /// Where the blob is.
    pub blob: PathBuf,
}

/// Quantizes a model, writes the blob and its recipe, and prints the report.
///
/// # Errors
/// Whatever stage fails; nothing is written then.
pub fn quantize(args: &QuantizeArgs) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let source = ModelSource::new(args.model.as_deref());
    let recipe = args.recipe_used(&source)?;
    let float = source.load(args.output_tensor.as_deref())?;
    let (calibration, evaluation) = args.data(&source, &float, &recipe)?;

    let mut progress = Bar::default();
    let quantized = pipeline::quantize(&float, &calibration, &recipe, &mut progress)
        .with_context(|| format!("cannot quantize {}", source.stem()))?;
    let evaluation = evaluation.as_ref().unwrap_or(&calibration);
    let report = pipeline::evaluate(
        &float,
        &quantized,
        evaluation,
        &recipe,
        started,
        &mut progress,
    )?;
    drop(progress);

    let blob = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.fewbit", source.stem())));
    let recipe_path = blob.with_extension("recipe.toml");
    write_atomically(&blob, quantized.blob.as_bytes())?;
    write_atomically(&recipe_path, recipe.to_toml()?.as_bytes())?;
    write_json(args.json.as_deref(), &report)?;
    args.print(&report, &blob, &recipe_path);
    Ok(Outcome { report, blob })
}

impl QuantizeArgs {
    /// The recipe with the flags' choices in it.
    fn recipe_used(&self, source: &ModelSource) -> anyhow::Result<Recipe> {
        let mut recipe = source.recipe(self.recipe.as_deref())?;
        if let Some(bits) = self.weights {
            recipe.weights.bits = bits;
        }
        if let Some(granularity) = self.granularity {
            recipe.weights.granularity = granularity;
        }
        if let Some(divisor) = self.input_divisor {
            recipe.input.divisor = divisor;
        }
        if let Some(mean) = &self.input_mean {
            recipe.input.mean.clone_from(mean);
        }
        if let Some(std) = &self.input_std {
            recipe.input.std.clone_from(std);
        }
        Ok(recipe)
    }

    /// Calibration samples, and evaluation samples if they are others.
    fn data(
        &self,
        source: &ModelSource,
        float: &Graph,
        recipe: &Recipe,
    ) -> anyhow::Result<(Dataset, Option<Dataset>)> {
        let layout = InputLayout::of(float)?;
        let load = |spec: &DatasetSpec| Dataset::load(spec, &layout, &recipe.input);
        let built_in = matches!(source, ModelSource::BuiltIn);
        let calibration = match &self.calibration {
            Some(spec) => load(spec)?,
            None if built_in => default_model::calibration(&layout, &recipe.input)?,
            None => bail!(
                "{} needs samples to find its activation ranges on; give some hundred with --calibration DATA.npz",
                source.stem()
            ),
        };
        let evaluation = match &self.eval {
            Some(spec) => Some(load(spec)?),
            None if built_in && self.calibration.is_none() => {
                Some(default_model::evaluation(&layout, &recipe.input)?)
            }
            None => None,
        };
        Ok((calibration, evaluation))
    }

    fn print(&self, report: &QuantizeReport, blob: &Path, recipe: &Path) {
        let measured_on = if self.eval.is_some() || self.model.is_none() {
            "evaluation samples"
        } else {
            "calibration samples (give others with --eval)"
        };
        println!(
            "{}: {} weights {}, int8 activations; calibrated on {} samples, measured on {} {measured_on}",
            report.model,
            report.recipe.weights.bits.describe(),
            report.recipe.weights.granularity.describe(),
            report.calibration_samples,
            report.samples
        );
        println!("{}", report.summary());
        if self.layers {
            println!("{}", report.layer_table());
        }
        println!(
            "SQNR is measured at `{}`, against float.",
            report.sqnr_tensor
        );
        for note in &report.notes {
            println!("note: {note}");
        }
        println!("blob    {}", blob.display());
        println!("recipe  {}", recipe.display());
        if let Some(json) = &self.json {
            println!("report  {}", json.display());
        }
        println!("took    {:.2} s", report.seconds);
    }
}
