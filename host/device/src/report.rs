//! Messages by which firmware reports its results.
//!
//! The words are those of [`fewbit_protocol::report`]. Anything else in the log is for people and is passed over.

use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use fewbit_protocol::report;

const MODEL: &str = report!(concat, model);
const SPIN: &str = report!(concat, spin);
const OPERATOR: &str = report!(concat, operator);
const OUTPUT: &str = report!(concat, output);
const INFERENCE: &str = report!(concat, inference);
const BYTES: &str = report!(concat, bytes);
const DONE: &str = report!(concat, done);

/// Facts about a firmware's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// Entries of the tensor table.
    pub tensors: usize,
    /// Number of operators.
    pub ops: usize,
    /// Bytes of the arena that the model needs.
    pub arena_bytes: usize,
    /// Bytes of one input.
    pub input_bytes: usize,
}

/// A message that reports a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The blob has loaded.
    Model(ModelFacts),
    /// Check of the counter by a loop of `2 * rounds` instructions.
    Spin { rounds: u32, cost: u64 },
    /// An operator has run.
    Operator {
        input: usize,
        op: usize,
        cost: u64,
        crc: u32,
    },
    /// One output of the model.
    Output {
        input: usize,
        port: usize,
        bytes: Vec<i8>,
    },
    /// An inference has ended and its outputs are reported.
    Inference { input: usize, cost: u64 },
    /// All bytes of one operator's output.
    Bytes {
        input: usize,
        op: usize,
        bytes: Vec<i8>,
    },
    /// The job is done.
    Done { inputs: usize, stack_bytes: usize },
}

impl Message {
    /// Reads a line of the log; none if it is not a report.
    ///
    /// # Errors
    ///
    /// If it is a report of an unknown kind: the versions of firmware and host differ.
    pub(crate) fn parse(line: &str) -> Result<Option<Self>> {
        if !line.starts_with(report::MARK) {
            return Ok(None);
        }
        Self::parse_report(line).map(Some).with_context(|| {
            format!(
                "the firmware's report {:?}",
                line.chars().take(120).collect::<String>()
            )
        })
    }

    /// Whether a line of the log is the report that an inference has ended.
    pub(crate) fn ends_inference(line: &str) -> bool {
        report::values::<2>(INFERENCE, line).is_some()
    }

    fn parse_report(line: &str) -> Result<Self> {
        let kind = line.split(' ').next().unwrap_or_default();
        let is = |format: &str| format.split(' ').next() == Some(kind);
        let message = if is(MODEL) {
            let [tensors, ops, arena, input] = read(MODEL, line)?;
            Self::Model(ModelFacts {
                tensors: number(tensors)?,
                ops: number(ops)?,
                arena_bytes: number(arena)?,
                input_bytes: number(input)?,
            })
        } else if is(SPIN) {
            let [rounds, cost] = read(SPIN, line)?;
            Self::Spin {
                rounds: number(rounds)?,
                cost: number(cost)?,
            }
        } else if is(OPERATOR) {
            let [input, op, cost, crc] = read(OPERATOR, line)?;
            Self::Operator {
                input: number(input)?,
                op: number(op)?,
                cost: number(cost)?,
                crc: u32::from_str_radix(crc, 16).with_context(|| format!("CRC {crc:?}"))?,
            }
        } else if is(OUTPUT) {
            let [input, port, bytes] = read(OUTPUT, line)?;
            Self::Output {
                input: number(input)?,
                port: number(port)?,
                bytes: parse_bytes(bytes)?,
            }
        } else if is(INFERENCE) {
            let [input, cost] = read(INFERENCE, line)?;
            Self::Inference {
                input: number(input)?,
                cost: number(cost)?,
            }
        } else if is(BYTES) {
            let [input, op, bytes] = read(BYTES, line)?;
            Self::Bytes {
                input: number(input)?,
                op: number(op)?,
                bytes: parse_bytes(bytes)?,
            }
        } else if is(DONE) {
            let [inputs, stack] = read(DONE, line)?;
            Self::Done {
                inputs: number(inputs)?,
                stack_bytes: number(stack)?,
            }
        } else {
            bail!("unknown kind {kind:?}");
        };
        Ok(message)
    }
}

/// The values of a report with this format.
fn read<'a, const N: usize>(format: &str, line: &'a str) -> Result<[&'a str; N]> {
    report::values(format, line).with_context(|| format!("expected `{format}`"))
}

fn number<T: FromStr>(text: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().with_context(|| format!("value {text:?}"))
}

/// Reads `[0a, ff]` as int8 values.
fn parse_bytes(text: &str) -> Result<Vec<i8>> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .context("bytes without brackets")?;
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    inner
        .split(", ")
        .map(|byte| match u8::from_str_radix(byte, 16) {
            Ok(byte) => Ok(byte.cast_signed()),
            Err(error) => Err(error).with_context(|| format!("byte {byte:?}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_and_other_lines_passed_over() {
        let output = Message::Output {
            input: 3,
            port: 1,
            bytes: vec![10, -1, -128],
        };
        let parsed = Message::parse("fewbit:output input=3 port=1 bytes=[0a, ff, 80]");
        assert_eq!(parsed.expect("well formed"), Some(output));
        let inference = Message::Inference {
            input: 3,
            cost: 12_345_678_901,
        };
        let parsed = Message::parse("fewbit:inference input=3 cost=12345678901");
        assert_eq!(parsed.expect("well formed"), Some(inference));
        let operator = Message::Operator {
            input: 0,
            op: 12,
            cost: 40,
            crc: 0x00c0_ffee,
        };
        let parsed = Message::parse("fewbit:operator input=0 op=12 cost=40 crc=00c0ffee");
        assert_eq!(parsed.expect("well formed"), Some(operator));
        assert_eq!(
            Message::parse("loading the model").expect("not a report"),
            None
        );
    }

    #[test]
    fn a_report_of_another_revision_is_an_error() {
        for line in [
            "fewbit:energy input=0",
            "fewbit:done inputs=1",
            "fewbit:done stack=1 inputs=1",
            "fewbit:inference input=0 cost=-1",
            "fewbit:output input=0 port=0",
            "fewbit:output input=0 port=0 bytes=[100]",
            "fewbit:output input=0 port=0 bytes=[0a",
        ] {
            assert!(Message::parse(line).is_err(), "{line}");
        }
    }
}
