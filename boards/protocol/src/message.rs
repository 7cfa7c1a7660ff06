//! Requests of the host and responses of the firmware.
//!
//! All state of a run belongs to a job, a number that the host chooses for each input. A request for
//! another job than the firmware's is refused, so an answer can never be for another input, even if messages were lost or repeated,
//! or the board was reset in between. Every request can be repeated: the answer is the same. Every answer about a model carries the
//! CRC-32 of its blob, so a result can never be of another model, which may be in use after a reset.

use serde::{Deserialize, Serialize};

/// Version of the messages. [`Hello`] carries it, and has the same bytes in every version, so that hosts and firmware of
/// different revisions can detect the difference.
pub const VERSION: u16 = 3;

/// Largest number of data bytes in one message: a frame stays below 254 bytes, where byte stuffing costs one byte.
pub const CHUNK_BYTES: usize = 192;

/// Message from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Number that the response repeats. New for every request, also for a repeated one.
    pub sequence: u32,
    /// Command to execute.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// Command of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Describe board and model; answered with [`Answer::Hello`].
    Hello,
    /// Bytes of the job's input, all inputs of the model one after the other. A new job's number drops the old job.
    /// Answered with [`Answer::Written`].
    Write {
        /// Number of the job.
        job: u32,
        /// Offset of the bytes in the input.
        offset: u32,
        /// The bytes, at most [`CHUNK_BYTES`].
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// Run the whole model; answered with [`Answer::Ran`].
    Run {
        /// Number of the job.
        job: u32,
        /// CRC-32 of the whole input.
        input_crc: u32,
    },
    /// Run one operator, after those before it; answered with [`Answer::Ran`], whose figures are the operator's.
    Step {
        /// Number of the job.
        job: u32,
        /// CRC-32 of the whole input.
        input_crc: u32,
        /// Index of the operator.
        op: u32,
    },
    /// Bytes of the last run: of all outputs of the model after [`Command::Run`], of the operator's output after
    /// [`Command::Step`]. Answered with [`Answer::Bytes`].
    Read {
        /// Number of the job.
        job: u32,
        /// Offset in the output.
        offset: u32,
    },
    /// Check the counter by a loop of `2 * rounds` instructions; answered with [`Answer::Cost`].
    Spin {
        /// Rounds of the loop, at least 1.
        rounds: u32,
    },
    /// The deepest stack since reset; answered with [`Answer::Stack`].
    Stack,
    /// Erase the slot that is not in use, for a blob; answered with [`Answer::Written`].
    Begin {
        /// Bytes of the blob.
        length: u32,
        /// Signature of the update; firmware without a key refuses any, and firmware with a key requires one.
        #[serde(borrow)]
        seal: Option<Seal<'a>>,
    },
    /// Bytes of the blob, in order; answered with [`Answer::Written`], also for bytes that are stored already.
    Store {
        /// Offset of the bytes in the blob.
        offset: u32,
        /// The bytes, at most [`CHUNK_BYTES`].
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// Use the stored blob from now on; answered with [`Answer::Written`] by the old model, or by the new one if repeated.
    Commit {
        /// CRC-32 of the whole blob.
        crc: u32,
    },
}

/// Signature of an update, with the signed data except the product and the blob's length; see the crate `fewbit-signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal<'a> {
    /// Version of the update.
    pub version: u32,
    /// SHA-512 of the blob.
    #[serde(borrow)]
    pub digest: &'a [u8],
    /// The signature, Ed25519.
    #[serde(borrow)]
    pub signature: &'a [u8],
}

/// Message from the firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response<'a> {
    /// Number of the request.
    pub sequence: u32,
    /// The answer, or the reason of the refusal.
    #[serde(borrow)]
    pub answer: Result<Answer<'a>, Refusal>,
}

/// Answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// To [`Command::Hello`].
    #[serde(borrow)]
    Hello(Hello<'a>),
    /// To [`Command::Write`] and the commands that store a model.
    Written,
    /// To [`Command::Run`] and [`Command::Step`].
    Ran(Ran),
    /// To [`Command::Read`].
    Bytes {
        /// CRC-32 of the blob whose output they are.
        blob_crc: u32,
        /// Offset of the bytes in the output.
        offset: u32,
        /// The bytes: as many as fit in a message, fewer at the end.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// To [`Command::Spin`].
    Cost(u64),
    /// To [`Command::Stack`].
    Stack {
        /// CRC-32 of the blob in use.
        blob_crc: u32,
        /// Bytes of the deepest stack.
        bytes: u32,
    },
}

/// Firmware and its model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// [`VERSION`] of the firmware.
    pub version: u16,
    /// Name of the board.
    pub board: &'a str,
    /// CRC-32 of the blob file.
    pub blob_crc: u32,
    /// Bytes of the blob file.
    pub blob_bytes: u32,
    /// Bytes of all inputs of the model together.
    pub input_bytes: u32,
    /// Bytes of all outputs of the model together.
    pub output_bytes: u32,
    /// Number of operators of the model.
    pub ops: u32,
    /// Bytes of the arena that the model needs.
    pub arena_bytes: u32,
    /// Unit of costs.
    pub unit: Unit,
}

/// Unit of a firmware's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Instructions, in an emulator.
    Instructions,
    /// Cycles of the core's clock.
    Cycles {
        /// Frequency of the clock.
        clock_hz: u32,
    },
    /// Microseconds.
    Microseconds,
}

impl Unit {
    /// Converts a cost to microseconds. An emulator's instruction counts as a nanosecond.
    #[must_use]
    pub fn microseconds(self, cost: u64) -> u64 {
        match self {
            Unit::Instructions => cost / 1000,
            Unit::Cycles { clock_hz } => {
                // A product of 64 bits would end after 36 hours at 140 MHz.
                let microseconds = u128::from(cost) * 1_000_000 / u128::from(clock_hz.max(1));
                u64::try_from(microseconds).unwrap_or(u64::MAX)
            }
            Unit::Microseconds => cost,
        }
    }
}

/// Result of a run, or of one step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// CRC-32 of the blob that ran.
    pub blob_crc: u32,
    /// Cost, in [`Hello::unit`].
    pub cost: u64,
    /// Number of bytes that can be read.
    pub output_bytes: u32,
    /// CRC-32 of these bytes.
    pub output_crc: u32,
}

/// Reason why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The job is not this firmware's: it was reset, or the job's first bytes were lost.
    UnknownJob,
    /// The input does not have this checksum: some of its bytes were lost.
    InputDiffers,
    /// Nothing can be read: the job has not run yet.
    NotRun,
    /// The operators before this one have not run, or later ones have.
    OutOfOrder,
    /// An offset or an index is past the end.
    OutOfRange,
    /// The firmware has no slots for models.
    NoSlots,
    /// The firmware has no room or kernels for such a blob, or cannot read its version; its log gives the reason.
    NotAModel,
    /// The flash failed.
    FlashFailed,
    /// The firmware accepts signed updates only.
    NotSigned,
    /// The signature is not valid for this update, this product and the firmware's key.
    BadSignature,
    /// The update's version is not higher than the newest that the slots have held.
    OldVersion,
    /// A run takes more operations than the firmware allows.
    TooSlow,
    /// The firmware has no key, so it cannot check the signature.
    NoKey,
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn costs_become_microseconds() {
        assert_eq!(Unit::Instructions.microseconds(3_238_999), 3238);
        let cycles = Unit::Cycles {
            clock_hz: 64_000_000,
        };
        assert_eq!(cycles.microseconds(64), 1);
        assert_eq!(cycles.microseconds(u64::MAX), u64::MAX / 64);
        assert_eq!(Unit::Cycles { clock_hz: 0 }.microseconds(2), 2_000_000);
        assert_eq!(Unit::Microseconds.microseconds(7), 7);
    }
}
