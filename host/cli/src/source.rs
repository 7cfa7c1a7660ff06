//! Inputs of the commands: models, blobs and data sets, by path or built in.

use anyhow::{Context, bail};
use fewbit::dataset::{Dataset, InputLayout, OutputForm};
use fewbit::default_model;
use fewbit::graph::Graph;
use fewbit::import::{self, ImportOptions};
use fewbit::measure::simulate::Simulator;
use fewbit::pipeline::{self, Calibration, Quantized};
use fewbit::progress::Silent;
use fewbit::recipe::Recipe;
use fewbit_runtime::{AlignedBlob, format::family::Family};
use std::fs;
use std::path::{Path, PathBuf};

/// A float model: a file, or the built-in digits network.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// The digits network that is built into this program.
    BuiltIn,
    /// A model file.
    File(PathBuf),
}

impl ModelSource {
    /// Source for an optional path.
    pub fn new(path: Option<&Path>) -> Self {
        path.map_or(ModelSource::BuiltIn, |path| {
            ModelSource::File(path.to_owned())
        })
    }

    /// Imports the model.
    ///
    /// # Errors
    /// As [`import::load`].
    pub fn load(&self, output: Option<&str>) -> anyhow::Result<Graph> {
        let options = ImportOptions {
            output: output.map(str::to_owned),
        };
        match self {
            ModelSource::BuiltIn => Ok(default_model::graph(&options)?),
            ModelSource::File(path) => Ok(import::load(path, &options)?),
        }
    }

    /// Name of the model, usable as a file name without extension.
    pub fn stem(&self) -> String {
        match self {
            ModelSource::BuiltIn => default_model::NAME.to_owned(),
            ModelSource::File(path) => path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Recipe: from the given file, otherwise the built-in network's own, otherwise the default.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn recipe(&self, file: Option<&Path>) -> anyhow::Result<Recipe> {
        match (file, self) {
            (Some(file), _) => Ok(Recipe::load(file)?),
            (None, ModelSource::BuiltIn) => Ok(default_model::recipe()?),
            (None, ModelSource::File(_)) => Ok(Recipe::default()),
        }
    }
}

/// Imports the model at `path` up to the output that a blob was made for if the model has one of that name, otherwise as in the file.
///
/// # Errors
/// As [`import::load`], or if the model's output differs from the blob's.
pub(crate) fn model_of_blob(path: &Path, blob: &Simulator<'_>) -> anyhow::Result<Graph> {
    let source = ModelSource::File(path.to_owned());
    let named = (blob.output_name()).and_then(|name| source.load(Some(name)).ok());
    let graph = match named {
        Some(graph) => graph,
        None => source.load(None)?,
    };
    let stored = OutputForm::of(&graph).stored;
    let [.., channels] = blob.output_shape();
    let elements: usize = stored.iter().product();
    if elements != blob.output_elements() || stored.last().unwrap_or(&1) != &channels {
        bail!(
            "the output of {} has shape {stored:?} per sample (channels last), that of the blob {:?}: it is not the model that the blob was made from",
            path.display(),
            blob.output_shape()
        );
    }
    Ok(graph)
}

/// Form of a blob's output, with the layout of the model that it was made from.
///
/// # Errors
/// As [`model_of_blob`].
pub(crate) fn layout_of_blob(path: &Path, blob: &Simulator<'_>) -> anyhow::Result<OutputForm> {
    Ok(OutputForm::of(&model_of_blob(path, blob)?))
}

/// A float model or a blob.
pub enum AnyModel {
    /// A float graph.
    Float(Box<Graph>),
    /// A quantized model.
    Blob(AlignedBlob),
}

impl AnyModel {
    /// Reads either; the first bytes distinguish a blob.
    ///
    /// # Errors
    /// If the file cannot be read or imported.
    pub fn load(path: &Path, output: Option<&str>) -> anyhow::Result<AnyModel> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if bytes.starts_with(&fewbit_runtime::format::header::MAGIC) {
            if output.is_some() {
                bail!("a blob's output is fixed; use --output-tensor with float models only");
            }
            return Ok(AnyModel::Blob(AlignedBlob::new(&bytes)));
        }
        let graph = ModelSource::File(path.to_owned()).load(output)?;
        Ok(AnyModel::Float(Box::new(graph)))
    }
}

/// The built-in network, quantized by its own recipe for a kernel family, and its evaluation samples.
///
/// # Errors
/// None that a caller can cause.
pub(crate) fn digits(packing: Family) -> anyhow::Result<(Quantized, Dataset)> {
    let float = default_model::graph(&ImportOptions::default())?;
    let mut recipe = default_model::recipe()?;
    recipe.target = packing.into();
    let layout = InputLayout::of(&float)?;
    let calibration = default_model::calibration(&layout, &recipe.input)?;
    let samples = Calibration::Samples(&calibration);
    let quantized = pipeline::quantize(&float, samples, &recipe, &mut Silent)?;
    Ok((
        quantized,
        default_model::evaluation(&layout, &recipe.input)?,
    ))
}
