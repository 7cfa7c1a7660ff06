//! MLPerf Tiny's device interface.
//!
//! The benchmark's runner drives the firmware by text over the UART. Commands end with `%`, answers are lines, and
//! `m-ready` ends each. Bytes of an input are the benchmark's; a table that the host has made turns each into the model's
//! encoding. `docs/mlperf-tiny.md` lists what is understood.

use core::fmt;

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use fewbit_runtime::PortInfo;
use static_cell::ConstStaticCell;

use crate::{
    BOARD_NAME,
    app::{self, ModelEngine, RunError, with_engine},
    board::Board,
    counter::Counter,
    model::{BLOB, INPUT_BYTES, INPUT_TABLE, MLPERF_MODEL},
};

/// Longest command, as the benchmark's own firmware has it.
const COMMAND_BYTES: usize = 80;

/// Answer to `profile` that the runner expects of every firmware.
const PROFILE: &str = "ULPMark for tinyML Firmware V0.0.1";

/// Bytes of the input in one line of `db print`.
const PRINTED: usize = 8;

/// Answers commands for ever.
///
/// # Errors
///
/// [`RunError`] if the model cannot be loaded, or the line has come to an end.
pub fn run(
    mut board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
) -> Result<(), RunError> {
    static BUFFER: ConstStaticCell<[u8; INPUT_BYTES]> = ConstStaticCell::new([0; INPUT_BYTES]);
    let buffer = BUFFER.try_take().ok_or(RunError::ArenaTaken)?;
    with_engine(&BLOB.0, app::arena()?, |engine| {
        let mut device = Device {
            start: board.counter.now(),
            scale: Scale::of(engine.model().output(0)),
            input: Input {
                buffer,
                expected: 0,
                filled: 0,
            },
            engine,
            board,
        };
        device.line(format_args!("m-timestamp-mode-performance"));
        device.line(format_args!("m-init-done"));
        device.line(format_args!("m-ready"));
        let mut command = [0; COMMAND_BYTES];
        let mut length = 0;
        loop {
            let mut byte = [0];
            match device.board.serial.read(&mut byte) {
                Ok(0) => return Err(RunError::LineEnded),
                Ok(_) => {}
                Err(_) => continue,
            }
            match byte[0] {
                b'%' => {
                    match command.get(..length).map(core::str::from_utf8) {
                        Some(Ok(text)) => device.execute(text),
                        Some(Err(_)) => device.line(format_args!("e-[The command is not text]")),
                        None => device.line(format_args!(
                            "e-[The command has more than {COMMAND_BYTES} bytes]"
                        )),
                    }
                    device.line(format_args!("m-ready"));
                    length = 0;
                }
                // A terminal's ends of lines, which the runner does not send.
                b'\r' | b'\n' => {}
                byte => {
                    if let Some(place) = command.get_mut(length) {
                        *place = byte;
                    }
                    // One past the end marks a command that is too long.
                    length = (length + 1).min(COMMAND_BYTES + 1);
                }
            }
        }
    })
}

/// The benchmark's input, as it was loaded.
struct Input {
    buffer: &'static mut [u8; INPUT_BYTES],
    /// Bytes that `db load` announced.
    expected: usize,
    /// Bytes so far.
    filled: usize,
}

/// The output's encoding.
#[derive(Clone, Copy, Default)]
struct Scale {
    scale: f32,
    zero_point: i8,
}

impl Scale {
    fn of(port: Option<PortInfo>) -> Self {
        port.map_or_else(Self::default, |port| Self {
            scale: f32::from_bits(port.scale_bits),
            zero_point: port.zero_point,
        })
    }

    /// The real number as thousandths, rounded half away from zero.
    fn thousandths(self, value: i8) -> i32 {
        let steps = i16::from(value) - i16::from(self.zero_point);
        let scaled = self.scale * f32::from(steps) * 1000.0;
        let half = if scaled < 0.0 { -0.5 } else { 0.5 };
        // Truncates towards zero, and saturates.
        (scaled + half) as i32
    }
}

/// A number of thousandths as the runner reads it.
struct Decimal(i32);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:03}", size / 1000, size % 1000)
    }
}

struct Device<'m, 'a, C, S, L, T> {
    board: Board<C, S, L, T>,
    engine: ModelEngine<'m, 'a>,
    input: Input,
    /// The counter when the firmware started.
    start: u64,
    scale: Scale,
}

impl<C: Counter, S: Read + Write, L: OutputPin, T: OutputPin> Device<'_, '_, C, S, L, T> {
    /// Sends text. Text that the line does not accept is lost: the runner repeats its command.
    fn text(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.board.serial.write_fmt(text);
        let _ = self.board.serial.flush();
    }

    /// Sends a line.
    fn line(&mut self, text: fmt::Arguments<'_>) {
        self.text(format_args!("{text}\r\n"));
    }

    fn execute(&mut self, command: &str) {
        let mut words = command.split_ascii_whitespace();
        match words.next() {
            Some("name") => self.line(format_args!("m-name-dut-[{BOARD_NAME}]")),
            Some("timestamp") => self.timestamp(),
            Some("profile") => {
                self.line(format_args!("m-profile-[{PROFILE}]"));
                self.line(format_args!("m-model-[{MLPERF_MODEL}]"));
            }
            Some("help") => {
                for line in [
                    PROFILE,
                    "",
                    "help: this text",
                    "name: the board",
                    "profile: the firmware and the model",
                    "timestamp: microseconds since the start",
                    "db load N: an input of N bytes follows",
                    "db HH...: its bytes, as hexadecimal digits",
                    "db print [N [OFFSET]]: the bytes that have come",
                    "infer N [W]: N inferences after W that are not timed",
                    "results: the last output",
                ] {
                    self.line(format_args!("{line}"));
                }
            }
            Some("db") => self.buffer(words),
            Some("infer") => {
                // The benchmark's own defaults.
                let inferences = words.next().map_or(Some(1), |word| word.parse().ok());
                let warmups = words.next().map_or(Some(10), |word| word.parse().ok());
                match (inferences, warmups) {
                    (Some(0) | None, _) => {
                        self.line(format_args!("e-[Inference iterations must be >0]"));
                    }
                    (_, None) => self.line(format_args!("e-[Inference warmup must be >=0]")),
                    (Some(inferences), Some(warmups)) => self.infer(inferences, warmups),
                }
            }
            Some("results") => self.results(),
            Some(other) => self.line(format_args!("e-[Unknown command: {other}]")),
            None => {}
        }
    }

    /// The commands that begin with `db`.
    fn buffer<'w>(&mut self, mut words: impl Iterator<Item = &'w str>) {
        match words.next() {
            None => self.line(format_args!("e-[Command 'db' requires a subcommand]")),
            Some("load") => match words.next().map(str::parse::<usize>) {
                Some(Ok(bytes)) if (1..=INPUT_BYTES).contains(&bytes) => {
                    (self.input.expected, self.input.filled) = (bytes, 0);
                    self.line(format_args!("m-[Expecting {bytes} bytes]"));
                }
                _ => self.line(format_args!(
                    "e-[Command 'db load' takes 1 to {INPUT_BYTES} bytes]"
                )),
            },
            Some("print") => {
                let mut number = |or: usize| match words.next() {
                    Some(word) => word.parse().unwrap_or(0),
                    None => or,
                };
                let filled = self.input.filled;
                let (count, offset) = (number(filled), number(0).min(filled));
                let end = offset.saturating_add(count).min(filled);
                for at in offset..end {
                    let before = match (at - offset) % PRINTED {
                        0 if at == offset => "m-buffer-",
                        0 => "\r\nm-buffer-",
                        _ => "-",
                    };
                    let byte = self.input.buffer[at];
                    self.text(format_args!("{before}{byte:02x}"));
                }
                if offset < end {
                    self.line(format_args!(""));
                }
            }
            Some(digits) => self.load(digits),
        }
    }

    /// Takes bytes of the input.
    fn load(&mut self, digits: &str) {
        if !digits.len().is_multiple_of(2) {
            return self.line(format_args!("e-[Insufficient number of hex digits]"));
        }
        for pair in digits.as_bytes().chunks_exact(2) {
            let Some(byte) = hexadecimal(pair) else {
                return self.line(format_args!("e-[Invalid hex digits]"));
            };
            let input = &mut self.input;
            if input.filled == input.expected {
                // What is too much is passed over, as the benchmark's own firmware does.
                return;
            }
            if let Some(place) = input.buffer.get_mut(input.filled) {
                *place = byte;
            }
            input.filled += 1;
            if input.filled == input.expected {
                return self.line(format_args!("m-load-done"));
            }
        }
    }

    fn infer(&mut self, inferences: u32, warmups: u32) {
        if self.input.filled != INPUT_BYTES {
            let filled = self.input.filled;
            return self.line(format_args!(
                "e-[The input has {filled} of {INPUT_BYTES} bytes]"
            ));
        }
        self.line(format_args!("m-warmup-start-{warmups}"));
        for _ in 0..warmups {
            self.inference();
        }
        self.line(format_args!("m-warmup-done"));
        self.line(format_args!("m-infer-start-{inferences}"));
        self.timestamp();
        for _ in 0..inferences {
            self.inference();
        }
        self.timestamp();
        self.line(format_args!("m-infer-done"));
        self.results();
    }

    /// One inference, from the benchmark's bytes on: inputs share the arena and do not outlive a run.
    fn inference(&mut self) {
        let Self {
            board,
            engine,
            input,
            ..
        } = self;
        board.measured(|| {
            let places = engine.input_mut(0).iter_mut();
            for (place, byte) in places.zip(input.buffer.iter()) {
                *place = INPUT_TABLE[usize::from(*byte)].cast_signed();
            }
            engine.run();
        });
    }

    fn results(&mut self) {
        self.text(format_args!("m-results-["));
        for index in 0..self.engine.output(0).len() {
            let separator = if index == 0 { "" } else { "," };
            let real = Decimal(self.scale.thousandths(self.engine.output(0)[index]));
            self.text(format_args!("{separator}{real}"));
        }
        self.line(format_args!("]"));
    }

    fn timestamp(&mut self) {
        let counter = &mut self.board.counter;
        let cost = counter.cost_since(self.start);
        let microseconds = counter.unit().microseconds(cost);
        self.line(format_args!("m-lap-us-{microseconds}"));
    }
}

/// The byte of two hexadecimal digits.
fn hexadecimal(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}
