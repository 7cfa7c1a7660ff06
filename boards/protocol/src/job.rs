//! Job files: instructions for a run as a header, then all inputs.
//!
//! For firmware that reads files of the host, as in the emulator; over a line, messages take their place. The header has nine
//! little-endian 32-bit words:
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

use core::ffi::CStr;

/// The bytes `FBJB`, read as a little-endian word.
pub const MAGIC: u32 = u32::from_le_bytes(*b"FBJB");

/// Version of the header's layout.
pub const VERSION: u32 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 36;

/// Name of the job's file, relative to the working directory of the emulator.
pub const JOB_FILE: &CStr = c"job.bin";

/// Contents of a run's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mode {
    /// Outputs and cost of every inference.
    Outputs,
    /// Outputs, and for every operator its cost and the CRC-32 of its output.
    Operators,
    /// Every byte of one operator's output; the operators after it do not run.
    Bytes {
        /// Index of the operator in the model's order.
        op: u32,
    },
}

/// Run described by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Job {
    /// Contents of the report.
    pub mode: Mode,
    /// Number of inputs that follow the header.
    pub inputs: u32,
    /// Bytes of one input.
    pub input_bytes: u32,
    /// Rounds of the loop that checks the counter; 0 skips it.
    pub spin_rounds: u32,
}

/// Reason why a job was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JobError {
    /// The file does not start with [`MAGIC`].
    BadMagic {
        /// The first word of the file.
        found: u32,
    },
    /// The header is of another version: firmware and host are of different revisions.
    UnsupportedVersion {
        /// Version that this firmware reads.
        expected: u32,
        /// Version in the header.
        found: u32,
    },
    /// The mode is unknown.
    UnknownMode {
        /// Mode in the header.
        found: u32,
    },
}

impl Job {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`JobError`] names the first field with a wrong value. The figures are not compared with a model
    /// here.
    pub fn parse(header: &[u8; HEADER_BYTES]) -> Result<Self, JobError> {
        let word = |index: usize| {
            let bytes = header.get(4 * index..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
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
            2 => Mode::Bytes { op: word(3) },
            found => return Err(JobError::UnknownMode { found }),
        };
        Ok(Self {
            mode,
            inputs: word(4),
            input_bytes: word(5),
            spin_rounds: word(6),
        })
    }

    /// Writes the header.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let (mode, op) = match self.mode {
            Mode::Outputs => (0, 0),
            Mode::Operators => (1, 0),
            Mode::Bytes { op } => (2, op),
        };
        let mut header = [0; HEADER_BYTES];
        let words = [
            MAGIC,
            VERSION,
            mode,
            op,
            self.inputs,
            self.input_bytes,
            self.spin_rounds,
        ];
        for (place, word) in header.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one operator of two inputs.
    const JOB: Job = Job {
        mode: Mode::Bytes { op: 7 },
        inputs: 2,
        input_bytes: 0x0302_0100,
        spin_rounds: 5,
    };

    #[test]
    fn a_header_is_these_bytes() {
        let bytes = [
            *b"FBJB",
            [1, 0, 0, 0],
            [2, 0, 0, 0],
            [7, 0, 0, 0],
            [2, 0, 0, 0],
            [0, 1, 2, 3],
            [5, 0, 0, 0],
            [0; 4],
            [0; 4],
        ];
        assert_eq!(JOB.header().as_slice(), bytes.as_flattened());
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for mode in [Mode::Outputs, Mode::Operators, Mode::Bytes { op: 7 }] {
            let job = Job { mode, ..JOB };
            assert_eq!(Job::parse(&job.header()), Ok(job));
        }
    }

    #[test]
    fn the_first_field_that_is_wrong_is_named() {
        let with = |at: usize, byte: u8| {
            let mut header = JOB.header();
            header[at] = byte;
            Job::parse(&header)
        };
        let found = u32::from_le_bytes(*b"GBJB");
        assert_eq!(with(0, b'G'), Err(JobError::BadMagic { found }));
        let (expected, found) = (1, 2);
        assert_eq!(
            with(4, 2),
            Err(JobError::UnsupportedVersion { expected, found })
        );
        assert_eq!(with(8, 3), Err(JobError::UnknownMode { found: 3 }));
    }
}
