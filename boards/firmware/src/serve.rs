//! Answers a host over a line, by the framed serial protocol.
//!
//! `docs/serial-protocol.md` is its specification.
//! The line may lose, flip and repeat bytes, and the host may go and come back. Whatever is not a sound request is
//! passed over; whatever is one can be asked again. Data of a run belongs to its job: see [`fewbit_protocol::message`].

use bytemuck::{cast_slice, cast_slice_mut};
use crc::Digest;
use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use fewbit_protocol::{
    CRC32,
    frame::{FRAME_BYTES, Receiver, encode},
    message::{Answer, CHUNK_BYTES, Command, Hello, Ran, Refusal, Request, Response, VERSION},
};

use crate::{
    BOARD_NAME,
    app::{self, ModelEngine, RunError, with_engine},
    board::Board,
    counter::{Counter, spin},
    model::BLOB,
    stack,
    store::{NoStore, Store},
};

/// Answers requests for ever, with the model that the firmware was built with.
///
/// # Errors
///
/// [`RunError`] if the model cannot be loaded, or the line has come to an end.
pub fn run(
    mut board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
) -> Result<(), RunError> {
    session(&mut board, &BLOB.0, app::arena()?, &mut NoStore)
}

/// Answers requests with one model, until another one is stored.
pub(crate) fn session(
    board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    blob: &[u8],
    arena: &mut [i8],
    store: &mut dyn Store,
) -> Result<(), RunError> {
    with_engine(blob, arena, |engine| {
        let mut session = Session {
            engine,
            job: None,
            blob,
            blob_crc: CRC32.checksum(blob),
            store,
            stored: false,
        };
        let mut receiver = Receiver::new();
        let mut frame = [0; FRAME_BYTES];
        loop {
            let mut byte = [0];
            match board.serial.read(&mut byte) {
                Ok(0) => return Err(RunError::LineEnded),
                Ok(_) => {}
                // An overrun, a broken stop bit: noise like any other.
                Err(_) => continue,
            }
            let Some(request) = receiver.push::<Request<'_>>(byte[0]) else {
                continue;
            };
            let response = Response {
                sequence: request.sequence,
                answer: session.answer(&request.command, board),
            };
            if let Some(bytes) = encode(&response, &mut frame) {
                // A line that does not take an answer loses it; the host asks again.
                let _ = board.serial.write_all(bytes);
                let _ = board.serial.flush();
            }
            if session.stored {
                return Ok(());
            }
        }
    })
}

/// The engine, what it holds, and where another model can be stored.
struct Session<'m, 'a, 's> {
    engine: ModelEngine<'m, 'a>,
    job: Option<Job>,
    blob: &'a [u8],
    blob_crc: u32,
    store: &'s mut dyn Store,
    /// Whether another model is to run from now on.
    stored: bool,
}

/// An input of the host's.
struct Job {
    number: u32,
    /// Progress of the job.
    ran: Option<Progress>,
}

/// Progress of a job. A run may have overwritten its input in the arena.
#[derive(Clone, Copy)]
enum Progress {
    /// The whole model.
    Run(Ran),
    /// The operators up to this one.
    Step { op: usize, ran: Ran },
}

impl Session<'_, '_, '_> {
    fn answer(
        &mut self,
        command: &Command<'_>,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) -> Result<Answer<'_>, Refusal> {
        match *command {
            Command::Hello => Ok(Answer::Hello(Hello {
                version: VERSION,
                board: BOARD_NAME,
                blob_crc: self.blob_crc,
                blob_bytes: length(self.blob.len()),
                input_bytes: length(self.input_bytes()),
                output_bytes: length(self.output_bytes()),
                ops: length(self.engine.op_count()),
                arena_bytes: length(self.engine.model().arena_bytes()),
                unit: board.counter.unit(),
            })),
            Command::Write { job, offset, bytes } => self.write(job, offset, bytes),
            Command::Run { job, input_crc } => {
                match self.progress(job)? {
                    // Asked again: the input may be gone, the answer is not.
                    Some(Progress::Run(ran)) => return Ok(Answer::Ran(ran)),
                    Some(Progress::Step { .. }) => return Err(Refusal::OutOfOrder),
                    None => self.check_input(input_crc)?,
                }
                let cost = board.measured(|| self.engine.run());
                let ran = self.ran(cost, None);
                self.set_progress(Progress::Run(ran));
                Ok(Answer::Ran(ran))
            }
            Command::Step { job, input_crc, op } => {
                let op = op as usize;
                if op >= self.engine.op_count() {
                    return Err(Refusal::OutOfRange);
                }
                match self.progress(job)? {
                    Some(Progress::Step { op: last, ran }) if last == op => {
                        return Ok(Answer::Ran(ran));
                    }
                    Some(Progress::Step { op: last, .. }) if last + 1 == op => {}
                    None if op == 0 => self.check_input(input_crc)?,
                    _ => return Err(Refusal::OutOfOrder),
                }
                let cost = board.measured(|| self.engine.step(op));
                let ran = self.ran(cost, Some(op));
                self.set_progress(Progress::Step { op, ran });
                Ok(Answer::Ran(ran))
            }
            Command::Read { job, offset } => {
                let op = match self.progress(job)?.ok_or(Refusal::NotRun)? {
                    Progress::Run(_) => None,
                    Progress::Step { op, .. } => Some(op),
                };
                self.read(op, offset)
            }
            Command::Spin { rounds } => {
                let rounds = rounds.max(1);
                Ok(Answer::Cost(board.measured(|| spin(rounds))))
            }
            Command::Stack => Ok(Answer::Stack {
                blob_crc: self.blob_crc,
                bytes: length(stack::used_bytes()),
            }),
            Command::Begin { length, ref seal } => {
                let begun = timed("begin", board, || self.store.begin(length, seal.as_ref()));
                begun.map(|()| Answer::Written)
            }
            Command::Store { offset, bytes } => {
                self.store.put(offset, bytes).map(|()| Answer::Written)
            }
            Command::Commit { crc } => {
                // Asked again, after the change.
                if crc != self.blob_crc || self.store.has_begun() {
                    timed("commit", board, || self.store.commit(crc))?;
                    self.stored = true;
                }
                Ok(Answer::Written)
            }
        }
    }

    /// Progress of the job, if it is the one that this firmware holds.
    fn progress(&self, number: u32) -> Result<Option<Progress>, Refusal> {
        match &self.job {
            Some(job) if job.number == number => Ok(job.ran),
            _ => Err(Refusal::UnknownJob),
        }
    }

    fn set_progress(&mut self, progress: Progress) {
        if let Some(job) = &mut self.job {
            job.ran = Some(progress);
        }
    }

    /// Puts bytes into the input.
    fn write(&mut self, number: u32, offset: u32, bytes: &[u8]) -> Result<Answer<'_>, Refusal> {
        match self.progress(number) {
            // A request that came twice, the second time after the run: the arena holds outputs now.
            Ok(Some(_)) => return Ok(Answer::Written),
            Ok(None) => {}
            Err(_) => self.job = Some(Job { number, ran: None }),
        }
        let (mut start, mut rest) = (offset as usize, bytes);
        for port in 0..self.engine.model().input_count() {
            let input: &mut [u8] = cast_slice_mut(self.engine.input_mut(port));
            let Some(room) = input.get_mut(start..) else {
                start -= input.len();
                continue;
            };
            let here = room.len().min(rest.len());
            let (now, later) = rest.split_at(here);
            room[..here].copy_from_slice(now);
            (start, rest) = (0, later);
        }
        if rest.is_empty() {
            Ok(Answer::Written)
        } else {
            Err(Refusal::OutOfRange)
        }
    }

    /// Whether the input is the one that the host has.
    fn check_input(&mut self, expected: u32) -> Result<(), Refusal> {
        let mut digest = CRC32.digest();
        for port in 0..self.engine.model().input_count() {
            digest.update(cast_slice(self.engine.input_mut(port)));
        }
        if digest.finalize() == expected {
            Ok(())
        } else {
            Err(Refusal::InputDiffers)
        }
    }

    /// Size and checksum of what has just run.
    fn ran(&self, cost: u64, op: Option<usize>) -> Ran {
        let mut digest: Digest<'_, u32> = CRC32.digest();
        let mut bytes = 0;
        for part in self.outputs(op) {
            digest.update(cast_slice(part));
            bytes += part.len();
        }
        Ran {
            blob_crc: self.blob_crc,
            cost,
            output_bytes: length(bytes),
            output_crc: digest.finalize(),
        }
    }

    /// Bytes of an output from `offset` on.
    fn read(&self, op: Option<usize>, offset: u32) -> Result<Answer<'_>, Refusal> {
        let mut start = offset as usize;
        for part in self.outputs(op) {
            if let Some(bytes) = part.get(start..)
                && !bytes.is_empty()
            {
                let bytes = bytes.get(..CHUNK_BYTES).unwrap_or(bytes);
                return Ok(Answer::Bytes {
                    blob_crc: self.blob_crc,
                    offset,
                    bytes: cast_slice(bytes),
                });
            }
            start = start.saturating_sub(part.len());
        }
        Err(Refusal::OutOfRange)
    }

    /// The output of an operator, or all outputs of the model.
    fn outputs(&self, op: Option<usize>) -> impl Iterator<Item = &[i8]> {
        let count = match op {
            Some(_) => 1,
            None => self.engine.model().output_count(),
        };
        (0..count).map(move |port| match op {
            Some(op) => self.engine.op_output(op),
            None => self.engine.output(port),
        })
    }

    fn input_bytes(&mut self) -> usize {
        (0..self.engine.model().input_count())
            .map(|port| self.engine.input_mut(port).len())
            .sum()
    }

    fn output_bytes(&self) -> usize {
        self.outputs(None).map(<[i8]>::len).sum()
    }
}

/// Executes a part of an update; if signatures are checked, logs its cost.
fn timed<R>(
    name: &str,
    board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    act: impl FnOnce() -> R,
) -> R {
    #[cfg(feature = "authenticated-updates")]
    {
        let start = board.counter.now();
        let result = act();
        let cost = board.counter.cost_since(start);
        fewbit_protocol::report!(defmt::println, update, name, cost);
        result
    }
    #[cfg(not(feature = "authenticated-updates"))]
    {
        let _ = (name, board);
        act()
    }
}

/// Sizes of a microcontroller's memory fit in 32 bits.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
