//! Runs firmware in QEMU, and reads its log.
//!
//! `-icount shift=0` makes one executed instruction one nanosecond of virtual time: counts are exact and the same on
//! every host. The firmware's log is defmt over semihosting, which arrives on QEMU's standard output and is decoded
//! with the strings in the ELF file.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use defmt_decoder::{DecodeError, Table};

use crate::{board::Board, process, setup};

/// One decoded message of the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Level in lower case; none for the messages that report results.
    pub level: Option<&'static str>,
    /// The message.
    pub text: String,
}

/// Run of a firmware until its end.
#[derive(Debug)]
pub struct Run {
    /// Messages in order.
    pub lines: Vec<Line>,
    /// Whether it ended with exit code 0.
    pub success: bool,
}

/// Runs `elf` on the emulated `board` until the firmware ends itself.
///
/// `folder` is the emulator's working directory, against which the firmware opens files; `on_line` sees every message as
/// it comes, from another thread.
///
/// # Errors
///
/// If the board is not an emulated one, QEMU cannot be found, started or does not end in `limit`, or the log cannot be
/// decoded. A firmware that ends with a failure is not an error here: see [`Run::success`].
pub fn run(
    board: &Board,
    elf: &Path,
    folder: &Path,
    limit: Duration,
    on_line: &(dyn Fn(&Line) + Sync),
) -> Result<Run> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let table = Table::parse(&bytes)
        .with_context(|| format!("{} has a broken defmt table", elf.display()))?
        .with_context(|| format!("{} has no defmt table", elf.display()))?;

    let mut command = command(board, elf, "none", "none")?;
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let shown = process::shown(&command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    // Both pipes are read in threads, so that the child never waits for a full pipe.
    let (log, complaints) = (child.stdout.take(), child.stderr.take());
    let (status, lines, complaints) = thread::scope(|scope| {
        let log = scope.spawn(|| decode(&table, log, on_line));
        let complaints = scope.spawn(|| read_all(complaints));
        let status = process::wait(&mut child, limit);
        let lines = log
            .join()
            .unwrap_or_else(|_| bail!("the decoder of the log failed"));
        (status, lines, complaints.join().unwrap_or_default())
    });
    let complaints = String::from_utf8_lossy(&complaints);

    let status = status.with_context(|| match &lines {
        Ok(lines) => format!("{} in QEMU, {}", board.name, last_words(lines, &complaints)),
        Err(error) => format!("{} in QEMU ({})", board.name, fewbit::error_text(&**error)),
    })?;
    let lines = lines.with_context(|| format!("the log of {} ({status})", board.name))?;
    if lines.is_empty() && !status.success() {
        bail!(
            "{} did not start in QEMU ({status}): {}",
            board.name,
            complaints.trim()
        );
    }
    Ok(Run {
        lines,
        success: ExitStatus::success(&status),
    })
}

/// QEMU for `board` and `elf`, with its monitor and its first UART connected as the arguments say.
///
/// # Errors
///
/// If the board is not an emulated one, or QEMU cannot be found and cannot be installed.
pub fn command(board: &Board, elf: &Path, monitor: &str, serial: &str) -> Result<Command> {
    let Some(emulation) = &board.qemu else {
        bail!(
            "{} is a real board and not emulated here: flash it, then verify it with --port",
            board.name
        );
    };
    let mut command = Command::new(setup::ensure_qemu(board.emulator())?);
    command
        .args(["-machine", &emulation.machine])
        .args(&emulation.arguments)
        .args(["-icount", "shift=0"])
        .args(["-display", "none", "-monitor", monitor, "-serial", serial])
        .args(["-semihosting-config", "enable=on,target=native"])
        .arg("-kernel")
        .arg(elf);
    Ok(command)
}

/// Reads a pipe to its end.
fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What came before an error of the pipe is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// Decodes a log as it arrives.
pub fn decode(
    table: &Table,
    log: Option<impl Read>,
    on_line: &(dyn Fn(&Line) + Sync),
) -> Result<Vec<Line>> {
    let mut log = log.context("the output of QEMU is not piped")?;
    let mut decoder = table.new_stream_decoder();
    let mut lines = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = log.read(&mut chunk).context("cannot read the log")?;
        if length == 0 {
            // The end, or the rest of a message that the end cut off.
            return Ok(lines);
        }
        decoder.received(&chunk[..length]);
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    let line = Line {
                        level: frame.level().map(|level| level.as_str()),
                        text: frame.display_message().to_string(),
                    };
                    on_line(&line);
                    lines.push(line);
                }
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => {
                    // The rest is read all the same: a full pipe would stop the child.
                    read_all(Some(&mut log));
                    bail!(
                        "message {} of the log is malformed; does anything else write to its stream?",
                        lines.len()
                    )
                }
            }
        }
    }
}

/// The end of a log, for the message about a run that did not end.
fn last_words(lines: &[Line], complaints: &str) -> String {
    let last = lines
        .last()
        .map_or("no message from the firmware", |line| line.text.as_str());
    let mut last: String = last.chars().take(200).collect();
    if !complaints.trim().is_empty() {
        last = format!("{last}; QEMU: {}", complaints.trim());
    }
    format!("last message: {last}")
}
