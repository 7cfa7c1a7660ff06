//! MLPerf Tiny's device interface.
//!
//! The benchmark's runner drives the firmware by text over the UART. Commands end with `%`, answers are lines, and `m-ready` ends each. Bytes of an input are the benchmark's; a table
//! that the host has made turns each into the model's encoding. `docs/mlperf-tiny.md` lists what is understood.

use core::fmt;

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use fewbit_protocol::message::Unit;
use fewbit_runtime::PortInfo;
use static_cell::ConstStaticCell;

use crate::{
    BOARD_NAME,
    app::{ModelEngine, RunError, with_engine},
    board::Board,
    counter::Counter,
    model::{INPUT_BYTES, INPUT_TABLE, MLPERF_MODEL},
};

/// Longest command, as the benchmark's own firmware has it.
const COMMAND_BYTES: usize = 80;

/// What the runner expects of every firmware to its `profile`.
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
    with_engine(|engine| {
        let start = board.counter.now();
        let mut device = Device {
            engine,
            input: Input {
                buffer,
                expected: 0,
                filled: 0,
            },
            start,
            scale: Scale::default(),
        };
        device.scale = Scale::of(device.engine.model().output(0));
        device.greet(&mut board);
        let mut command = [0; COMMAND_BYTES];
        let mut length = 0;
        loop {
            let mut byte = [0];
            match board.serial.read(&mut byte) {
                Ok(0) => return Err(RunError::LineEnded),
                Ok(_) => {}
                Err(_) => continue,
            }
            match byte[0] {
                b'%' => {
                    let text = command.get(..length).map(core::str::from_utf8);
                    match text {
                        Some(Ok(text)) => device.execute(text, &mut board),
                        Some(Err(_)) => board.line(format_args!("e-[The command is not text]")),
                        None => board.line(format_args!(
                            "e-[The command has more than {COMMAND_BYTES} bytes]"
                        )),
                    }
                    board.line(format_args!("m-ready"));
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

impl<C: Counter, S: Read + Write, L: OutputPin, T: OutputPin> Board<C, S, L, T> {
    /// Sends text. A line that does not take it loses it: the runner asks again.
    fn text(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.serial.write_fmt(text);
        let _ = self.serial.flush();
    }

    /// Sends a line.
    fn line(&mut self, text: fmt::Arguments<'_>) {
        self.text(format_args!("{text}\r\n"));
    }
}

/// The benchmark's input, as it was loaded.
struct Input {
    buffer: &'static mut [u8; INPUT_BYTES],
    /// What `db load` announced.
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

struct Device<'m, 'a> {
    engine: ModelEngine<'m, 'a>,
    input: Input,
    /// The counter when the firmware started.
    start: u64,
    scale: Scale,
}

impl Device<'_, '_> {
    fn greet(
        &mut self,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        board.line(format_args!("m-timestamp-mode-performance"));
        board.line(format_args!("m-init-done"));
        board.line(format_args!("m-ready"));
    }

    fn execute(
        &mut self,
        command: &str,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        let mut words = command.split_ascii_whitespace();
        match words.next() {
            Some("name") => board.line(format_args!("m-name-dut-[{BOARD_NAME}]")),
            Some("timestamp") => self.timestamp(board),
            Some("profile") => {
                board.line(format_args!("m-profile-[{PROFILE}]"));
                board.line(format_args!("m-model-[{MLPERF_MODEL}]"));
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
                    board.line(format_args!("{line}"));
                }
            }
            Some("db") => self.buffer(words, board),
            Some("infer") => {
                // The benchmark's own defaults.
                let inferences = words.next().map_or(Some(1), |word| word.parse().ok());
                let warmups = words.next().map_or(Some(10), |word| word.parse().ok());
                match (inferences, warmups) {
                    (Some(0) | None, _) => {
                        board.line(format_args!("e-[Inference iterations must be >0]"));
                    }
                    (_, None) => board.line(format_args!("e-[Inference warmup must be >=0]")),
                    (Some(inferences), Some(warmups)) => self.infer(inferences, warmups, board),
                }
            }
            Some("results") => self.results(board),
            Some(other) => board.line(format_args!("e-[Unknown command: {other}]")),
            None => {}
        }
    }

    /// The commands that begin with `db`.
    fn buffer<'w>(
        &mut self,
        mut words: impl Iterator<Item = &'w str>,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        match words.next() {
            None => board.line(format_args!("e-[Command 'db' requires a subcommand]")),
            Some("load") => match words.next().map(str::parse::<usize>) {
                Some(Ok(bytes)) if (1..=INPUT_BYTES).contains(&bytes) => {
                    (self.input.expected, self.input.filled) = (bytes, 0);
                    board.line(format_args!("m-[Expecting {bytes} bytes]"));
                }
                _ => board.line(format_args!(
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
                let bytes = self.input.buffer.get(offset..end).unwrap_or_default();
                for line in bytes.chunks(PRINTED) {
                    board.text(format_args!("m-buffer-"));
                    for (index, byte) in line.iter().enumerate() {
                        let separator = if index == 0 { "" } else { "-" };
                        board.text(format_args!("{separator}{byte:02x}"));
                    }
                    board.line(format_args!(""));
                }
            }
            Some(digits) => self.load(digits, board),
        }
    }

    /// Takes bytes of the input.
    fn load(
        &mut self,
        digits: &str,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        let input = &mut self.input;
        if !digits.len().is_multiple_of(2) {
            return board.line(format_args!("e-[Insufficient number of hex digits]"));
        }
        for pair in digits.as_bytes().chunks_exact(2) {
            let Some(byte) = hexadecimal(pair) else {
                return board.line(format_args!("e-[Invalid hex digits]"));
            };
            if input.filled == input.expected {
                // What is too much is passed over, as the benchmark's own firmware does.
                return;
            }
            if let Some(place) = input.buffer.get_mut(input.filled) {
                *place = byte;
            }
            input.filled += 1;
            if input.filled == input.expected {
                return board.line(format_args!("m-load-done"));
            }
        }
    }

    fn infer(
        &mut self,
        inferences: u32,
        warmups: u32,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        if self.input.filled != INPUT_BYTES {
            return board.line(format_args!(
                "e-[The input has {} of {INPUT_BYTES} bytes]",
                self.input.filled
            ));
        }
        board.line(format_args!("m-warmup-start-{warmups}"));
        for _ in 0..warmups {
            self.inference(board);
        }
        board.line(format_args!("m-warmup-done"));
        board.line(format_args!("m-infer-start-{inferences}"));
        self.timestamp(board);
        for _ in 0..inferences {
            self.inference(board);
        }
        self.timestamp(board);
        board.line(format_args!("m-infer-done"));
        self.results(board);
    }

    /// One inference, from the benchmark's bytes on: inputs share the arena and do not outlive a run.
    fn inference(
        &mut self,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        let Self { engine, input, .. } = self;
        board.measured(|| {
            let places = engine.input_mut(0).iter_mut();
            for (place, byte) in places.zip(input.buffer.iter()) {
                *place = INPUT_TABLE[usize::from(*byte)].cast_signed();
            }
            engine.run();
        });
    }

    fn results(
        &mut self,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        board.text(format_args!("m-results-["));
        for (index, value) in self.engine.output(0).iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let real = Decimal(self.scale.thousandths(*value));
            board.text(format_args!("{separator}{real}"));
        }
        board.line(format_args!("]"));
    }

    fn timestamp(
        &mut self,
        board: &mut Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    ) {
        let cost = board.counter.cost_since(self.start);
        let microseconds = match board.counter.unit() {
            // The emulator's: one instruction a nanosecond.
            Unit::Instructions => cost / 1000,
            Unit::Cycles { clock_hz } => cost * 1_000_000 / u64::from(clock_hz.max(1)),
            Unit::Microseconds => cost,
        };
        board.line(format_args!("m-lap-us-{microseconds}"));
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
