//! Bytes of a serial line: requests to a firmware, and its answers.

use crate::bytes::{self, chance, pick};
use crate::{Outcome, Target};
use fastrand::Rng;
use fewbit_protocol::frame::{FRAME_BYTES, Receiver, encode};
use fewbit_protocol::message::{
    Answer, CHUNK_BYTES, Command, Hello, Ran, Refusal, Request, Response, Seal, Unit, VERSION,
};
use serde::ser::{Serialize, SerializeTuple as _, Serializer};

/// The target.
pub const TARGET: Target = Target {
    name: "frame",
    about: "frames of the serial protocol",
    run,
    corpus,
    mutate,
    mend: |_| {},
    simpler: |_| Vec::new(),
    refusals: Vec::new,
};

/// Bytes that are sent as they are, in a frame with the right checksum.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

/// Receives the bytes at both ends; what is received travels back unchanged.
///
/// # Panics
/// If something does not hold that should.
pub fn run(line: &[u8]) -> Outcome {
    let mut kinds = Vec::new();
    let (mut device, mut host) = (Receiver::new(), Receiver::new());
    for &byte in line {
        if let Some(request) = device.push::<Request<'_>>(byte) {
            let mut frame = [0; FRAME_BYTES];
            let frame = encode(&request, &mut frame).expect("as long as it came, or shorter");
            let mut again = Receiver::new();
            let mut found = false;
            for (index, &byte) in frame.iter().enumerate() {
                if let Some(message) = again.push::<Request<'_>>(byte) {
                    assert_eq!(message, request);
                    assert_eq!(index + 1, frame.len());
                    found = true;
                }
            }
            assert!(found, "{request:?} is lost");
            kinds.push(request_kind(&request.command));
        }
        if let Some(response) = host.push::<Response<'_>>(byte) {
            let mut frame = [0; FRAME_BYTES];
            let frame = encode(&response, &mut frame).expect("as long as it came, or shorter");
            let mut again = Receiver::new();
            let mut found = false;
            for &byte in frame {
                if let Some(message) = again.push::<Response<'_>>(byte) {
                    assert_eq!(message, response);
                    found = true;
                }
            }
            assert!(found, "{response:?} is lost");
            kinds.push(response_kind(&response.answer));
        }
    }
    // Whatever came before, the next frame is heard.
    let request = Request {
        sequence: 7,
        command: Command::Stack,
    };
    let mut frame = [0; FRAME_BYTES];
    let frame = encode(&request, &mut frame).expect("short");
    let last = frame.len() - 1;
    for (index, &byte) in frame.iter().enumerate() {
        let found = device.push::<Request<'_>>(byte);
        // The zero in front may be the end of a frame that the line had begun, be it of the same message.
        if index == last {
            assert_eq!(found, Some(request.clone()), "a frame behind noise is lost");
        } else if index > 0 {
            assert_eq!(found, None, "heard before its end");
        }
    }
    if kinds.is_empty() {
        return Outcome::refused("nothing heard", Vec::new());
    }
    // Pairs of neighbours would be too many kinds: the last message tells apart.
    let last = kinds
        .last()
        .map_or(0, |kind| kind.bytes().map(u64::from).sum());
    Outcome::accepted(kinds, last)
}

fn request_kind(command: &Command<'_>) -> &'static str {
    match command {
        Command::Hello => "hello",
        Command::Write { .. } => "write",
        Command::Run { .. } => "run",
        Command::Step { .. } => "step",
        Command::Read { .. } => "read",
        Command::Spin { .. } => "spin",
        Command::Stack => "stack",
        Command::Begin { .. } => "begin",
        Command::Store { .. } => "store",
        Command::Commit { .. } => "commit",
    }
}

fn response_kind(answer: &Result<Answer<'_>, Refusal>) -> &'static str {
    match answer {
        Ok(Answer::Hello(_)) => "hello, answered",
        Ok(Answer::Written) => "written",
        Ok(Answer::Ran(_)) => "ran",
        Ok(Answer::Bytes { .. }) => "bytes",
        Ok(Answer::Cost(_)) => "cost",
        Ok(Answer::Stack { .. }) => "stack, answered",
        Err(_) => "refusal",
    }
}

/// A message of either side, in postcard's form.
fn message(rng: &mut Rng) -> Vec<u8> {
    let most = CHUNK_BYTES.min(1 << rng.u32(0..9));
    let length = rng.usize(0..=most);
    let data: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
    let bytes = &data[..];
    let sequence = rng.u32(..);
    let (job, offset) = (rng.u32(0..3), rng.u32(0..1000));
    let encoded = if rng.bool() {
        let command = match rng.u8(0..10) {
            0 => Command::Hello,
            1 => Command::Write { job, offset, bytes },
            2 => Command::Run {
                job,
                input_crc: rng.u32(..),
            },
            3 => Command::Step {
                job,
                input_crc: rng.u32(..),
                op: offset,
            },
            4 => Command::Read { job, offset },
            5 => Command::Spin { rounds: job },
            6 => Command::Stack,
            7 => Command::Begin {
                length: offset,
                seal: rng.bool().then(|| Seal {
                    version: job,
                    digest: &bytes[..bytes.len() / 2],
                    signature: &bytes[bytes.len() / 2..],
                }),
            },
            8 => Command::Store { offset, bytes },
            _ => Command::Commit { crc: rng.u32(..) },
        };
        postcard::to_stdvec(&Request { sequence, command })
    } else {
        let answer = match rng.u8(0..7) {
            0 => Ok(Answer::Hello(Hello {
                version: VERSION,
                board: "mps2-an386",
                blob_crc: rng.u32(..),
                blob_bytes: offset,
                input_bytes: job,
                output_bytes: job,
                ops: job,
                arena_bytes: offset,
                unit: Unit::Cycles {
                    clock_hz: rng.u32(..),
                },
            })),
            1 => Ok(Answer::Written),
            2 => Ok(Answer::Ran(Ran {
                blob_crc: job,
                cost: rng.u64(..),
                output_bytes: offset,
                output_crc: rng.u32(..),
            })),
            3 => Ok(Answer::Bytes {
                blob_crc: job,
                offset,
                bytes,
            }),
            4 => Ok(Answer::Cost(rng.u64(..))),
            5 => Ok(Answer::Stack {
                blob_crc: job,
                bytes: offset,
            }),
            _ => Err(Refusal::UnknownJob),
        };
        postcard::to_stdvec(&Response { sequence, answer })
    };
    encoded.unwrap_or_default()
}

/// The frame of a message; empty if that is too long.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = [0; FRAME_BYTES];
    encode(&Raw(message), &mut frame).map_or_else(Vec::new, <[u8]>::to_vec)
}

/// A few messages a line.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(1);
    let mut line = |messages: usize| -> Vec<u8> {
        (0..messages)
            .flat_map(|_| framed(&message(&mut rng)))
            .collect()
    };
    (0..60).map(|index| line(1 + index % 4)).collect()
}

fn mutate(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let (mut line, other) = (pick(rng, corpus).clone(), pick(rng, corpus));
    for _ in 0..rng.u8(1..4) {
        match rng.u8(0..3) {
            0 => bytes::mutate(rng, &mut line, other),
            _ => {
                // A damaged message with the right checksum.
                let mut message = message(rng);
                if chance(rng, 80) {
                    bytes::mutate(rng, &mut message, &[]);
                }
                let frame = framed(&message);
                let at = if chance(rng, 80) {
                    line.len()
                } else {
                    rng.usize(0..=line.len())
                };
                line.splice(at..at, frame);
            }
        }
    }
    line.truncate(2000);
    line
}
