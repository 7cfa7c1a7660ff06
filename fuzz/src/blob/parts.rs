//! A blob taken apart and put together, with every length and checksum right.

use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::header::{Header, SectionRange, checksum};
use fewbit_runtime::format::program::Op;
use fewbit_runtime::format::write::arena_bytes;
use fewbit_runtime::{Metadata, ProgramParts};
use fewbit_tests::layer::Layer;

/// Offset of the checksum in the header.
const CRC_AT: usize = 16;

/// A blob's parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Version, arithmetic and the reserved field are taken from it; sections and counts are not.
    pub header: Header,
    /// The header's packing, also one that no reader knows.
    pub packing: u8,
    /// Tensors and operators.
    pub program: ProgramParts,
    /// The weights section.
    pub weights: Vec<i8>,
    /// The parameters section.
    pub params: Vec<i32>,
    /// The metadata section as it is.
    pub metadata: Vec<u8>,
}

impl Parts {
    /// Takes a blob apart; `None` if its program cannot be decoded.
    #[must_use]
    pub fn decode(blob: &[u8]) -> Option<Self> {
        let header = Header::parse(blob).ok()?;
        let section = |range: SectionRange| {
            let start = range.offset as usize;
            blob.get(start..start.checked_add(range.length as usize)?)
        };
        let program = section(header.program)?;
        let (mut program, _) = postcard::take_from_bytes::<ProgramParts>(program).ok()?;
        program.packing = Family::from_code(header.packing).unwrap_or_default();
        let words = section(header.parameters)?.chunks_exact(4);
        Some(Parts {
            packing: header.packing,
            program,
            weights: section(header.weights)?
                .iter()
                .map(|&byte| byte as i8)
                .collect(),
            params: words
                .map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                .collect(),
            metadata: section(header.metadata)?.to_vec(),
            header,
        })
    }

    /// The parts of a layer, with metadata that name nothing.
    ///
    /// # Panics
    /// Never: such metadata can be encoded.
    #[must_use]
    pub fn of_layer(layer: &Layer) -> Self {
        Parts {
            header: Header {
                version: fewbit_runtime::format::VERSION,
                ..Header::default()
            },
            packing: layer.program.packing as u8,
            program: layer.program.clone(),
            weights: layer.weights.clone(),
            params: layer.params.clone(),
            metadata: postcard::to_stdvec(&Metadata::default()).expect("plain data"),
        }
    }

    /// Sets the packing.
    #[must_use]
    pub fn with_packing(mut self, packing: Family) -> Self {
        self.packing = packing as u8;
        self.program.packing = packing;
        self
    }

    /// The blob.
    ///
    /// # Panics
    /// If a section has 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let program = postcard::to_stdvec(&self.program).expect("plain data");
        let weights: Vec<u8> = self.weights.iter().map(|&weight| weight as u8).collect();
        let params: Vec<u8> = self.params.iter().flat_map(|v| v.to_le_bytes()).collect();
        let count = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        let mut header = Header {
            packing: self.packing,
            tensors: count(self.program.tensors.len()),
            ops: count(self.program.ops.len()),
            arena_bytes: self.program.arena_bytes,
            ..self.header
        };
        let mut blob = header.emit().to_vec();
        let mut append = |bytes: &[u8]| {
            let offset = u32::try_from(blob.len()).expect("a small blob");
            blob.extend(bytes);
            blob.resize(blob.len().next_multiple_of(16), 0);
            SectionRange {
                offset,
                length: u32::try_from(bytes.len()).expect("a small section"),
            }
        };
        header.program = append(&program);
        header.weights = append(&weights);
        header.parameters = append(&params);
        header.metadata = append(&self.metadata);
        header.length = u32::try_from(blob.len()).expect("a small blob");
        blob[..64].copy_from_slice(&header.emit());
        seal(&mut blob);
        blob
    }

    /// Sets the program's arena to what its tensors and scratch areas take.
    pub fn fit_arena(&mut self) {
        self.program.arena_bytes = arena_bytes(&self.program.tensors, &self.program.ops);
    }

    /// Puts every tensor and every scratch area at a place of its own, but for outputs of reshapes, which are where their inputs are. `None` if the arena
    /// would be larger than `limit`.
    #[must_use]
    pub fn disjoint(mut self, limit: u64) -> Option<Self> {
        let program = &mut self.program;
        let mut end = 0_u64;
        for tensor in &mut program.tensors {
            // Odd places too.
            end += 1;
            tensor.offset = u32::try_from(end).ok()?;
            end += tensor.bytes();
        }
        for op in &mut program.ops {
            if let Some(scratch) = op.scratch_mut() {
                // Even of length 0 it has to lie in the arena.
                scratch.offset = 0;
                if scratch.bytes > 0 {
                    end = end.next_multiple_of(4);
                    scratch.offset = u32::try_from(end).ok()?;
                    end += u64::from(scratch.bytes);
                }
            }
            if let Op::Reshape(reshape) = op {
                let input = program.tensors.get(usize::from(reshape.input))?.offset;
                program.tensors.get_mut(usize::from(reshape.output))?.offset = input;
            }
        }
        if end > limit {
            return None;
        }
        self.fit_arena();
        Some(self)
    }
}

/// Writes the checksum that the bytes should have.
pub fn seal(blob: &mut [u8]) {
    let crc = checksum(blob).to_le_bytes();
    if let Some(place) = blob.get_mut(CRC_AT..CRC_AT + 4) {
        place.copy_from_slice(&crc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_is_taken_apart_becomes_the_same_again() {
        let corpus = super::super::corpus::corpus();
        assert!(corpus.len() > 100);
        for blob in corpus {
            let parts = Parts::decode(&blob).expect("a sound blob");
            assert!(parts.encode() == blob);
        }
    }

    #[test]
    fn a_sealed_blob_has_its_checksum() {
        let mut blob = super::super::corpus::corpus().swap_remove(0);
        blob[40] ^= 1;
        let before = Header::parse(&blob).expect("a header").crc;
        seal(&mut blob);
        let after = Header::parse(&blob).expect("a header").crc;
        assert_ne!(before, after);
        assert_eq!(after, checksum(&blob));
    }
}
