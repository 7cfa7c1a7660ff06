//! Frames: transport of messages over a line.
//!
//! A frame is `00 COBS(postcard(message), CRC-32 of that, little-endian) 00`.
//! Byte stuffing keeps zeros out of a frame, so that a reader that lost its place finds it at the next zero. The zero
//! before a frame ends whatever noise or half a frame came before it.

use postcard::ser_flavors::{Cobs, Slice, crc::CrcModifier};
use serde::{Deserialize, Serialize};

use crate::CRC32;

/// Bytes of the longest frame with its zeros.
pub const FRAME_BYTES: usize = 254;

/// Bytes of the checksum.
const CRC_BYTES: usize = 4;

/// Writes the frame of a message; `None` if the message is too long for one.
pub fn encode<'b>(message: &impl Serialize, frame: &'b mut [u8; FRAME_BYTES]) -> Option<&'b [u8]> {
    let (start, rest) = frame.split_first_mut()?;
    *start = 0;
    let cobs = Cobs::try_new(Slice::new(rest)).ok()?;
    let flavor = CrcModifier::new(cobs, CRC32.digest());
    let length = postcard::serialize_with_flavor(message, flavor).ok()?.len();
    frame.get(..=length)
}

/// Receiver that collects bytes until they form a frame.
#[derive(Debug)]
pub struct Receiver {
    bytes: [u8; FRAME_BYTES],
    /// Number of bytes so far; one more than there is room for after an overflow.
    length: usize,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Creates an empty receiver.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; FRAME_BYTES],
            length: 0,
        }
    }

    /// Takes a byte of the line; returns the message at the end of a valid frame.
    ///
    /// Anything else (noise, a frame with a wrong checksum, too long or of another type) is dropped
    /// without an answer, so that the sender repeats it.
    pub fn push<'s, M: Deserialize<'s>>(&'s mut self, byte: u8) -> Option<M> {
        if byte != 0 {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            } else {
                self.length = FRAME_BYTES + 1;
            }
            return None;
        }
        let length = core::mem::take(&mut self.length);
        let frame = self.bytes.get_mut(..length)?;
        decode(frame)
    }
}

/// Decodes a frame without its zeros.
fn decode<'f, M: Deserialize<'f>>(frame: &'f mut [u8]) -> Option<M> {
    let length = cobs::decode_in_place(frame).ok()?;
    let payload = length.checked_sub(CRC_BYTES)?;
    let (message, crc) = frame.get(..length)?.split_at_checked(payload)?;
    if crc != CRC32.checksum(message).to_le_bytes() {
        return None;
    }
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Answer, CHUNK_BYTES, Command, Hello, Request, Response, Unit, VERSION};

    fn request(bytes: &[u8]) -> Request<'_> {
        Request {
            sequence: u32::MAX,
            command: Command::Write {
                job: u32::MAX,
                offset: u32::MAX,
                bytes,
            },
        }
    }

    fn received<'r>(receiver: &'r mut Receiver, bytes: &[u8]) -> Option<Request<'r>> {
        let (last, rest) = bytes.split_last()?;
        for byte in rest {
            // A message in the middle would be lost here; the callers send one frame, at the end.
            let _ = receiver.push::<Request<'_>>(*byte);
        }
        receiver.push(*last)
    }

    #[test]
    fn the_bytes_on_the_line_are_the_documented_ones() {
        let message = Request {
            sequence: 1,
            command: Command::Hello,
        };
        let mut frame = [0; FRAME_BYTES];
        let frame = encode(&message, &mut frame).expect("short");
        // 01 00 with CRC-32 0x58C223BE (zlib.crc32 in Python), then stuffed by hand.
        assert_eq!(frame, [0, 2, 1, 5, 0xbe, 0x23, 0xc2, 0x58, 0]);
    }

    /// A host of any version reads a greeting of any other: these are the bytes of version 2, from its description.
    #[test]
    fn the_greeting_has_the_same_bytes_in_every_version() {
        let response = Response {
            sequence: 1,
            answer: Ok(Answer::Hello(Hello {
                version: 2,
                board: "desk",
                blob_crc: 0x1234_5678,
                blob_bytes: 300,
                input_bytes: 5,
                output_bytes: 6,
                ops: 7,
                arena_bytes: 8,
                unit: Unit::Microseconds,
            })),
        };
        let mut frame = [0; FRAME_BYTES];
        let frame = encode(&response, &mut frame).expect("short");
        // CRC-32 by Python's zlib, then stuffed by a script.
        let documented = [
            0, 2, 1, 1, 23, 2, 4, 100, 101, 115, 107, 248, 172, 209, 145, 1, 172, 2, 5, 6, 7, 8, 2,
            191, 244, 94, 80, 0,
        ];
        assert_eq!(frame, documented);
    }

    #[test]
    fn a_full_chunk_fits_in_a_frame_and_comes_back() {
        for byte in [0, 1, 255] {
            let bytes = [byte; CHUNK_BYTES];
            let mut frame = [0; FRAME_BYTES];
            let frame = encode(&request(&bytes), &mut frame).expect("fits");
            let mut receiver = Receiver::new();
            assert_eq!(received(&mut receiver, frame), Some(request(&bytes)));
        }
        let mut frame = [0; FRAME_BYTES];
        assert_eq!(encode(&request(&[0; FRAME_BYTES]), &mut frame), None);
    }

    #[test]
    fn a_response_with_the_longest_names_fits() {
        let response = Response {
            sequence: u32::MAX,
            answer: Ok(Answer::Hello(Hello {
                version: VERSION,
                board: "a name of a board that is forty bytes long",
                blob_crc: u32::MAX,
                blob_bytes: u32::MAX,
                input_bytes: u32::MAX,
                output_bytes: u32::MAX,
                ops: u32::MAX,
                arena_bytes: u32::MAX,
                unit: Unit::Cycles { clock_hz: u32::MAX },
            })),
        };
        let mut frame = [0; FRAME_BYTES];
        assert!(encode(&response, &mut frame).is_some());
    }

    #[test]
    fn a_full_answer_fits_in_a_frame() {
        let response = Response {
            sequence: u32::MAX,
            answer: Ok(Answer::Bytes {
                blob_crc: u32::MAX,
                offset: u32::MAX,
                bytes: &[255; CHUNK_BYTES],
            }),
        };
        let mut frame = [0; FRAME_BYTES];
        assert!(encode(&response, &mut frame).is_some());
    }

    #[test]
    fn noise_before_a_frame_does_not_lose_it() {
        let mut receiver = Receiver::new();
        let mut random = fastrand::Rng::with_seed(1);
        for length in 0..1000 {
            for _ in 0..length % 400 {
                let _ = receiver.push::<Request<'_>>(random.u8(..));
            }
            let bytes = [random.u8(..); 3];
            let mut frame = [0; FRAME_BYTES];
            let frame = encode(&request(&bytes), &mut frame).expect("short");
            assert_eq!(received(&mut receiver, frame), Some(request(&bytes)));
        }
    }

    #[test]
    fn a_damaged_frame_is_dropped() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..20_000 {
            let bytes: [u8; 20] = core::array::from_fn(|_| random.u8(..));
            let mut frame = [0; FRAME_BYTES];
            let length = encode(&request(&bytes), &mut frame).expect("short").len();
            let at = random.usize(1..length - 1);
            let (kind, to) = (random.u8(0..3), random.u8(1..));
            let mut receiver = Receiver::new();
            for (index, &byte) in frame[..length].iter().enumerate() {
                let damaged = index == at;
                if damaged && kind == 0 {
                    continue;
                }
                let byte = if damaged && kind == 1 {
                    byte ^ to
                } else {
                    byte
                };
                assert_eq!(receiver.push::<Request<'_>>(byte), None);
                if damaged && kind == 2 && frame[at] != 0 {
                    assert_eq!(receiver.push::<Request<'_>>(byte), None);
                }
            }
        }
    }
}
