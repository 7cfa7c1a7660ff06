//! What commands print, and what happens where no one reads it.

use anyhow::Context;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints text and a line break on standard output, at once.
///
/// A reader that went away, such as `head`, has read what it wanted: that is no error.
///
/// # Errors
/// Whatever else keeps the text from being written, such as a full disk.
pub fn show(text: &str) -> anyhow::Result<()> {
    print(&mut stdout().lock(), text).context("cannot write to standard output")
}

fn print(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Says on standard error what went wrong.
pub fn show_error(error: &anyhow::Error) {
    // There is no other place to say that this one cannot be written to; the exit code tells.
    let _ = writeln!(stderr(), "error: {error:#}");
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
}
