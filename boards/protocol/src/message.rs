//! What host and firmware say.
//!
//! Everything a firmware holds of a run belongs to a job, a number that the host draws for each input. A request for
//! another job than the firmware's is refused, so an answer can never be for another input, whatever was lost, repeated
//! or reset in between. Every request can be sent again: the answer is the same. Whatever comes of a model carries the
//! CRC-32 of its blob, so a result can never be another model's, which may run after a reset.

use serde::{Deserialize, Serialize};

/// Version of the messages; [`Hello`] carries it, and its own bytes are those of every version, so that hosts and firmware of
/// different revisions can tell.
pub const VERSION: u16 = 3;

/// Most bytes of data in one message: a frame stays below 254 bytes, where byte stuffing costs one byte.
pub const CHUNK_BYTES: usize = 192;

/// From the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Comes back in the response. New for every request, also for one that is sent again.
    pub sequence: u32,
    /// What to do.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// What the host asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Who is there; answered with [`Answer::Hello`].
    Hello,
    /// Bytes of the job's input, all inputs of the model one after the other. A new job's number drops the old job.
    /// Answered with [`Answer::Written`].
    Write {
        /// Number of the job.
        job: u32,
        /// Where the bytes start in the input.
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
    /// Run one operator, those before it having run; answered with [`Answer::Ran`], whose figures are the operator's.
    Step {
        /// Number of the job.
        job: u32,
        /// CRC-32 of the whole input.
        input_crc: u32,
        /// Index of the operator.
        op: u32,
    },
    /// Bytes of what ran last: of all outputs of the model after [`Command::Run`], of the operator's output after
    /// [`Command::Step`]. Answered with [`Answer::Bytes`].
    Read {
        /// Number of the job.
        job: u32,
        /// Where to start in the output.
        offset: u32,
    },
    /// Try the counter on a loop of `2 * rounds` instructions; answered with [`Answer::Cost`].
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
        /// Who may; firmware without a key takes none, and firmware with one nothing without.
        #[serde(borrow)]
        seal: Option<Seal<'a>>,
    },
    /// Bytes of the blob, in order; answered with [`Answer::Written`], also for bytes that are there already.
    Store {
        /// Where the bytes start in the blob.
        offset: u32,
        /// The bytes, at most [`CHUNK_BYTES`].
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// Run the stored blob from now on; answered with [`Answer::Written`] by the old model, or by the new one when asked again.
    Commit {
        /// CRC-32 of the whole blob.
        crc: u32,
    },
}

/// Signature of an update, and what it is over besides the product and the blob's length; the crate `fewbit-signed` says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal<'a> {
    /// Version of the update.
    pub version: u32,
    /// SHA-512 of the blob.
    #[serde(borrow)]
    pub digest: &'a [u8],
    /// The signature.
    #[serde(borrow)]
    pub signature: &'a [u8],
}

/// From the firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response<'a> {
    /// The request's.
    pub sequence: u32,
    /// The answer, or why there is none.
    #[serde(borrow)]
    pub answer: Result<Answer<'a>, Refusal>,
}

/// What the firmware answers.
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
        /// CRC-32 of the blob that made them.
        blob_crc: u32,
        /// Where the bytes start in the output.
        offset: u32,
        /// The bytes: as many as fit in a message, fewer at the end.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// To [`Command::Spin`].
    Cost(u64),
    /// To [`Command::Stack`].
    Stack {
        /// CRC-32 of the blob that runs.
        blob_crc: u32,
        /// Bytes of the deepest stack.
        bytes: u32,
    },
}

/// A firmware and the model that it holds.
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
    /// Operators of the model.
    pub ops: u32,
    /// Bytes of the arena that the model asks for.
    pub arena_bytes: u32,
    /// What costs are counted in.
    pub unit: Unit,
}

/// What a firmware's counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Instructions; an emulator's.
    Instructions,
    /// Cycles of the core's clock.
    Cycles {
        /// The clock's frequency.
        clock_hz: u32,
    },
    /// Microseconds.
    Microseconds,
}

impl Unit {
    /// A cost in microseconds. An emulator's instruction takes a nanosecond.
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

/// A run, or one step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// CRC-32 of the blob that ran.
    pub blob_crc: u32,
    /// What it cost, in [`Hello::unit`].
    pub cost: u64,
    /// Bytes that can be read.
    pub output_bytes: u32,
    /// CRC-32 of these bytes.
    pub output_crc: u32,
}

/// Why a request was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The job is not this firmware's: it was reset, or the job's first bytes never came.
    UnknownJob,
    /// The input is not what the checksum was made of: some of its bytes never came.
    InputDiffers,
    /// Nothing can be read: the job has not run yet.
    NotRun,
    /// The operators before this one have not run, or later ones have.
    OutOfOrder,
    /// An offset or an index is past the end.
    OutOfRange,
    /// The firmware has no slots for models.
    NoSlots,
    /// The firmware has no room for such a blob, or not the kernels, or cannot read its version; its log says which.
    NotAModel,
    /// The flash failed.
    FlashFailed,
    /// The firmware takes signed updates only.
    NotSigned,
    /// The signature is not that of this update for this product by the firmware's key.
    BadSignature,
    /// The update's version is not higher than the newest that the slots have held.
    OldVersion,
    /// A run takes more operations than the firmware allows.
    TooSlow,
    /// The firmware has no key, and would take this update from anyone.
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
