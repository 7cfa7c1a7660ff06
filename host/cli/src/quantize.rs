//! `fewbit quantize`: from a model to a blob, with the loss of accuracy.

use crate::bar::Bar;
use crate::places::{Places, same_file};
use crate::source::ModelSource;
use crate::{Environment, choice, json::add_json, packing, show, tables};
use anyhow::{Context, bail};
use clap::Args;
use fewbit::dataset::{Dataset, DatasetSpec, InputLayout, OutputForm};
use fewbit::default_model;
use fewbit::graph::Graph;
use fewbit::measure::report::QuantizeReport;
use fewbit::output::Outputs;
use fewbit::pipeline::{self, Calibration};
use fewbit::range::Range;
use fewbit::recipe::Equalize;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::{BiasCorrection, Granularity, Recipe, WeightBits};
use fewbit_device::board::Board;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// Arguments of `quantize`.
#[derive(Args, Clone, Debug, Default)]
pub struct QuantizeArgs {
    /// Float model (.onnx); default: the built-in digits network
    pub model: Option<PathBuf>,
    /// Calibration samples: FILE.npz or FILE.npy, with arrays and slices as in `data.npz:x_train,y_train[0:512]` or `data.npz[::4]`
    #[arg(long, value_name = "DATA")]
    pub calibration: Option<DatasetSpec>,
    /// Quantize without samples: activation ranges from BatchNorm statistics and from the input's range
    #[arg(long, conflicts_with = "calibration")]
    pub data_free: bool,
    /// Smallest and largest number of a stored sample, for --data-free
    #[arg(
        long,
        value_name = "MIN,MAX",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub input_range: Option<Vec<f32>>,
    /// Samples to measure accuracy on, as for --calibration (`data.npz[!::4]` selects the samples that `[::4]` does not); default: the calibration samples
    #[arg(long, value_name = "DATA")]
    pub eval: Option<DatasetSpec>,
    /// Storage type of the weights
    #[arg(long, value_parser = choice::<WeightBits>())]
    pub weights: Option<WeightBits>,
    /// Storage type of the first and the last layer's weights; int8 often helps if all others are INT4
    #[arg(long, value_parser = choice::<WeightBits>(), value_name = "TYPE")]
    pub first_and_last: Option<WeightBits>,
    /// One weight scale per output channel, or one per tensor
    #[arg(long, value_parser = choice::<Granularity>())]
    pub granularity: Option<Granularity>,
    /// Equalization: scaling of channels across layers
    #[arg(long, value_parser = choice::<Equalize>())]
    pub equalize: Option<Equalize>,
    /// Method of rounding weights
    #[arg(long, value_parser = choice::<RoundingMethod>())]
    pub rounding: Option<RoundingMethod>,
    /// Method of correcting biases for the mean error of rounding
    #[arg(long, value_parser = choice::<BiasCorrection>())]
    pub bias_correction: Option<BiasCorrection>,
    /// Pack the weights for a board, a processor, such as `cortex-m4`, or a kernel family; without it, the blob runs on all of them
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Recipe with all choices; flags override it
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Divisor of stored samples, applied first
    #[arg(long, value_name = "NUMBER")]
    pub input_divisor: Option<f32>,
    /// Mean, subtracted second: one number, one per channel, or one per element in the order of the model's own input
    #[arg(
        long,
        value_name = "NUMBERS",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub input_mean: Option<Vec<f32>>,
    /// Standard deviation, divided by last: one number, one per channel, or one per element in the order of the model's own input
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub input_std: Option<Vec<f32>>,
    /// Use this tensor of the model as its output, and drop the operators after it
    #[arg(long, value_name = "TENSOR")]
    pub output_tensor: Option<String>,
    /// Limit of memory in megabytes, without evaluation samples; the need is estimated in advance [default: 2000]
    #[arg(long, value_name = "MB")]
    pub memory: Option<usize>,
    /// Path of the blob; the recipe is written beside it [default: the model's name with .fewbit]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also print every layer
    #[arg(long)]
    pub layers: bool,
}

/// Result of `quantize`.
pub struct Outcome {
    /// The report that was printed.
    pub report: QuantizeReport,
    /// Path of the blob.
    pub blob: PathBuf,
}

/// Number of samples of noise on which a network without data is measured.
const NOISE_SAMPLES: usize = 100;

/// Data for calibration and measurement.
struct Data {
    calibration: Source,
    /// Evaluation samples; the calibration samples if no others are given.
    evaluation: Rc<Dataset>,
    /// Description of the evaluation samples.
    measured_on: &'static str,
}

/// Source of the ranges.
enum Source {
    Samples(Rc<Dataset>),
    Range([Range; 1]),
}

impl Data {
    fn calibration(&self) -> Calibration<'_> {
        match &self.calibration {
            Source::Samples(samples) => Calibration::Samples(samples),
            Source::Range(ranges) => Calibration::Statistics(ranges),
        }
    }
}

/// Quantizes a model, writes the blob and its recipe, and prints the report.
///
/// # Errors
/// If any stage fails; nothing is written then.
pub fn quantize(args: &QuantizeArgs, environment: &Environment) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let source = ModelSource::new(args.model.as_deref());
    let recipe = args.recipe_used(&source, environment)?;
    let recipe_text = signed(&recipe.to_toml()?);
    let blob = args
        .out
        .clone()
        .unwrap_or_else(|| environment.blob_path(args.model.as_deref()));
    let recipe_path = blob.with_extension("recipe.toml");
    args.check_places(&blob, &recipe_path, &recipe_text)?;
    keep_foreign_recipe(&recipe_path, &recipe_text)?;
    let float = source.load(args.output_tensor.as_deref())?;
    let data = args.data(&source, &float, &recipe)?;

    let mut progress = Bar::default();
    let context = || format!("cannot quantize {}", source.stem());
    let mut quantized = pipeline::quantize(&float, data.calibration(), &recipe, &mut progress)
        .with_context(context)?;
    if let Calibration::Samples(samples) = data.calibration() {
        let proposal = pipeline::propose_first_and_last(
            &float,
            &quantized.network,
            samples,
            &recipe,
            &mut progress,
        )
        .with_context(context)?;
        quantized.notes.extend(proposal);
    }
    let report = pipeline::evaluate(
        &float,
        &quantized,
        &data.evaluation,
        &recipe,
        started,
        &mut progress,
    )?;
    drop(progress);

    let mut files = Outputs::default();
    files.add(&blob, quantized.blob.as_bytes())?;
    files.add(&recipe_path, recipe_text.as_bytes())?;
    add_json(&mut files, args.json.as_deref(), &report)?;
    files.commit()?;
    show(&args.text(&report, data.measured_on, &blob, &recipe_path))?;
    let current = std::env::current_dir().context("cannot find the current folder")?;
    let shown = blob.strip_prefix(current).unwrap_or(&blob);
    say!("next    {} verify {}", environment.program, shown.display())?;
    Ok(Outcome { report, blob })
}

impl Environment {
    /// Returns the blob of the built-in network, and makes it if needed.
    ///
    /// # Errors
    ///
    /// As [`quantize`].
    pub fn default_blob(&self) -> anyhow::Result<PathBuf> {
        let path = self.blob_path(None);
        if !path.exists() {
            quantize(&QuantizeArgs::default(), self)?;
        }
        Ok(path)
    }
}

/// Start of a recipe that this command wrote; the checksum of the rest and the line's end follow.
const SIGNATURE: &str =
    "# Written by fewbit, which writes it again unless somebody changed it. Checksum: ";

/// Recipe text that can be distinguished from one that somebody wrote or changed.
fn signed(recipe: &str) -> String {
    // FNV-1a.
    let checksum = (recipe.bytes()).fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    format!("{SIGNATURE}{checksum:016x}\n{recipe}")
}

/// Whether a recipe is as this command wrote it.
fn is_signed(text: &str) -> bool {
    let body = text.split_once('\n').map(|(_, body)| body);
    body.is_some_and(|body| signed(body) == text)
}

/// Refuses to overwrite a recipe that somebody wrote or changed, if it differs from the new one.
fn keep_foreign_recipe(path: &Path, text: &str) -> anyhow::Result<()> {
    let Ok(found) = std::fs::read(path) else {
        // Whatever else is wrong with the place, writing says so.
        return Ok(());
    };
    let body = text.split_once('\n').map(|(_, body)| body);
    let same = |found: &str| is_signed(found) || body == Some(found);
    if str::from_utf8(&found).is_ok_and(same) {
        return Ok(());
    }
    bail!(
        "the recipe is written beside --out as {}, but fewbit did not write the file that is there, or it was changed since; \
         move it away, or give another --out",
        path.display()
    )
}

impl QuantizeArgs {
    /// Recipe with the choices of the flags.
    fn recipe_used(
        &self,
        source: &ModelSource,
        environment: &Environment,
    ) -> anyhow::Result<Recipe> {
        let mut recipe = source.recipe(self.recipe.as_deref())?;
        if let Some(bits) = self.first_and_last {
            recipe.weights.first_and_last = Some(bits);
        }
        if let Some(bits) = self.weights {
            recipe.weights.bits = bits;
        }
        if let Some(granularity) = self.granularity {
            recipe.weights.granularity = granularity;
        }
        if let Some(equalize) = self.equalize {
            recipe.passes.equalize = equalize;
        }
        if let Some(rounding) = self.rounding {
            recipe.rounding.method = rounding;
        }
        if let Some(correction) = self.bias_correction {
            recipe.passes.bias_correction = correction;
        }
        if let Some(memory) = self.memory {
            recipe.memory = memory;
        }
        if let Some(target) = &self.target {
            recipe.target = match target.parse() {
                Ok(target) => target,
                // A board's name stands for its processor.
                Err(error) => environment
                    .repository()
                    .and_then(|repository| Board::load(&repository, target))
                    .map(|board| board.isa.into())
                    .map_err(|_| error)
                    .context("--target")?,
            };
        }
        match self.input_range.as_deref() {
            None => {}
            Some(&[min, max]) => recipe.input.range = Some([min, max]),
            Some(_) => bail!("--input-range needs two numbers, MIN,MAX"),
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

    /// Refuses outputs that would overwrite inputs.
    fn check_places(&self, blob: &Path, recipe: &Path, text: &str) -> anyhow::Result<()> {
        let path = |spec: &Option<DatasetSpec>| spec.as_ref().map(|spec| spec.path.clone());
        // The recipe that an earlier run wrote is written again; one that says more or something else would be lost.
        let unchanged = |given: &&Path| {
            same_file(given, recipe)
                && std::fs::read(given).is_ok_and(|given| given == text.as_bytes())
        };
        Places::default()
            .reads_model("the model", self.model.as_deref())
            .reads(
                "the calibration samples",
                path(&self.calibration).as_deref(),
            )
            .reads("the evaluation samples", path(&self.eval).as_deref())
            .reads(
                "the recipe given",
                self.recipe.as_deref().filter(|given| !unchanged(given)),
            )
            .writes("--out", Some(blob))
            .writes("the recipe, written beside --out as", Some(recipe))
            .writes("--json", self.json.as_deref())
            .check()
    }

    fn data(&self, source: &ModelSource, float: &Graph, recipe: &Recipe) -> anyhow::Result<Data> {
        let layout = InputLayout::of(float)?;
        recipe.input.check(&layout)?;
        let output = OutputForm::of(float);
        let load = |spec: &DatasetSpec| Dataset::load_for(spec, &layout, &recipe.input, &output);
        // Labels matter where accuracy is measured on these samples.
        let load_calibration = |spec: &DatasetSpec| match &self.eval {
            Some(_) => Dataset::load_inputs(spec, &layout, &recipe.input),
            None => load(spec),
        };
        let built_in = matches!(source, ModelSource::BuiltIn);
        let samples = match &self.calibration {
            _ if self.data_free => None,
            Some(spec) => {
                // Whatever else is wrong with the file is said when it is read.
                if let Some(samples) = Dataset::count(spec, &layout) {
                    pipeline::check_memory(float, samples, recipe)
                        .with_context(|| format!("cannot quantize {}", source.stem()))?;
                }
                Some(load_calibration(spec)?)
            }
            None if built_in => Some(default_model::calibration(&layout, &recipe.input)?),
            None => bail!(
                "{} needs samples to find its activation ranges on; give some hundred with --calibration DATA.npz, \
                 or quantize it from its BatchNorm statistics with --data-free",
                source.stem()
            ),
        };
        let calibration = match (samples, recipe.input.real_range()) {
            (Some(samples), _) => Source::Samples(Rc::new(samples)),
            (None, Some(range)) => Source::Range([range]),
            (None, None) => bail!(
                "without samples, {} needs the range of its input; give the smallest and the largest stored number with --input-range MIN,MAX",
                source.stem()
            ),
        };
        let (evaluation, measured_on) = match (&self.eval, &calibration) {
            (Some(spec), _) => (Rc::new(load(spec)?), "evaluation samples"),
            (None, _) if built_in && self.calibration.is_none() => (
                Rc::new(default_model::evaluation(&layout, &recipe.input)?),
                "evaluation samples",
            ),
            (None, Source::Samples(samples)) => (
                Rc::clone(samples),
                "calibration samples (give others with --eval)",
            ),
            (None, Source::Range([range])) => (
                Rc::new(Dataset::uniform(
                    &layout,
                    *range,
                    NOISE_SAMPLES,
                    recipe.seed,
                )),
                "samples of uniform noise (give real ones with --eval)",
            ),
        };
        Ok(Data {
            calibration,
            evaluation,
            measured_on,
        })
    }

    /// Printed report.
    fn text(
        &self,
        report: &QuantizeReport,
        measured_on: &str,
        blob: &Path,
        recipe: &Path,
    ) -> String {
        let calibrated_on = match report.calibration_samples {
            0 => "from BatchNorm statistics".to_owned(),
            samples => format!("calibrated on {samples} samples"),
        };
        let mut lines = vec![
            format!(
                "{}: {} weights {}, int8 activations; {calibrated_on}, measured on {} {measured_on}",
                report.model,
                report.recipe.weights.bits.describe(),
                report.recipe.weights.granularity.describe(),
                report.samples
            ),
            tables::summary(report),
        ];
        if self.layers {
            lines.push(tables::layer_table(report));
        }
        lines.push(format!(
            "SQNR is measured at `{}`, against float.",
            report.sqnr_tensor
        ));
        lines.extend((report.warnings.iter()).map(|warning| format!("warning: {warning}")));
        lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
        lines.push(format!("blob    {}", blob.display()));
        lines.push(format!("recipe  {}", recipe.display()));
        let packed = packing::described(report.recipe.target.packing());
        lines.push(format!("packed  {packed}"));
        if let Some(json) = &self.json {
            lines.push(format!("report  {}", json.display()));
        }
        lines.push(format!("took    {:.2} s", report.seconds));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_that_somebody_wrote_or_changed_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.recipe.toml");
        let (old, new) = (signed("seed = 1\n"), signed("seed = 2\n"));
        let check = |found: &str| {
            std::fs::write(&path, found).expect("writes");
            keep_foreign_recipe(&path, &new).map_err(|error| error.to_string())
        };
        for ours in [&old, &new, "seed = 2\n"] {
            check(ours).expect("nothing is lost");
        }
        let changed = old.replace("seed = 1", "seed = 3");
        let commented = format!("{old}# mine\n");
        for foreign in [&changed, &commented, "seed = 1\n", "notes", ""] {
            let error = check(foreign).expect_err("kept");
            assert!(
                error.contains("m.recipe.toml") && error.contains("--out"),
                "{error}"
            );
        }
        std::fs::remove_file(&path).expect("is there");
        keep_foreign_recipe(&path, &new).expect("nothing is there");
    }
}
