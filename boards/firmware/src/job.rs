//! What the host asks a run to do: a header, then all inputs.
//!
//! The header is nine little-endian 32-bit words:
//!
//! | word | name         | meaning                                                              |
//! |------|--------------|----------------------------------------------------------------------|
//! | 0    | magic        | [`MAGIC`]                                                            |
//! | 1    | version      | [`VERSION`]                                                          |
//! | 2    | mode         | 0 outputs, 1 operators, 2 bytes of one operator                      |
//! | 3    | op           | the operator of mode 2, else 0                                       |
//! | 4    | inputs       | number of inputs that follow                                         |
//! | 5    | input_bytes  | bytes of each input, all inputs of the model together                |
//! | 6    | spin_rounds  | rounds of the loop that proves the counter, 0 for none               |
//! | 7, 8 | reserved     | 0                                                                    |
//!
//! xtask writes it (`device::job`), so a change here is a change there and a new [`VERSION`].

/// The bytes `FBJB`, read as a little-endian word.
pub const MAGIC: u32 = u32::from_le_bytes(*b"FBJB");

/// Version of the header's layout.
pub const VERSION: u32 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 36;

/// How much a run reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum Mode {
    /// The outputs and the cost of every inference.
    Outputs,
    /// The outputs, and for every operator its cost and the CRC-32 of its output.
    Operators,
    /// Every byte of one operator's output; the operators after it do not run.
    Bytes {
        /// Index of the operator in the model's order.
        op: usize,
    },
}

/// A run, as the host described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct Job {
    /// How much is reported.
    pub mode: Mode,
    /// Number of inputs that follow the header.
    pub inputs: u32,
    /// Bytes of one input.
    pub input_bytes: u32,
    /// Rounds for [`crate::counter::spin`]; 0 skips it.
    pub spin_rounds: u32,
}

/// Why a job was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
#[non_exhaustive]
pub enum JobError {
    /// The file does not start with [`MAGIC`].
    BadMagic {
        /// The first word of the file.
        found: u32,
    },
    /// The header is of another version: firmware and xtask are of different revisions.
    UnsupportedVersion {
        /// What this firmware reads.
        expected: u32,
        /// What the header says.
        found: u32,
    },
    /// The mode is none of the known ones.
    UnknownMode {
        /// What the header says.
        found: u32,
    },
}

impl Job {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`JobError`] names the first field that does not hold what it must. The figures are not checked against the
    /// model here.
    pub fn parse(header: &[u8; HEADER_BYTES]) -> Result<Self, JobError> {
        let (words, _) = header.as_chunks::<4>();
        let word = |index: usize| {
            words
                .get(index)
                .map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        if word(0) != MAGIC {
            return Err(JobError::BadMagic { found: word(0) });
        }
        if word(1) != VERSION {
            return Err(JobError::UnsupportedVersion {
                expected: VERSION,
                found: word(1),
            });
        }
        let mode = match word(2) {
            0 => Mode::Outputs,
            1 => Mode::Operators,
            2 => Mode::Bytes {
                op: word(3) as usize,
            },
            found => return Err(JobError::UnknownMode { found }),
        };
        Ok(Self {
            mode,
            inputs: word(4),
            input_bytes: word(5),
            spin_rounds: word(6),
        })
    }
}
