//! The client against a firmware in a function.

use super::*;
use fewbit_protocol::message::Hello;

/// Firmware in a function: for each request, the answer that it gives, or silence.
struct Scripted<F> {
    answer: F,
    receiver: Receiver,
    out: VecDeque<u8>,
}

impl<F> Line for Scripted<F>
where
    F: for<'a> FnMut(&Command<'a>) -> Option<Result<Answer<'static>, Refusal>> + Send,
{
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            let Some(request) = self.receiver.push::<Request<'_>>(*byte) else {
                continue;
            };
            if let Some(answer) = (self.answer)(&request.command) {
                let sequence = request.sequence;
                let response = Response { sequence, answer };
                let mut frame = [0; FRAME_BYTES];
                let frame = encode(&response, &mut frame).expect("short");
                self.out.extend(frame);
            }
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        Ok(take(&mut self.out, bytes, limit))
    }
}

/// Moves received bytes to `bytes`; times out if there are none.
fn take(out: &mut VecDeque<u8>, bytes: &mut [u8], limit: Duration) -> usize {
    if out.is_empty() {
        std::thread::sleep(limit);
    }
    let count = bytes.len().min(out.len());
    for (place, byte) in bytes.iter_mut().zip(out.drain(..count)) {
        *place = byte;
    }
    count
}

fn hello(version: u16) -> Answer<'static> {
    Answer::Hello(Hello {
        version,
        board: "none",
        blob_crc: 1,
        blob_bytes: 2,
        input_bytes: 3,
        output_bytes: 1,
        ops: 1,
        arena_bytes: 4,
        unit: Unit::Microseconds,
    })
}

fn connect<F>(answer: F) -> Result<Client, LinkError>
where
    F: for<'a> FnMut(&Command<'a>) -> Option<Result<Answer<'static>, Refusal>> + Send + 'static,
{
    let line = Scripted {
        answer,
        receiver: Receiver::new(),
        out: VecDeque::new(),
    };
    Client::connect(Box::new(line), patience())
}

fn patience() -> Patience {
    Patience {
        first: Duration::from_millis(2),
        longest: Duration::from_millis(4),
        request: Duration::from_millis(40),
        work: Duration::from_millis(40),
        restarts: 3,
    }
}

#[test]
fn silence_and_other_versions_are_told_apart() {
    let error = connect(|_| None).err().expect("silent");
    assert!(
        matches!(error, LinkError::Silent { requests: 2.., .. }),
        "{error}"
    );
    let error = connect(|_| Some(Ok(hello(VERSION + 1))))
        .err()
        .expect("another version");
    assert!(error.to_string().contains("version"), "{error}");
    assert!(
        error.to_string().contains("flash the firmware again"),
        "{error}"
    );
    let error = connect(|_| Some(Ok(Answer::Written)))
        .err()
        .expect("no greeting");
    assert!(matches!(error, LinkError::OtherAnswer), "{error}");
}

#[test]
fn an_answer_that_comes_at_the_second_request_is_taken() {
    let mut requests = 0;
    let client = connect(move |_| {
        requests += 1;
        (requests == 2).then_some(Ok(hello(VERSION)))
    });
    let client = client.expect("answers");
    assert_eq!(client.resent(), 1);
    assert_eq!(client.identity().input_bytes, 3);
}

/// A firmware that answers each request when the third after it has come.
struct Late {
    receiver: Receiver,
    sequences: VecDeque<u32>,
    out: VecDeque<u8>,
}

impl Line for Late {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            let Some(request) = self.receiver.push::<Request<'_>>(*byte) else {
                continue;
            };
            self.sequences.push_back(request.sequence);
            if self.sequences.len() > 3
                && let Some(sequence) = self.sequences.pop_front()
            {
                let answer = Ok(hello(VERSION));
                let mut frame = [0; FRAME_BYTES];
                let frame = encode(&Response { sequence, answer }, &mut frame).expect("short");
                self.out.extend(frame);
            }
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        Ok(take(&mut self.out, bytes, limit))
    }
}

/// However late: the answer to a repeated request is an answer, that to another request is not.
#[test]
fn late_answers_to_the_same_request_are_taken_and_no_others() {
    let line = |sequences: &[u32]| Late {
        receiver: Receiver::new(),
        sequences: sequences.iter().copied().collect(),
        out: VecDeque::new(),
    };
    // Enough time, whatever else the machine does.
    let patience = Patience {
        request: Duration::from_secs(20),
        ..patience()
    };
    let client = Client::connect(Box::new(line(&[])), patience).expect("answers late");
    assert_eq!(client.resent(), 3);
    // Three answers to what someone else has asked come first.
    let mut client = Client::connect(Box::new(line(&[7, 8, 9])), patience).expect("answers");
    assert_eq!(client.resent(), 3);
    // Late ones of this client's first question are no answers to its second one.
    client.refresh().expect("answers late");
    assert_eq!(client.resent(), 6);
}

#[test]
fn a_firmware_that_loses_its_input_again_and_again_is_given_up() {
    let client = connect(|command| {
        Some(match command {
            Command::Hello => Ok(hello(VERSION)),
            Command::Write { .. } => Ok(Answer::Written),
            _ => Err(Refusal::InputDiffers),
        })
    });
    let mut client = client.expect("answers");
    let error = client.infer(&[1, 2, 3]).expect_err("never runs");
    assert!(matches!(error, LinkError::TooManyRestarts(4)), "{error}");
    let error = client.infer(&[1, 2]).expect_err("too short");
    assert!(error.to_string().contains("2 bytes"), "{error}");
}

#[test]
fn an_output_with_another_checksum_is_no_result() {
    let client = connect(|command| {
        Some(Ok(match command {
            Command::Hello => hello(VERSION),
            Command::Write { .. } => Answer::Written,
            Command::Read { .. } => Answer::Bytes {
                blob_crc: 1,
                offset: 0,
                bytes: &[9],
            },
            _ => Answer::Ran(Ran {
                blob_crc: 1,
                cost: 1,
                output_bytes: 1,
                output_crc: CRC32.checksum(&[8]),
            }),
        }))
    });
    let error = client
        .expect("answers")
        .infer(&[1, 2, 3])
        .expect_err("9 is not 8");
    assert!(matches!(error, LinkError::OtherAnswer), "{error}");
}

/// A firmware whose answers are those of a blob with the CRC-32 `of_run`, and bytes those of `of_bytes`.
fn of_blobs(of_run: u32, of_bytes: u32) -> Client {
    let client = connect(move |command| {
        Some(Ok(match command {
            Command::Hello => hello(VERSION),
            Command::Write { .. } => Answer::Written,
            Command::Read { .. } => Answer::Bytes {
                blob_crc: of_bytes,
                offset: 0,
                bytes: &[9],
            },
            Command::Stack => Answer::Stack {
                blob_crc: of_run,
                bytes: 8,
            },
            _ => Answer::Ran(Ran {
                blob_crc: of_run,
                cost: 1,
                output_bytes: 1,
                output_crc: CRC32.checksum(&[9]),
            }),
        }))
    });
    client.expect("answers")
}

#[test]
fn nothing_of_another_model_is_taken() {
    let input = [1, 2, 3];
    let mut same = of_blobs(1, 1);
    assert_eq!(same.infer(&input).expect("of this model").output, [9]);
    assert_eq!(same.operators(&input).expect("of this model").len(), 1);
    assert_eq!(same.stack_bytes().expect("of this model"), 8);
    let refused = |result: Result<(), LinkError>| {
        let error = result.expect_err("of another model");
        let other = LinkError::OtherModel {
            expected: 1,
            found: 0xABCD,
        };
        assert_eq!(error.to_string(), other.to_string());
        assert!(error.to_string().contains("CRC-32 0000abcd"), "{error}");
        assert!(error.to_string().contains("00000001"), "{error}");
    };
    refused(of_blobs(0xABCD, 1).infer(&input).map(drop));
    refused(of_blobs(1, 0xABCD).infer(&input).map(drop));
    refused(of_blobs(0xABCD, 1).operators(&input).map(drop));
    refused(of_blobs(1, 0xABCD).operator_output(&input, 0).map(drop));
    refused(of_blobs(0xABCD, 1).stack_bytes().map(drop));
}

/// A model of other sizes cannot take the input; the error says that another model is in use.
#[test]
fn another_model_of_other_sizes_is_named() {
    for refusal in [Refusal::OutOfRange, Refusal::InputDiffers] {
        let mut greetings = 0;
        let client = connect(move |command| {
            Some(match command {
                Command::Hello => {
                    greetings += 1;
                    let Answer::Hello(hello) = hello(VERSION) else {
                        return None;
                    };
                    Ok(Answer::Hello(Hello {
                        blob_crc: greetings,
                        ..hello
                    }))
                }
                _ => Err(refusal),
            })
        });
        let mut client = client.expect("answers");
        let error = client.infer(&[1, 2, 3]).expect_err("refused");
        assert!(
            matches!(
                error,
                LinkError::OtherModel {
                    expected: 1,
                    found: 2
                }
            ),
            "{error}"
        );
    }
}
