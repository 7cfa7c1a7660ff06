//! The fixed header of a blob, and the summary that build scripts read.
//!
//! 64 bytes, little-endian, that need no decoder: a tool can size an arena and firmware can refuse a
//! foreign file from these alone. Byte table: `docs/model-format.md`.

use super::family::Family;
use super::{ALIGNMENT, VERSION};
use crate::error::{LoadError, Section};

/// Bytes of the header.
pub const HEADER_BYTES: u32 = 64;

/// "FEWBIT\r\n": a transfer in text mode that changes line ends breaks it.
pub const MAGIC: [u8; 8] = *b"FEWBIT\r\n";

/// First byte that the checksum covers; the bytes before are checked by value, except the packing.
const CRC_START: usize = 20;

/// Offset of the packing byte.
const PACKING_AT: usize = 10;

/// CRC-32 of IEEE 802.3, as in zlib.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Place of a section in the blob, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SectionRange {
    /// Offset of the first byte.
    pub offset: u32,
    /// Length in bytes, without the padding that follows.
    pub length: u32,
}

impl SectionRange {
    /// The section's bytes; empty if it is not inside the blob.
    pub(crate) fn of(self, blob: &[u8]) -> &[u8] {
        let start = self.offset as usize;
        blob.get(start..start.saturating_add(self.length as usize))
            .unwrap_or_default()
    }
}

/// The header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Format version.
    pub version: u16,
    /// Order of the weights: a [`Family`]; 0 = default.
    pub packing: u8,
    /// Arithmetic of the model; 0 = native.
    pub arithmetic: u8,
    /// Bytes of the whole blob.
    pub length: u32,
    /// CRC-32 of the bytes 20..length.
    pub crc: u32,
    /// Section of tensors and operators.
    pub program: SectionRange,
    /// Section of bytes: weights, tables, clamps, constants.
    pub weights: SectionRange,
    /// Section of int32 values: biases, multipliers, softmax tables.
    pub parameters: SectionRange,
    /// Section of names and scales.
    pub metadata: SectionRange,
    /// Number of tensors.
    pub tensors: u16,
    /// Number of operators.
    pub ops: u16,
    /// Bytes of arena.
    pub arena_bytes: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// Reads fields from the front of the header; short input reads as zeros, which the caller has excluded.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn section(&mut self) -> SectionRange {
        SectionRange {
            offset: self.u32(),
            length: self.u32(),
        }
    }
}

impl Header {
    /// Reads the fields without checking them beyond the magic.
    ///
    /// # Errors
    /// [`LoadError::TooShort`] below 64 bytes, [`LoadError::Magic`] if they are not a blob's.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        let Some(header) = bytes.get(..HEADER_BYTES as usize) else {
            // The magic first: the first bytes of some other file are not a short blob.
            if !bytes.starts_with(&MAGIC) && !MAGIC.starts_with(bytes) {
                return Err(LoadError::Magic);
            }
            return Err(LoadError::TooShort {
                expected: HEADER_BYTES,
                found: saturate(bytes.len()),
            });
        };
        let mut fields = Fields(header);
        if fields.take::<8>() != MAGIC {
            return Err(LoadError::Magic);
        }
        Ok(Header {
            version: fields.u16(),
            packing: fields.u8(),
            arithmetic: fields.u8(),
            length: fields.u32(),
            crc: fields.u32(),
            program: fields.section(),
            weights: fields.section(),
            parameters: fields.section(),
            metadata: fields.section(),
            tensors: fields.u16(),
            ops: fields.u16(),
            arena_bytes: fields.u32(),
            reserved: fields.u32(),
        })
    }

    /// Encodes the header.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        let fields = (MAGIC.into_iter())
            .chain(self.version.to_le_bytes())
            .chain([self.packing, self.arithmetic])
            .chain(self.length.to_le_bytes())
            .chain(self.crc.to_le_bytes())
            .chain(self.sections().into_iter().flat_map(|(_, s)| {
                let [a, b, c, d] = s.offset.to_le_bytes();
                let [e, f, g, h] = s.length.to_le_bytes();
                [a, b, c, d, e, f, g, h]
            }))
            .chain(self.tensors.to_le_bytes())
            .chain(self.ops.to_le_bytes())
            .chain(self.arena_bytes.to_le_bytes())
            .chain(self.reserved.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Kernel family of a checked header.
    pub(crate) fn packing(&self) -> Family {
        Family::from_code(self.packing).unwrap_or_default()
    }

    /// The sections in their order in the blob.
    #[must_use]
    pub fn sections(&self) -> [(Section, SectionRange); 4] {
        [
            (Section::Program, self.program),
            (Section::Weights, self.weights),
            (Section::Parameters, self.parameters),
            (Section::Metadata, self.metadata),
        ]
    }

    /// Parses the header and checks it, the checksum and the section table; returns the blob without the bytes after it.
    ///
    /// # Errors
    /// The first condition of `docs/model-format.md` that does not hold.
    pub fn check(bytes: &[u8]) -> Result<(Self, &[u8]), LoadError> {
        Self::check_for(Family::of_this_build(), bytes)
    }

    /// As [`check`](Self::check), in a build of one family, or of all (`None`).
    #[inline]
    pub(crate) fn check_for(
        build: Option<Family>,
        bytes: &[u8],
    ) -> Result<(Self, &[u8]), LoadError> {
        let header = Self::parse(bytes)?;
        if header.version != VERSION {
            return Err(LoadError::Version {
                expected: VERSION,
                found: header.version,
            });
        }
        match Family::from_code(header.packing) {
            Some(packing) if packing.is_available_in(build) => {}
            Some(packing) => {
                return Err(LoadError::OtherFamily {
                    packing: packing.name(),
                });
            }
            None => {
                return Err(LoadError::Packing {
                    found: header.packing,
                });
            }
        }
        if header.arithmetic != 0 {
            return Err(LoadError::Arithmetic {
                found: header.arithmetic,
            });
        }
        let blob = match bytes.get(..header.length as usize) {
            Some(blob) if blob.len() >= HEADER_BYTES as usize => blob,
            Some(_) => {
                return Err(LoadError::TooShort {
                    expected: HEADER_BYTES,
                    found: header.length,
                });
            }
            None => {
                return Err(LoadError::TooShort {
                    expected: header.length,
                    found: saturate(bytes.len()),
                });
            }
        };
        let crc = checksum(blob);
        if crc != header.crc && !cfg!(fuzzing) {
            return Err(LoadError::Checksum {
                expected: header.crc,
                found: crc,
            });
        }
        if header.reserved != 0 {
            return Err(LoadError::Reserved {
                found: header.reserved,
            });
        }
        header.check_sections(blob)?;
        Ok((header, blob))
    }

    /// Checks that each section starts at the end of the one before, rounded up, with zeros between, and that the last ends the blob.
    fn check_sections(&self, blob: &[u8]) -> Result<(), LoadError> {
        let mut expected = HEADER_BYTES;
        for (section, range) in self.sections() {
            if range.offset != expected {
                return Err(LoadError::SectionOffset {
                    section,
                    expected,
                    found: range.offset,
                });
            }
            let wrong = LoadError::SectionLength {
                section,
                found: range.length,
            };
            let end = range.offset.checked_add(range.length).ok_or(wrong)?;
            expected = end.checked_next_multiple_of(ALIGNMENT).ok_or(wrong)?;
            if section == Section::Parameters && range.length % 4 != 0 {
                return Err(wrong);
            }
            let padding = blob.get(end as usize..expected as usize).ok_or(wrong)?;
            if padding.iter().any(|&byte| byte != 0) {
                return Err(LoadError::Padding { section });
            }
            if section == Section::Metadata && expected != self.length {
                return Err(wrong);
            }
        }
        Ok(())
    }
}

/// Checksum that the header of `blob` must have: the CRC-32 of everything after it, exclusive or the packing in each of its bytes, as that
/// one field before it may hold several valid values.
#[must_use]
pub fn checksum(blob: &[u8]) -> u32 {
    let packing = blob.get(PACKING_AT).copied().unwrap_or(0);
    CRC.checksum(blob.get(CRC_START..).unwrap_or_default()) ^ u32::from_le_bytes([packing; 4])
}

/// Length for an error message; larger ones saturate.
pub(crate) fn saturate(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Facts about a blob that a build script needs to reserve memory.
///
/// ```
/// # #[cfg(feature = "std")] {
/// # use fewbit_runtime::{BlobWriter, Metadata, ProgramParts};
/// use fewbit_runtime::Summary;
///
/// # let blob = BlobWriter::new().finish(&ProgramParts::default(), &Metadata::default())?;
/// // In build.rs: `let blob = std::fs::read("model.fewbit")?;`
/// let summary = Summary::from_bytes(&blob)?;
/// let source = format!(
///     "const ARENA: usize = {}; const TENSORS: usize = {}; const OPS: usize = {};",
///     summary.arena_bytes, summary.tensors, summary.ops,
/// );
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Summary {
    /// Number of tensors: `Model`'s `TENSORS` must be at least this.
    pub tensors: u16,
    /// Number of operators: `Model`'s `OPS` must be at least this.
    pub ops: u16,
    /// Bytes of arena.
    pub arena_bytes: u32,
    /// Bytes of the whole blob.
    pub length: u32,
    /// Bytes of weights, tables and constants.
    pub weights_bytes: u32,
    /// Bytes of biases, multipliers and softmax tables.
    pub parameters_bytes: u32,
    /// Bytes of program.
    pub program_bytes: u32,
    /// Bytes of metadata.
    pub metadata_bytes: u32,
    /// Checksum of the blob, which identifies its contents.
    pub crc: u32,
    /// Kernel family that the blob is packed for.
    pub packing: Family,
}

impl Summary {
    /// Reads the header and checks it, the checksum and the section table, not the program. Needs no alignment.
    ///
    /// # Errors
    /// As [`Model::from_bytes`](crate::Model::from_bytes), as far as the header goes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        let (header, _) = Header::check(bytes)?;
        Ok(Summary {
            tensors: header.tensors,
            ops: header.ops,
            arena_bytes: header.arena_bytes,
            length: header.length,
            weights_bytes: header.weights.length,
            parameters_bytes: header.parameters.length,
            program_bytes: header.program.length,
            metadata_bytes: header.metadata.length,
            crc: header.crc,
            packing: header.packing(),
        })
    }
}
