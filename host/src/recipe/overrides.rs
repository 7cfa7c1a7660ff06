//! Overrides of a recipe for single layers.

use super::weights::{Granularity, WeightBits, WeightOptions};
use crate::range::RangeMethod;
use crate::recipe::RoundingMethod;
use serde::{Deserialize, Serialize};

/// Other choices for the layers whose names match a pattern; what is not given stays as it is for all.
///
/// If several overrides match a layer, later ones win.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LayerOverride {
    /// Name of a layer; `*` stands for any characters.
    pub layers: String,
    /// Storage type of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<WeightBits>,
    /// Scales of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// Method of finding the weights' range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeMethod>,
    /// Whether the weights' scale is searched for the least output error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_search: Option<bool>,
    /// Rounding of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<RoundingMethod>,
    /// Whether the bias is corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias_correction: Option<bool>,
}

/// All choices for one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerOptions {
    /// Type, granularity and range of its weights.
    pub weights: WeightOptions,
    /// Rounding with samples.
    pub rounding: RoundingMethod,
    /// Whether its bias is corrected.
    pub correct_bias: bool,
}
