//! Messages by which firmware reports its results.
//!
//! `boards/firmware/src/app.rs` words them: `fewbit:KIND key=value key=value`, with `bytes=[0a, ff]` last where there are
//! bytes. Anything else in the log is for people and is passed over.

use anyhow::{Context as _, Result, bail};

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
        let Some(text) = line.strip_prefix("fewbit:") else {
            return Ok(None);
        };
        Self::parse_report(text).map(Some).with_context(|| {
            format!(
                "the firmware's report {:?}",
                line.chars().take(120).collect::<String>()
            )
        })
    }

    /// Whether a line of the log is the report that an inference has ended.
    pub(crate) fn ends_inference(line: &str) -> bool {
        line.starts_with("fewbit:inference ")
    }

    fn parse_report(text: &str) -> Result<Self> {
        let (text, bytes) = match text.split_once(" bytes=") {
            Some((text, bytes)) => (text, Some(bytes)),
            None => (text, None),
        };
        let mut words = text.split(' ');
        let kind = words.next().unwrap_or_default();
        let mut fields = Fields(words.collect());
        let message = match kind {
            "model" => Self::Model(ModelFacts {
                tensors: fields.number("tensors")?,
                ops: fields.number("ops")?,
                arena_bytes: fields.number("arena")?,
                input_bytes: fields.number("input")?,
            }),
            "spin" => Self::Spin {
                rounds: fields.number("rounds")?,
                cost: fields.number("cost")?,
            },
            "operator" => Self::Operator {
                input: fields.number("input")?,
                op: fields.number("op")?,
                cost: fields.number("cost")?,
                crc: u32::from_str_radix(fields.text("crc")?, 16).context("crc")?,
            },
            "output" => Self::Output {
                input: fields.number("input")?,
                port: fields.number("port")?,
                bytes: parse_bytes(bytes)?,
            },
            "inference" => Self::Inference {
                input: fields.number("input")?,
                cost: fields.number("cost")?,
            },
            "bytes" => Self::Bytes {
                input: fields.number("input")?,
                op: fields.number("op")?,
                bytes: parse_bytes(bytes)?,
            },
            "done" => Self::Done {
                inputs: fields.number("inputs")?,
                stack_bytes: fields.number("stack")?,
            },
            _ => bail!("unknown kind {kind:?}"),
        };
        Ok(message)
    }
}

/// The `key=value` words of a message, in order.
struct Fields<'a>(std::collections::VecDeque<&'a str>);

impl<'a> Fields<'a> {
    fn text(&mut self, key: &str) -> Result<&'a str> {
        let word = self.0.pop_front().unwrap_or_default();
        let value = word
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix('='));
        value.with_context(|| format!("expected {key}=, found {word:?}"))
    }

    fn number<T: std::str::FromStr>(&mut self, key: &str) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let value = self.text(key)?;
        value.parse().with_context(|| format!("{key}={value:?}"))
    }
}

/// Reads `[0a, ff]` as int8 values.
fn parse_bytes(text: Option<&str>) -> Result<Vec<i8>> {
    let text = text.context("bytes= is missing")?;
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .context("bytes= has no brackets")?;
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    inner
        .split(", ")
        .map(|byte| match u8::from_str_radix(byte, 16) {
            Ok(byte) => Ok(byte.cast_signed()),
            Err(error) => Err(error).with_context(|| format!("bytes= holds {byte:?}")),
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
