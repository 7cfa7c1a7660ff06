//! The host's side of the framed serial protocol (`docs/serial-protocol.md`).
//!
//! A request is repeated until its answer comes; an input is sent again from the start if the firmware has lost it. A returned
//! result belongs to its own request number, has the checksums that the firmware computed of the whole input and the
//! whole output, and is of the model that was in use when the client connected: a reset may have brought another one into use.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use fewbit_protocol::{
    CRC32,
    frame::{FRAME_BYTES, Receiver, encode},
    message::{Answer, CHUNK_BYTES, Command, Ran, Refusal, Request, Response, Seal, Unit, VERSION},
};

use super::line::Line;

/// Error of a request to firmware.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection is lost.
    #[error("the line to the firmware: {0}")]
    Line(#[from] io::Error),
    /// No valid answer came.
    #[error(
        "the firmware does not answer: {requests} requests in {seconds} s; is it flashed, is this its port, and does it hold the serial application?"
    )]
    Silent {
        /// Number of times that the request was sent.
        requests: u32,
        /// Time that the client waited.
        seconds: u64,
    },
    /// The firmware refused the request.
    #[error("the firmware refuses: {0:?}")]
    Refused(Refusal),
    /// The answer does not belong to the request.
    #[error(
        "the firmware's answer does not belong to the request; firmware and host are of different revisions"
    )]
    OtherAnswer,
    /// The firmware has another version of the protocol.
    #[error(
        "the firmware has version {found} of the protocol, the host has version {expected}; \
         flash the firmware again with this command, or use the command that the firmware was built with"
    )]
    Version {
        /// Version of the host.
        expected: u16,
        /// Version of the firmware.
        found: u16,
    },
    /// Another model is in use than when the client connected.
    #[error(
        "the firmware runs another model: its blob has CRC-32 {found:08x}, the previous one had {expected:08x}; \
         it was reset and fell back, or someone else has stored a model. No result of it was used; \
         connect again to use it, or store the model again"
    )]
    OtherModel {
        /// CRC-32 of the model's blob when the client connected.
        expected: u32,
        /// CRC-32 of the blob of the model that answers.
        found: u32,
    },
    /// Inputs were lost repeatedly.
    #[error(
        "an input could not be run in {0} attempts; the line loses too much, or the firmware resets while it runs"
    )]
    TooManyRestarts(u32),
    /// The input does not have the model's size.
    #[error("the input has {found} bytes, the model of the firmware takes {expected}")]
    InputBytes {
        /// Size of the model's input, in bytes.
        expected: usize,
        /// Size of the given input, in bytes.
        found: usize,
    },
}

/// Time limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Wait for an answer before the request is repeated; it doubles each time, up to [`Self::longest`].
    pub first: Duration,
    /// Longest such wait.
    pub longest: Duration,
    /// Time limit of one request with all its repetitions.
    pub request: Duration,
    /// The same for requests that take work; longer than the longest inference.
    pub work: Duration,
    /// Number of times that an input is sent again from the start.
    pub restarts: u32,
}

impl Default for Patience {
    /// A quarter of a second for an answer, half a minute for a request, two minutes for one that takes work.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            longest: Duration::from_secs(2),
            request: Duration::from_secs(30),
            work: Duration::from_secs(120),
            restarts: 20,
        }
    }
}

/// Firmware's description of itself; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the board.
    pub board: String,
    /// CRC-32 of its blob file.
    pub blob_crc: u32,
    /// Size of its blob file.
    pub blob_bytes: u32,
    /// Size of an input.
    pub input_bytes: usize,
    /// Size of an output.
    pub output_bytes: usize,
    /// Number of operators of the model.
    pub ops: u32,
    /// Size of the arena that the model needs.
    pub arena_bytes: u32,
    /// Unit of costs.
    pub unit: Unit,
}

/// Result of an input, or of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inference {
    /// All output bytes.
    pub output: Vec<i8>,
    /// Cost, in [`Identity::unit`].
    pub cost: u64,
}

/// Host side of a connection to firmware.
pub struct Client {
    link: Link,
    identity: Identity,
}

impl Client {
    /// Connects to the firmware at the other end of `line`.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; `Silent` if there is no such firmware.
    pub fn connect(line: Box<dyn Line>, patience: Patience) -> Result<Self, LinkError> {
        let mut link = Link {
            line,
            receiver: Receiver::new(),
            pending: VecDeque::new(),
            patience,
            numbers: Numbers::from_system(),
            resent: 0,
        };
        let identity = link.identity()?;
        Ok(Self { link, identity })
    }

    /// Description of the firmware.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Number of requests that had to be repeated so far.
    pub fn resent(&self) -> u64 {
        self.link.resent
    }

    /// Runs the model over an input.
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub fn infer(&mut self, input: &[i8]) -> Result<Inference, LinkError> {
        self.of_model(|client| {
            let (job, input_crc) = client.start(input)?;
            let ran = client.ran(&Command::Run { job, input_crc })?;
            client.output(job, ran)
        })
    }

    /// Runs the model over an input one operator after the other, and returns cost and checksum of each.
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub fn operators(&mut self, input: &[i8]) -> Result<Vec<Ran>, LinkError> {
        let ops = self.identity.ops;
        self.of_model(|client| {
            let (job, input_crc) = client.start(input)?;
            (0..ops)
                .map(|op| client.ran(&Command::Step { job, input_crc, op }))
                .collect()
        })
    }

    /// Runs the model up to an operator and returns the operator's output.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; `Refused` if the model has no such operator.
    pub fn operator_output(&mut self, input: &[i8], op: u32) -> Result<Inference, LinkError> {
        if op >= self.identity.ops {
            return Err(LinkError::Refused(Refusal::OutOfRange));
        }
        self.of_model(|client| {
            let (job, input_crc) = client.start(input)?;
            for before in 0..op {
                client.ran(&Command::Step {
                    job,
                    input_crc,
                    op: before,
                })?;
            }
            let ran = client.ran(&Command::Step { job, input_crc, op })?;
            client.output(job, ran)
        })
    }

    /// Cost of a loop of `2 * rounds` instructions, in [`Identity::unit`].
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub fn spin(&mut self, rounds: u32) -> Result<u64, LinkError> {
        self.link
            .ask(&Command::Spin { rounds }, |answer| match answer {
                Answer::Cost(cost) => Some(*cost),
                _ => None,
            })
    }

    /// Bytes of the deepest stack since the firmware's reset.
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub fn stack_bytes(&mut self) -> Result<u32, LinkError> {
        let (blob_crc, bytes) = self.link.ask(&Command::Stack, |answer| match *answer {
            Answer::Stack { blob_crc, bytes } => Some((blob_crc, bytes)),
            _ => None,
        })?;
        self.check_model(blob_crc)?;
        Ok(bytes)
    }

    /// Stores a model in the firmware's slots; it is in use from then on. `advance` gets the number of bytes sent so far.
    ///
    /// # Errors
    ///
    /// [`LinkError`]; `Refused` if the firmware has no slots, or no room or kernels for the model.
    pub fn store(&mut self, blob: &[u8], advance: impl FnMut(usize)) -> Result<(), LinkError> {
        self.store_sealed(blob, None, advance)
    }

    /// As [`Self::store`], with a signature for firmware that requires one.
    ///
    /// # Errors
    ///
    /// As [`Self::store`]; `Refused` too if the signature is not valid, the version is old, or there is no key to check it with.
    pub fn store_sealed(
        &mut self,
        blob: &[u8],
        seal: Option<Seal<'_>>,
        mut advance: impl FnMut(usize),
    ) -> Result<(), LinkError> {
        self.with_restarts(|client| {
            let written = |answer: &Answer<'_>| matches!(answer, Answer::Written).then_some(());
            let mut offset = 0;
            client.link.ask(
                &Command::Begin {
                    length: length(blob),
                    seal,
                },
                written,
            )?;
            for bytes in blob.chunks(CHUNK_BYTES) {
                client
                    .link
                    .ask(&Command::Store { offset, bytes }, written)?;
                offset += length(bytes);
                advance(offset as usize);
            }
            let crc = CRC32.checksum(blob);
            client.link.ask(&Command::Commit { crc }, written)
        })?;
        self.refresh()?;
        self.check_stored(CRC32.checksum(blob))
    }

    /// Reads the firmware's description again; results are of its model from then on.
    ///
    /// # Errors
    ///
    /// [`LinkError`].
    pub fn refresh(&mut self) -> Result<&Identity, LinkError> {
        self.identity = self.link.identity()?;
        Ok(&self.identity)
    }

    /// Whether the model in use is the one that was just stored.
    fn check_stored(&self, stored: u32) -> Result<(), LinkError> {
        let found = self.identity.blob_crc;
        if found == stored {
            Ok(())
        } else {
            Err(LinkError::OtherModel {
                expected: stored,
                found,
            })
        }
    }

    /// Refuses answers of another model than the one that the client connected with.
    fn check_model(&self, found: u32) -> Result<(), LinkError> {
        let expected = self.identity.blob_crc;
        if found == expected {
            Ok(())
        } else {
            Err(LinkError::OtherModel { expected, found })
        }
    }

    /// Error for a model that cannot be run: another one with other sizes, if that is the reason.
    fn explained(&mut self, error: LinkError) -> LinkError {
        match self.link.identity() {
            Ok(now) => self.check_model(now.blob_crc).err().unwrap_or(error),
            Err(_) => error,
        }
    }

    /// Repeats `run` as long as the firmware has lost its input.
    fn with_restarts<R>(
        &mut self,
        mut run: impl FnMut(&mut Self) -> Result<R, LinkError>,
    ) -> Result<R, LinkError> {
        for _ in 0..=self.link.patience.restarts {
            match run(self) {
                Err(LinkError::Refused(
                    Refusal::UnknownJob
                    | Refusal::InputDiffers
                    | Refusal::NotRun
                    | Refusal::OutOfOrder,
                )) => {}
                other => return other,
            }
        }
        Err(LinkError::TooManyRestarts(self.link.patience.restarts + 1))
    }

    /// As [`Self::with_restarts`], for requests about the model.
    fn of_model<R>(
        &mut self,
        run: impl FnMut(&mut Self) -> Result<R, LinkError>,
    ) -> Result<R, LinkError> {
        self.with_restarts(run).map_err(|error| match error {
            // What another model of other sizes leads to.
            LinkError::Refused(Refusal::OutOfRange) | LinkError::TooManyRestarts(_) => {
                self.explained(error)
            }
            other => other,
        })
    }

    /// Sends an input under a new number, and returns the number and the checksum.
    fn start(&mut self, input: &[i8]) -> Result<(u32, u32), LinkError> {
        if input.len() != self.identity.input_bytes {
            return Err(LinkError::InputBytes {
                expected: self.identity.input_bytes,
                found: input.len(),
            });
        }
        let input: Vec<u8> = input.iter().map(|value| value.cast_unsigned()).collect();
        let job = self.link.numbers.next();
        let mut offset = 0;
        for bytes in input.chunks(CHUNK_BYTES) {
            let command = Command::Write { job, offset, bytes };
            self.link.ask(&command, |answer| {
                matches!(answer, Answer::Written).then_some(())
            })?;
            offset += length(bytes);
        }
        Ok((job, CRC32.checksum(&input)))
    }

    fn ran(&mut self, command: &Command<'_>) -> Result<Ran, LinkError> {
        let ran = self.link.ask(command, |answer| match answer {
            Answer::Ran(ran) => Some(*ran),
            _ => None,
        })?;
        self.check_model(ran.blob_crc)?;
        Ok(ran)
    }

    /// Fetches the output of the last run.
    fn output(&mut self, job: u32, ran: Ran) -> Result<Inference, LinkError> {
        let mut output: Vec<u8> = Vec::new();
        while length(&output) < ran.output_bytes {
            let offset = length(&output);
            let command = Command::Read { job, offset };
            let (blob_crc, part) = self.link.ask(&command, |answer| match answer {
                Answer::Bytes {
                    blob_crc,
                    offset: found,
                    bytes,
                } if *found == offset && !bytes.is_empty() => Some((*blob_crc, bytes.to_vec())),
                _ => None,
            })?;
            self.check_model(blob_crc)?;
            output.extend(part);
        }
        if length(&output) != ran.output_bytes || CRC32.checksum(&output) != ran.output_crc {
            return Err(LinkError::OtherAnswer);
        }
        Ok(Inference {
            output: output.iter().map(|byte| byte.cast_signed()).collect(),
            cost: ran.cost,
        })
    }
}

/// A line with the state of the conversation on it.
struct Link {
    line: Box<dyn Line>,
    receiver: Receiver,
    /// Received bytes that are not processed yet.
    pending: VecDeque<u8>,
    patience: Patience,
    numbers: Numbers,
    resent: u64,
}

impl Link {
    /// Requests the firmware's description.
    fn identity(&mut self) -> Result<Identity, LinkError> {
        let (version, identity) = self.ask(&Command::Hello, |answer| match answer {
            Answer::Hello(hello) => Some((
                hello.version,
                Identity {
                    board: hello.board.to_owned(),
                    blob_crc: hello.blob_crc,
                    blob_bytes: hello.blob_bytes,
                    input_bytes: hello.input_bytes as usize,
                    output_bytes: hello.output_bytes as usize,
                    ops: hello.ops,
                    arena_bytes: hello.arena_bytes,
                    unit: hello.unit,
                },
            )),
            _ => None,
        })?;
        if version != VERSION {
            return Err(LinkError::Version {
                expected: VERSION,
                found: version,
            });
        }
        Ok(identity)
    }

    /// Repeats a request until its answer comes.
    fn ask<R>(
        &mut self,
        command: &Command<'_>,
        read: impl Fn(&Answer<'_>) -> Option<R>,
    ) -> Result<R, LinkError> {
        let limit = match command {
            Command::Run { .. }
            | Command::Step { .. }
            | Command::Spin { .. }
            | Command::Begin { .. }
            | Command::Commit { .. } => self.patience.work,
            _ => self.patience.request,
        };
        let start = Instant::now();
        let mut wait = self.patience.first;
        let mut requests = 0;
        let mut first = None;
        while requests == 0 || start.elapsed() < limit {
            if requests != 0 {
                self.resent += 1;
            }
            requests += 1;
            let sequence = self.numbers.next();
            let first = *first.get_or_insert(sequence);
            let mut frame = [0; FRAME_BYTES];
            let request = Request {
                sequence,
                command: command.clone(),
            };
            // Data is cut to chunks before; anything else is short.
            let frame = encode(&request, &mut frame).ok_or(LinkError::OtherAnswer)?;
            self.line.send(frame)?;
            let sent = Instant::now();
            while let Some(rest) = wait
                .checked_sub(sent.elapsed())
                .filter(|rest| !rest.is_zero())
            {
                if self.pending.is_empty() {
                    let mut bytes = [0; 512];
                    let count = self.line.receive(&mut bytes, rest)?;
                    self.pending.extend(&bytes[..count]);
                }
                while let Some(byte) = self.pending.pop_front() {
                    match self.receiver.push::<Response<'_>>(byte) {
                        // To this request or to one that was the same: on a slow line each answer is late, and all are alike.
                        Some(response)
                            if response.sequence.wrapping_sub(first)
                                <= sequence.wrapping_sub(first) =>
                        {
                            let answer = response.answer.map_err(LinkError::Refused)?;
                            return read(&answer).ok_or(LinkError::OtherAnswer);
                        }
                        // A late answer to another request.
                        _ => {}
                    }
                }
            }
            wait = (wait * 2).min(self.patience.longest);
        }
        Err(LinkError::Silent {
            requests,
            seconds: start.elapsed().as_secs(),
        })
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Numbers of requests and jobs: consecutive, from a start that another client would hardly choose.
struct Numbers(u32);

impl Numbers {
    fn from_system() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        // Seeded by the system, anew for each one.
        let random = RandomState::new().hash_one(0);
        Self((random >> 32) as u32)
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

#[cfg(test)]
mod tests;
