//! The recipe: every choice of a quantization run, in one TOML file.
//!
//! Command line flags override a recipe's fields; the recipe that was used is written beside the output, so that a run can be repeated
//! bit for bit.

mod ends;
mod equalize;
mod layers;
mod overrides;
mod rounding;
mod target;
mod weights;

pub use crate::choice::Choice;
use crate::choice::choices;
pub(crate) use ends::first_and_last;
pub use equalize::Equalize;
pub use overrides::{LayerOptions, LayerOverride};
pub use rounding::{AdaRoundOptions, RoundingMethod};
pub use target::Target;
pub use weights::{Granularity, WeightBits, WeightOptions};

use crate::dataset::InputTransform;
use crate::range::{RangeMethod, RangeOptions};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Default number of standard deviations in ranges by formulas alone. Nagel et al. (2019), section 5, take more; 4 was the better balance of rounding and saturation.
pub const DEFAULT_DEVIATIONS: f32 = 4.0;

/// The same beside synthetic samples, which differ in contrast and so have tails of their own: docs/guide/accuracy.md has the figures.
pub const SYNTHETIC_DEVIATIONS: f32 = 3.0;

/// All choices of a run; every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Recipe {
    /// Conversion of stored samples to the network's inputs.
    pub input: InputTransform,
    /// Weight quantization.
    pub weights: WeightOptions,
    /// Activation quantization.
    pub activations: ActivationOptions,
    /// Replacement of samples if there are none.
    pub data_free: DataFreeOptions,
    /// Optional passes.
    pub passes: PassOptions,
    /// Rounding of weights with samples.
    pub rounding: AdaRoundOptions,
    /// Processor or family that the blob is packed for.
    #[serde(skip_serializing_if = "Target::is_any")]
    pub target: Target,
    /// Seed of what is random: samples made up without data, batches of AdaRound.
    pub seed: u64,
    /// Megabytes (10^6 bytes) of memory that quantization may take, by an estimate made before it begins; does not change what comes out.
    pub memory: usize,
    /// Other choices for some layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<LayerOverride>,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            input: InputTransform::default(),
            weights: WeightOptions::default(),
            activations: ActivationOptions::default(),
            data_free: DataFreeOptions::default(),
            passes: PassOptions::default(),
            rounding: AdaRoundOptions::default(),
            target: Target::default(),
            seed: 0,
            memory: 2000,
            overrides: Vec::new(),
        }
    }
}

/// Quantization of activations: int8, asymmetric, per tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ActivationOptions {
    /// Method of finding ranges with samples.
    pub range: RangeMethod,
    /// For the range method `percentile`: values that the range covers, in percent, at either end.
    pub percentile: f64,
    /// Without samples, ranges reach so many standard deviations to either side of the mean that BatchNorm statistics give; at least so many with synthetic
    /// samples. As many as suit the method, where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<f32>,
}

impl Default for ActivationOptions {
    fn default() -> Self {
        ActivationOptions {
            range: RangeMethod::Sqnr,
            percentile: RangeOptions::default().percentile,
            deviations: None,
        }
    }
}

impl ActivationOptions {
    /// Settings of observers.
    pub fn range_options(&self) -> RangeOptions {
        RangeOptions {
            method: self.range,
            percentile: self.percentile,
        }
    }

    /// Standard deviations that ranges reach by this method without data.
    pub fn deviations(&self, method: DataFreeMethod) -> f32 {
        self.deviations.unwrap_or(match method {
            DataFreeMethod::Synthetic => SYNTHETIC_DEVIATIONS,
            DataFreeMethod::Statistics => DEFAULT_DEVIATIONS,
        })
    }
}

choices! {
    /// Source of ranges, biases and roundings without data.
    pub enum DataFreeMethod, Synthetic by default {
        /// Samples made from noise that give every layer the moments that its BatchNorm recorded.
        Synthetic = "synthetic",
        /// Formulas over the recorded moments alone, as in Nagel et al. (2019); weights are rounded to nearest.
        Statistics = "statistics",
    }
}

/// Quantization without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DataFreeOptions {
    /// The way.
    pub method: DataFreeMethod,
    /// Synthetic samples, at least 1.
    pub samples: usize,
}

impl Default for DataFreeOptions {
    fn default() -> Self {
        DataFreeOptions {
            method: DataFreeMethod::default(),
            samples: 192,
        }
    }
}

/// Optional passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PassOptions {
    /// Fold BatchNorm into the layers around it (without it each becomes a depthwise convolution).
    pub fold_batch_norm: bool,
    /// Scale channels across layers until their ranges are alike.
    pub equalize: Equalize,
    /// Move biases that keep channels far from zero into the next layer, where that narrows a range. Not exact for values that fall below what is moved, which
    /// on deep networks costs more than it brings (docs/guide/quantization.md).
    pub absorb_high_bias: bool,
    /// Take the mean error that rounding causes out of the biases.
    pub bias_correction: BiasCorrection,
}

impl Default for PassOptions {
    fn default() -> Self {
        PassOptions {
            fold_batch_norm: true,
            equalize: Equalize::Full,
            absorb_high_bias: false,
            bias_correction: BiasCorrection::Auto,
        }
    }
}

choices! {
    /// Source of the mean error of a layer's outputs, which bias correction removes.
    pub enum BiasCorrection, Auto by default {
        /// From samples where there are some, else from statistics.
        Auto = "auto",
        /// No correction.
        Off = "off",
        /// From BatchNorm statistics.
        Analytic = "analytic",
        /// From samples.
        Empirical = "empirical",
    }
}

impl BiasCorrection {
    /// Meaning of [`BiasCorrection::Auto`] with samples.
    pub fn with_data(self) -> BiasCorrection {
        match self {
            BiasCorrection::Auto => BiasCorrection::Empirical,
            chosen => chosen,
        }
    }

    /// Meaning of [`BiasCorrection::Auto`] without samples.
    pub fn without_data(self) -> BiasCorrection {
        match self {
            BiasCorrection::Auto => BiasCorrection::Analytic,
            chosen => chosen,
        }
    }
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, or has an unknown field.
    pub fn load(path: &Path) -> Result<Recipe, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_owned(),
            source,
        })?;
        let recipe = Recipe::from_toml(&text).map_err(|source| RecipeError::Parse {
            path: path.to_owned(),
            problem: in_plain_words(&source.to_string()),
        })?;
        if recipe.data_free.samples == 0 {
            return Err(RecipeError::NoSyntheticSamples {
                path: path.to_owned(),
            });
        }
        let deviations = recipe.activations.deviations;
        if let Some(found) = deviations.filter(|&n| !(n.is_finite() && n > 0.0)) {
            return Err(RecipeError::Deviations {
                path: path.to_owned(),
                found,
            });
        }
        match recipe.rounding.problem() {
            None => Ok(recipe),
            Some(problem) => Err(RecipeError::Rounding {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// Reads a recipe where one is given; else it is the default.
    ///
    /// # Errors
    /// As of [`Recipe::load`].
    pub fn load_or_default(path: Option<&Path>) -> Result<Recipe, RecipeError> {
        path.map_or_else(|| Ok(Recipe::default()), Recipe::load)
    }

    /// Parses a recipe.
    ///
    /// # Errors
    /// If the text is not TOML, or has an unknown field.
    pub fn from_toml(text: &str) -> Result<Recipe, Box<toml::de::Error>> {
        toml::from_str(text).map_err(Box::new)
    }

    /// The recipe as TOML, every field spelled out.
    ///
    /// # Errors
    /// None that a recipe can cause; serialization is fallible by type.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// Reason why a recipe could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read recipe {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A parameter of rounding makes no sense.
    #[error("{path}, section [rounding]: {problem}", path = path.display())]
    Rounding {
        /// The file.
        path: PathBuf,
        /// The parameter, what was found and what was expected.
        problem: String,
    },
    /// Ranges without samples would have no width.
    #[error(
        "{path}, section [activations]: deviations is {found}; it has to be a positive number, such as {DEFAULT_DEVIATIONS}",
        path = path.display()
    )]
    Deviations {
        /// The file.
        path: PathBuf,
        /// Value in the recipe.
        found: f32,
    },
    /// No synthetic sample is to be made.
    #[error(
        "{path}, section [data-free]: samples is 0; give at least 1, such as 192",
        path = path.display()
    )]
    NoSyntheticSamples {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a recipe.
    #[error("{path} is not a recipe: {problem}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        problem: String,
    },
}

/// Type that the parser expected, without the names of Rust's types.
fn in_plain_words(message: &str) -> String {
    let types = [
        (
            ["usize", "u64", "u32", "u16", "u8"].as_slice(),
            "a whole number, 0 or more",
        ),
        (&["isize", "i64", "i32", "i16", "i8"], "a whole number"),
        (&["f32", "f64"], "a number"),
        (&["a boolean"], "true or false"),
        (&["a string"], "text in quotes"),
    ];
    let lines = message.lines().map(|line| {
        let name = line.rsplit_once("expected ");
        let found = name.and_then(|(before, name)| {
            let (_, words) = types.iter().find(|(names, _)| names.contains(&name))?;
            Some(format!("{before}expected {words}"))
        });
        found.unwrap_or_else(|| line.to_owned())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_types_are_named_in_plain_words() {
        for (text, words) in [
            ("memory = \"much\"", "expected a whole number, 0 or more"),
            ("memory = -1", "expected a whole number, 0 or more"),
            ("[activations]\ndeviations = \"few\"", "expected a number"),
            (
                "[input]\nmean = \"0,1\"",
                "expected a number, or a list of numbers",
            ),
            ("name = 3", "unknown field `name`"),
        ] {
            let error = Recipe::from_toml(text)
                .expect_err("is no recipe")
                .to_string();
            let message = in_plain_words(&error);
            assert!(message.contains(words), "{message}");
            for name in ["usize", "f32", "untagged"] {
                assert!(!message.contains(name), "{message}");
            }
        }
    }

    #[test]
    fn the_written_recipe_reads_back() {
        let recipe = Recipe {
            seed: 3,
            weights: WeightOptions {
                bits: WeightBits::Int4,
                granularity: Granularity::PerTensor,
                ..WeightOptions::default()
            },
            ..Recipe::default()
        };
        let text = recipe.to_toml().expect("serializes");
        assert_eq!(Recipe::from_toml(&text).expect("parses"), recipe);
    }

    #[test]
    fn an_empty_recipe_is_the_default_and_a_typo_is_refused() {
        assert_eq!(Recipe::from_toml("").expect("parses"), Recipe::default());
        let error = Recipe::from_toml("[weights]\nbitz = \"int4\"").expect_err("no such field");
        assert!(error.to_string().contains("bitz"), "{error}");
    }

    #[test]
    fn deviations_are_a_positive_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r.toml");
        for (text, refused) in [("nan", true), ("inf", true), ("-1.0", true), ("3.0", false)] {
            let text = format!("[activations]\ndeviations = {text}");
            std::fs::write(&path, text).expect("writes");
            let loaded = Recipe::load(&path).map_err(|error| error.to_string());
            assert_eq!(loaded.is_err(), refused, "{loaded:?}");
            if let Err(error) = loaded {
                assert!(
                    error.contains("r.toml") && error.contains("deviations"),
                    "{error}"
                );
            }
        }
    }
}
