//! Output of commands, also if nothing reads it.

use anyhow::Context;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints text and a line break on standard output, at once.
///
/// A reader that closed the pipe, such as `head`, is not an error.
///
/// # Errors
/// If the text cannot be written for another reason, such as a full disk.
pub fn show(text: &str) -> anyhow::Result<()> {
    print(&mut stdout().lock(), text).context("cannot write to standard output")
}

fn print(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints an error on standard error.
pub fn show_error(error: &anyhow::Error) {
    note(&format!("error: {}", error_text(error)));
}

/// An error with its causes; see [`fewbit::error_text`].
pub fn error_text(error: &anyhow::Error) -> String {
    fewbit::error_text(&**error)
}

/// Prints help, or the error in the command line, and returns the exit code.
pub fn show_usage(message: &clap::Error) -> u8 {
    match (message.print(), message.exit_code()) {
        (Err(error), 0) if error.kind() != ErrorKind::BrokenPipe => {
            show_error(&anyhow::Error::new(error).context("cannot write to standard output"));
            1
        }
        (_, 0) => 0,
        _ => 2,
    }
}

/// Prints a note on standard error.
pub fn note(text: &str) {
    // There is no other place to say that this one cannot be written to; the exit code tells.
    let _ = writeln!(stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn only_a_reader_that_went_away_is_no_error() {
        print(&mut Failing(ErrorKind::BrokenPipe), "text").expect("quiet");
        let full = print(&mut Failing(ErrorKind::StorageFull), "text").expect_err("full");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let mut out = Vec::new();
        print(&mut out, "text").expect("prints");
        assert_eq!(out, b"text\n");
    }
    #[test]
    fn a_cause_is_said_once() {
        let cause = anyhow::anyhow!("no such file\n");
        let error = cause.context("cannot read a: no such file").context("b");
        assert_eq!(error_text(&error), "b: cannot read a: no such file");
        let error = anyhow::anyhow!("no such file").context("cannot read a");
        assert_eq!(error_text(&error), "cannot read a: no such file");
    }
}
