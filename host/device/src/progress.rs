//! Cargo's progress during firmware builds, as one line of a terminal.
//!
//! The first build compiles all dependencies and takes minutes. Cargo shows its progress only beside one line per
//! package; here only the bar is shown, and what a user must read: warnings and errors.

use std::{
    env,
    io::{IsTerminal as _, Read, Write, stderr},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// Clears the terminal's line, and goes to its start.
const CLEAR: &str = "\r\x1b[K";

/// Columns of the bar, if the terminal does not report its width.
const COLUMNS: u16 = 80;

/// Columns in which the word of a step ends.
const STEP_COLUMNS: usize = 12;

/// Words of cargo's own steps, one per line: the bar shows them too.
const STEPS: [&str; 10] = [
    "Adding",
    "Blocking",
    "Building",
    "Compiling",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Locking",
    "Updating",
];

/// Runs a build of cargo's, with its bar on a terminal and quietly otherwise.
///
/// # Errors
///
/// As [`process::run`].
pub(crate) fn run(cargo: &mut Command, limit: Duration) -> Result<()> {
    let shown = process::shown(cargo);
    let unwanted = ["never", "false"];
    let bar = stderr().is_terminal()
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
        && env::var("CARGO_TERM_PROGRESS_WHEN").map_or(true, |when| !unwanted.contains(&&*when))
        && env::var_os("CARGO_TERM_QUIET").is_none();
    if !bar {
        return process::run(cargo.arg("--quiet"), limit);
    }
    let columns = env::var("COLUMNS").ok();
    let columns = columns.and_then(|columns| columns.parse().ok());
    cargo
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env(
            "CARGO_TERM_PROGRESS_WIDTH",
            columns.unwrap_or(COLUMNS).to_string(),
        )
        // Of errors, too: cargo does not see the terminal.
        .env("CARGO_TERM_COLOR", "always");
    let mut child = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let pipe = child
        .stderr
        .take()
        .context("the child's errors are not piped")?;
    let reader = thread::spawn(move || pass_on(pipe, &mut stderr()));
    let status = process::wait(&mut child, limit).with_context(|| format!("`{shown}`"));
    // Ends with the pipe; what the terminal does not take is no failure of the build.
    let _ = reader.join();
    let status = status?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Forwards what cargo writes, its bar in one line that disappears at the end, and drops its steps.
fn pass_on(mut cargo: impl Read, terminal: &mut impl Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    let mut written = Ok(());
    loop {
        let length = cargo.read(&mut chunk)?;
        for &byte in &chunk[..length] {
            if byte == b'\r' || byte == b'\n' {
                // Read to its end even where nothing can be written, or cargo would wait.
                written = written.and_then(|()| {
                    let text = String::from_utf8_lossy(&line);
                    write(&text, byte == b'\n', terminal)
                });
                line.clear();
            } else {
                line.push(byte);
            }
        }
        if length == 0 {
            written?;
            let text = String::from_utf8_lossy(&line);
            let rest = without_colours(&text);
            if !rest.trim().is_empty() && !is_step(&rest) {
                write!(terminal, "{CLEAR}{text}")?;
            } else {
                write!(terminal, "{CLEAR}")?;
            }
            return terminal.flush();
        }
    }
}

/// Writes a line of cargo's, or its bar, which ends with no line break.
fn write(text: &str, is_line: bool, terminal: &mut impl Write) -> std::io::Result<()> {
    let plain = without_colours(text);
    if is_line {
        if !is_step(&plain) {
            // What was cleared in front of it is the bar.
            writeln!(terminal, "{CLEAR}{}", text.trim_start_matches("\x1b[K"))?;
        }
    } else if !plain.trim().is_empty() {
        write!(terminal, "{CLEAR}{}", plain.trim_end())?;
    }
    terminal.flush()
}

/// Whether a line reports a step of cargo without a problem: its word ends in a column of its own.
fn is_step(plain: &str) -> bool {
    let Some((word, rest)) = plain.split_at_checked(STEP_COLUMNS) else {
        return false;
    };
    STEPS.contains(&word.trim_start()) && rest.starts_with(' ')
}

/// The text without the sequences that colour it or clear its line.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic());
        plain.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cargo: &str) -> String {
        let mut terminal = Vec::new();
        pass_on(cargo.as_bytes(), &mut terminal).expect("written");
        String::from_utf8(terminal).expect("text")
    }

    #[test]
    fn a_bar_stays_in_one_line_and_goes_away() {
        let cargo = "\x1b[1m\x1b[92m   Compiling\x1b[0m a v1.0.0\n\
                     \x1b[K\x1b[1m\x1b[96m    Building\x1b[0m [=>  ] 1/9: b\r\
                     \x1b[K\x1b[1m\x1b[92m   Compiling\x1b[0m b v1.0.0\n\
                     \x1b[1m\x1b[96m    Building\x1b[0m [==> ] 2/9: c\r\
                     \x1b[K\x1b[1m\x1b[92m    Finished\x1b[0m in 1 s\n";
        let expected =
            format!("{CLEAR}    Building [=>  ] 1/9: b{CLEAR}    Building [==> ] 2/9: c{CLEAR}");
        assert_eq!(shown(cargo), expected);
    }

    #[test]
    fn errors_are_passed_on_as_they_are() {
        let error = "\x1b[1m\x1b[91merror\x1b[0m: no\n  --> Compiling.rs\n\n  Updating is 3\n";
        let expected = format!(
            "{CLEAR}\x1b[1m\x1b[91merror\x1b[0m: no\n{CLEAR}  --> Compiling.rs\n{CLEAR}\n{CLEAR}  Updating is 3\n{CLEAR}"
        );
        assert_eq!(shown(error), expected);
        let cut = format!("{CLEAR}error: cut off");
        assert_eq!(shown("error: cut off"), cut);
    }
}
