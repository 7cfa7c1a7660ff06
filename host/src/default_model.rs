//! The built-in digits network.
//!
//! With it, a fresh copy of the program runs all steps without a download.
//!
//! Files and sources: `host/models/digits/README.md`.

use crate::dataset::{Dataset, DatasetError, DatasetSpec, InputLayout, InputTransform};
use crate::graph::Graph;
use crate::import::{ImportError, ImportOptions, onnx};
use crate::recipe::Recipe;

/// Name of the network.
pub const NAME: &str = "digits";

/// Calibration samples in [`DATA`].
pub const CALIBRATION: &str = "digits.npz:x_train,y_train[0:512]";

/// Evaluation samples in [`DATA`].
pub const EVALUATION: &str = "digits.npz:x_test,y_test";

/// The model file.
pub const MODEL: &[u8] = include_bytes!("../models/digits/digits.onnx");

/// The data file.
pub const DATA: &[u8] = include_bytes!("../models/digits/digits.npz");

const RECIPE: &str = include_str!("../models/digits/recipe.toml");

/// The float network.
///
/// # Errors
/// If the network has no output of that name.
pub fn graph(options: &ImportOptions) -> Result<Graph, ImportError> {
    onnx::from_bytes(NAME, MODEL, options)
}

/// Recipe of the network: the defaults, with its input transform.
///
/// # Errors
/// None that a caller can cause.
pub fn recipe() -> Result<Recipe, Box<toml::de::Error>> {
    Recipe::from_toml(RECIPE)
}

/// 512 of the training samples.
///
/// # Errors
/// If the transform does not match the network.
pub fn calibration(
    layout: &InputLayout,
    transform: &InputTransform,
) -> Result<Dataset, DatasetError> {
    load(CALIBRATION, layout, transform)
}

/// The 500 test samples.
///
/// # Errors
/// If the transform does not match the network.
pub fn evaluation(
    layout: &InputLayout,
    transform: &InputTransform,
) -> Result<Dataset, DatasetError> {
    load(EVALUATION, layout, transform)
}

fn load(
    spec: &str,
    layout: &InputLayout,
    transform: &InputTransform,
) -> Result<Dataset, DatasetError> {
    let spec: DatasetSpec = spec.parse()?;
    Dataset::from_npz_bytes(DATA, &spec, layout, transform)
}
