//! Options of a recipe for weights.

use crate::choice::choices;
use crate::range::RangeMethod;
use serde::{Deserialize, Serialize};

/// Quantization of weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct WeightOptions {
    /// Storage type.
    pub bits: WeightBits,
    /// One scale per channel, or one per tensor.
    pub granularity: Granularity,
    /// Method of finding the range of the weights.
    pub range: RangeMethod,
    /// Whether the scale is then searched for the least error of the layer's output, where there are samples.
    pub scale_search: bool,
    /// Storage type in the layers with weights that nothing with weights comes before or behind; as in all others, where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_and_last: Option<WeightBits>,
}

impl Default for WeightOptions {
    fn default() -> Self {
        WeightOptions {
            bits: WeightBits::Int8,
            granularity: Granularity::PerChannel,
            range: RangeMethod::MinMax,
            scale_search: true,
            first_and_last: None,
        }
    }
}

impl WeightOptions {
    /// The same with another storage type and granularity.
    pub fn with(self, bits: WeightBits, granularity: Granularity) -> Self {
        WeightOptions {
            bits,
            granularity,
            ..self
        }
    }
}

choices! {
    /// Storage type of weights.
    pub enum WeightBits, Int8 by default {
        /// -127..=127.
        Int8 = "int8",
        /// -7..=7.
        Int4 = "int4",
    }
}

impl WeightBits {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            WeightBits::Int8 => "int8",
            WeightBits::Int4 => "int4",
        }
    }

    /// Bits of a stored weight.
    pub fn bits(self) -> u32 {
        match self {
            WeightBits::Int8 => 8,
            WeightBits::Int4 => 4,
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

choices! {
    /// Number of scales of a weight tensor.
    pub enum Granularity, PerChannel by default {
        /// One for each output channel.
        PerChannel = "per-channel",
        /// One for the whole tensor.
        PerTensor = "per-tensor",
    }
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
