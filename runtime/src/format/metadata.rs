//! The metadata section: names and scales, for tools and readers.
//!
//! The engine never reads it; reports and comparisons per layer do.

use super::header::Header;
use crate::error::LoadError;
use serde::{Deserialize, Serialize};

/// Names of a model and of its parts. Any list may be shorter than the program's.
///
/// Later versions add fields at the end, so that tools read the fields that they know and ignore the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Name of the model.
    pub name: String,
    /// Conversion of stored data to the input tensor, per model input.
    pub inputs: Vec<InputMetadata>,
    /// Facts per tensor, in the program's order.
    pub tensors: Vec<TensorMetadata>,
    /// Facts per operator, in execution order.
    pub ops: Vec<OpMetadata>,
    /// Layout in the source model, per model output. The first blobs end before this list, which is then empty.
    // `Metadata::from_bytes` reads it, as postcard cannot leave out a field at the end.
    #[serde(skip_deserializing)]
    pub outputs: Vec<OutputMetadata>,
}

/// Conversion of stored data to a model input: `real = (stored / divisor - mean) / std`, then the axes are put in order.
///
/// Mean and standard deviation have one entry, one per channel, or one per element of `source_shape`; numbers are the bits of IEEE 754 singles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputMetadata {
    /// Shape of the input in the host's graph, channels last; `[h, w, c]` of the tensor up to leading ones.
    pub shape: Vec<u32>,
    /// Shape in the source model without the batch dimension.
    pub source_shape: Vec<u32>,
    /// Axis `i` of `shape` is axis `source_axes[i]` of `source_shape`.
    pub source_axes: Vec<u32>,
    /// Bits of the divisor of stored values.
    pub divisor_bits: u32,
    /// Bits of the means.
    pub mean_bits: Vec<u32>,
    /// Bits of the standard deviations.
    pub std_bits: Vec<u32>,
}

/// Conversion of a model output to that of the source model: its axes are put in order, and the result has another shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMetadata {
    /// Shape of the output in the host's graph, channels last; as many elements as the tensor, in the same order.
    pub shape: Vec<u32>,
    /// Shape of one sample's output in the source model, without the batch dimension.
    pub source_shape: Vec<u32>,
    /// The axes of `shape` in the source model's order; those of size 1 may be left out.
    pub order: Vec<u32>,
    /// Number of axes of `source_shape` before the batch in the source model; `None` if it has no batch axis.
    pub batch: Option<u32>,
}

/// Facts about a tensor besides the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// Name in the source model.
    pub name: String,
    /// Bits of the scale as an IEEE 754 single (`f32::from_bits`).
    pub scale_bits: u32,
}

/// Facts about an operator besides the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpMetadata {
    /// Name of the source model's node.
    pub name: String,
}

impl Metadata {
    /// Decodes the metadata of a blob; `None` if its section does not contain any.
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
