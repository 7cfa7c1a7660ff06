//! The recipe: every choice of a quantization run, in one TOML file.
//!
//! Command line flags override a recipe's fields; the recipe that was used is written beside the output, so that a run can be repeated
//! bit for bit.

use crate::calibrate::{RangeMethod, RangeOptions};
use crate::dataset::InputTransform;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All choices of a run; every field has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Recipe {
    /// How stored samples become the network's inputs.
    pub input: InputTransform,
    /// Weight quantization.
    pub weights: WeightOptions,
    /// Activation quantization.
    pub activations: ActivationOptions,
    /// Which optional passes run.
    pub passes: PassOptions,
    /// Seed of everything random.
    pub seed: u64,
}

/// How weights are quantized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct WeightOptions {
    /// Storage type.
    pub bits: WeightBits,
    /// One scale a channel, or one a tensor.
    pub granularity: Granularity,
}

/// Storage type of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WeightBits {
    /// -127..=127.
    #[default]
    Int8,
    /// -7..=7.
    Int4,
}

impl WeightBits {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            WeightBits::Int8 => "int8",
            WeightBits::Int4 => "int4",
        }
    }

    /// Largest quantized weight; the smallest is its negative.
    pub fn max(self) -> i8 {
        match self {
            WeightBits::Int8 => 127,
            WeightBits::Int4 => 7,
        }
    }
}

/// How many scales a weight tensor has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// One for each output channel.
    #[default]
    PerChannel,
    /// One for the whole tensor.
    PerTensor,
}

impl Granularity {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Granularity::PerChannel => "per channel",
            Granularity::PerTensor => "per tensor",
        }
    }
}

/// How activations are quantized: int8, asymmetric, per tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ActivationOptions {
    /// How ranges are found.
    pub range: RangeMethod,
    /// Of the range `percentile`: percent of the values kept at each end.
    pub percentile: f64,
}

impl ActivationOptions {
    /// The range method with its parameters.
    pub fn range_options(&self) -> RangeOptions {
        RangeOptions {
            method: self.range,
            percentile: self.percentile,
        }
    }
}

impl Default for ActivationOptions {
    fn default() -> Self {
        ActivationOptions {
            range: RangeMethod::default(),
            percentile: RangeOptions::DEFAULT_PERCENTILE,
        }
    }
}

/// Which optional passes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PassOptions {
    /// Fold BatchNorm into the layers around it (without it each becomes a depthwise convolution).
    pub fold_batch_norm: bool,
}

impl Default for PassOptions {
    fn default() -> Self {
        PassOptions {
            fold_batch_norm: true,
        }
    }
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// A file that cannot be read, is no TOML, or has a field that no recipe has.
    pub fn load(path: &Path) -> Result<Recipe, RecipeError> {
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read {
            path: path.to_owned(),
            source,
        })?;
        Recipe::from_toml(&text).map_err(|source| RecipeError::Parse {
            path: path.to_owned(),
            source,
        })
    }

    /// Parses a recipe.
    ///
    /// # Errors
    /// Text that is no TOML or has a field that no recipe has.
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

/// Why a recipe could not be used.
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
    /// The file is no recipe.
    #[error("{path} is no recipe: {source}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_recipe_reads_back() {
        let recipe = Recipe {
            seed: 3,
            weights: WeightOptions {
                bits: WeightBits::Int4,
                granularity: Granularity::PerTensor,
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
}
