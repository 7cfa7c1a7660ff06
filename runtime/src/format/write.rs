//! Assembling a blob, for host tools and tests.
//!
//! The writer lays out sections, header and checksum; it does not judge the program: `Model::from_bytes` does, and a
//! packer should load what it wrote. Equal input gives equal bytes.

use super::family::Family;
use super::header::{Header, SectionRange, checksum};
use super::metadata::Metadata;
use super::place::{ParamIndex, WeightsOffset};
use super::program::{MAX_PORTS, Op, Port, Scratch, Tensor};
use super::{ALIGNMENT, VERSION};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The parts of a `Program`, in any number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramParts {
    /// Bytes of arena: see [`arena_bytes`].
    // The fields' order and encoding are `Program`'s: this is what the engine decodes.
    pub arena_bytes: u32,
    /// Model inputs, at most [`MAX_PORTS`].
    pub inputs: Vec<Port>,
    /// Model outputs, at most [`MAX_PORTS`].
    pub outputs: Vec<Port>,
    /// Every activation tensor.
    pub tensors: Vec<Tensor>,
    /// The operators in execution order.
    pub ops: Vec<Op>,
    /// The kernel family that the weights are packed for; in the header, not in the program.
    #[serde(skip)]
    pub packing: Family,
}

/// The largest end of a tensor or of a scratch area: the one value that a program's `arena_bytes` may have.
#[must_use]
pub fn arena_bytes(tensors: &[Tensor], ops: &[Op]) -> u32 {
    let tensors = tensors
        .iter()
        .map(|t| u64::from(t.offset).saturating_add(t.bytes()));
    let scratch = ops.iter().map(Op::scratch).filter(|s| s.bytes > 0);
    let scratch = scratch.map(|s: Scratch| u64::from(s.offset) + u64::from(s.bytes));
    u32::try_from(tensors.chain(scratch).max().unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Reason why a blob cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// More than [`MAX_PORTS`] inputs or outputs.
    Ports {
        /// How many.
        found: usize,
    },
    /// More than 65535 tensors.
    Tensors {
        /// How many.
        found: usize,
    },
    /// More than 65535 operators.
    Ops {
        /// How many.
        found: usize,
    },
    /// The blob would have 4 GiB or more.
    Length,
    /// The program or the metadata cannot be encoded.
    Encode,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Ports { found } => {
                write!(
                    f,
                    "the model has {found} inputs or outputs, the format has room for {MAX_PORTS}"
                )
            }
            WriteError::Tensors { found } => {
                write!(f, "the model has {found} tensors, at most 65535 fit")
            }
            WriteError::Ops { found } => {
                write!(f, "the model has {found} operators, at most 65535 fit")
            }
            WriteError::Length => f.write_str("the blob would be larger than 4 GiB"),
            WriteError::Encode => f.write_str("the program or the metadata cannot be encoded"),
        }
    }
}

impl core::error::Error for WriteError {}

/// Collects weights and parameters while a program is lowered, then assembles the blob.
///
/// ```
/// use fewbit_runtime::{BlobWriter, Metadata, ProgramParts, Summary};
///
/// let mut writer = BlobWriter::new();
/// assert_eq!(writer.append_weights(&[1, 2, 3]).get(), 0);
/// assert_eq!(writer.append_weights(&[4]).get(), 16); // every tensor starts at a multiple of 16
/// assert_eq!(writer.append_params(&[5, 6]).get(), 0);
/// let blob = writer.finish(&ProgramParts::default(), &Metadata::default())?;
/// assert_eq!(Summary::from_bytes(&blob)?.weights_bytes, 17);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobWriter {
    weights: Vec<i8>,
    params: Vec<i32>,
}

impl BlobWriter {
    /// A writer that goes on behind these sections.
    #[must_use]
    pub fn with_sections(weights: Vec<i8>, params: Vec<i32>) -> Self {
        BlobWriter { weights, params }
    }

    /// The weights section so far.
    #[must_use]
    pub fn weights(&self) -> &[i8] {
        &self.weights
    }

    /// The parameters section so far.
    #[must_use]
    pub fn params(&self) -> &[i32] {
        &self.params
    }

    /// A writer with empty sections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes to the weights section, at the next multiple of 16, and returns their offset.
    ///
    /// For int8 weights, lookup tables, constants, pairs (min, max) of per-channel clamps, and packed int4 weights.
    /// Above 4 GiB the offset saturates, and [`finish`](Self::finish) refuses.
    pub fn append_weights(&mut self, bytes: &[i8]) -> WeightsOffset {
        let offset = self.weights.len().next_multiple_of(ALIGNMENT as usize);
        self.weights.resize(offset, 0);
        self.weights.extend_from_slice(bytes);
        WeightsOffset::new(u32::try_from(offset).unwrap_or(u32::MAX))
    }

    /// Packs rows of `row` int4 weights, each -7..=7, and appends them; see [`pack_int4_rows`].
    pub fn append_int4_rows(&mut self, weights: &[i8], row: usize) -> WeightsOffset {
        self.append_weights(&pack_int4_rows(weights, row))
    }

    /// Appends int32 values to the parameters section and returns the index of the first.
    ///
    /// For folded biases, Q32 multipliers and softmax tables.
    pub fn append_params(&mut self, values: &[i32]) -> ParamIndex {
        let index = self.params.len();
        self.params.extend_from_slice(values);
        ParamIndex::new(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Assembles the blob.
    ///
    /// # Errors
    /// [`WriteError`], when a count or a length does not fit the format.
    pub fn finish(
        self,
        program: &ProgramParts,
        metadata: &Metadata,
    ) -> Result<Vec<u8>, WriteError> {
        assemble(program, &self.weights, &self.params, metadata)
    }
}

/// Assembles a blob from its sections.
///
/// # Errors
/// [`WriteError`], when a count or a length does not fit the format.
pub fn assemble(
    program: &ProgramParts,
    weights: &[i8],
    params: &[i32],
    metadata: &Metadata,
) -> Result<Vec<u8>, WriteError> {
    for ports in [&program.inputs, &program.outputs] {
        if ports.len() > MAX_PORTS {
            return Err(WriteError::Ports { found: ports.len() });
        }
    }
    let tensors = program.tensors.len();
    let ops = program.ops.len();
    let mut header = Header {
        version: VERSION,
        packing: program.packing as u8,
        tensors: u16::try_from(tensors).map_err(|_| WriteError::Tensors { found: tensors })?,
        ops: u16::try_from(ops).map_err(|_| WriteError::Ops { found: ops })?,
        arena_bytes: program.arena_bytes,
        ..Header::default()
    };
    let encoded = postcard::to_stdvec(program).map_err(|_| WriteError::Encode)?;
    let metadata = postcard::to_stdvec(metadata).map_err(|_| WriteError::Encode)?;

    let mut blob = header.emit().to_vec();
    header.program = append_section(&mut blob, &encoded)?;
    header.weights = append_section(&mut blob, bytemuck::cast_slice(weights))?;
    header.parameters = append_section(&mut blob, bytemuck::cast_slice(params))?;
    header.metadata = append_section(&mut blob, &metadata)?;
    header.length = u32::try_from(blob.len()).map_err(|_| WriteError::Length)?;

    write_header(&mut blob, &header);
    header.crc = checksum(&blob);
    write_header(&mut blob, &header);
    Ok(blob)
}

fn write_header(blob: &mut [u8], header: &Header) {
    for (to, from) in blob.iter_mut().zip(header.emit()) {
        *to = from;
    }
}

/// Appends a section and its padding.
fn append_section(blob: &mut Vec<u8>, bytes: &[u8]) -> Result<SectionRange, WriteError> {
    let offset = u32::try_from(blob.len()).map_err(|_| WriteError::Length)?;
    let length = u32::try_from(bytes.len()).map_err(|_| WriteError::Length)?;
    blob.extend_from_slice(bytes);
    blob.resize(blob.len().next_multiple_of(ALIGNMENT as usize), 0);
    Ok(SectionRange { offset, length })
}

/// Packs int4 weights two per byte: the first in the low nibble, two's complement, a last unused nibble 0.
///
/// Values are -7..=7; of anything else only the low four bits are kept.
#[must_use]
pub fn pack_int4_row(weights: &[i8]) -> Vec<i8> {
    let pack = |pair: &[i8]| match pair {
        [low, high] => (low & 0x0F) | (high << 4),
        [low] => low & 0x0F,
        _ => 0,
    };
    weights.chunks(2).map(pack).collect()
}

/// Packs rows of `row` int4 weights each, every row starting on a byte.
///
/// In OHWI and OI a row is an output channel's `K` weights, in 1HWO it is a tap's `out_c` weights. A `row` of 0 gives
/// nothing.
#[must_use]
pub fn pack_int4_rows(weights: &[i8], row: usize) -> Vec<i8> {
    if row == 0 {
        return Vec::new();
    }
    weights.chunks(row).flat_map(pack_int4_row).collect()
}
