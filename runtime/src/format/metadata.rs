//! The metadata section: names and scales, for tools and people.
//!
//! The engine never reads it; a report or a layer-by-layer comparison does.

use super::header::Header;
use crate::error::LoadError;
use serde::{Deserialize, Serialize};

/// Names of a model and of its parts. Any list may be shorter than the program's.
///
/// What a later version adds goes behind the rest, so that tools read what they know and leave the remainder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The model.
    pub name: String,
    /// Of each model input: how the data that a user has becomes the input tensor.
    pub inputs: Vec<InputMetadata>,
    /// Of each tensor, in the program's order.
    pub tensors: Vec<TensorMetadata>,
    /// Of each operator, in execution order.
    pub ops: Vec<OpMetadata>,
    /// Of each model output: how the source model has it. The first blobs end before this list, and have it empty.
    // `Metadata::from_bytes` reads it, as postcard cannot leave out a field at the end.
    #[serde(skip_deserializing)]
    pub outputs: Vec<OutputMetadata>,
}

/// How stored data becomes a model input: `real = (stored / divisor - mean) / std`, then the axes are put in order.
///
/// Mean and standard deviation have one entry, one for each channel, or one for each element of `source_shape`; numbers are the bits of IEEE 754 singles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputMetadata {
    /// Shape of the input as the host's graph has it, channels last; `[h, w, c]` of the tensor up to leading ones.
    pub shape: Vec<u32>,
    /// Shape in the source model without the batch dimension.
    pub source_shape: Vec<u32>,
    /// Axis `i` of `shape` is axis `source_axes[i]` of `source_shape`.
    pub source_axes: Vec<u32>,
    /// Divisor of stored values.
    pub divisor_bits: u32,
    /// Means.
    pub mean_bits: Vec<u32>,
    /// Standard deviations.
    pub std_bits: Vec<u32>,
}

/// How a model output becomes that of the source model: its axes are put in order, and the result is read under another shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMetadata {
    /// Shape of the output as the host's graph has it, channels last; as many elements as the tensor, in the same order.
    pub shape: Vec<u32>,
    /// Shape of one sample's output in the source model, without the batch dimension.
    pub source_shape: Vec<u32>,
    /// The axes of `shape` in the source model's order; those of size 1 may be left out.
    pub order: Vec<u32>,
    /// How many axes of `source_shape` the source model has before the batch; `None` where it has no axis for that.
    pub batch: Option<u32>,
}

/// What is known of a tensor besides the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// Name in the source model.
    pub name: String,
    /// Bits of the scale as an IEEE 754 single (`f32::from_bits`).
    pub scale_bits: u32,
}

/// What is known of an operator besides the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpMetadata {
    /// Name of the source model's node.
    pub name: String,
}

impl Metadata {
    /// Decodes the metadata of a blob; `None` when its section does not hold any.
    ///
    /// # Errors
    /// As [`Summary::from_bytes`](crate::Summary::from_bytes).
    pub fn from_bytes(blob: &[u8]) -> Result<Option<Self>, LoadError> {
        let (header, blob) = Header::check(blob)?;
        Ok(Self::decode(header.metadata.of(blob)))
    }

    pub(crate) fn decode(section: &[u8]) -> Option<Self> {
        let (mut metadata, rest) = postcard::take_from_bytes::<Self>(section).ok()?;
        if !rest.is_empty() {
            metadata.outputs = postcard::from_bytes(rest).ok()?;
        }
        Some(metadata)
    }
}
