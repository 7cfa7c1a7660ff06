//! The `fewbit` command in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of its own for each test, and the command run in it.
pub(crate) struct Session(tempfile::TempDir);

impl Session {
    pub(crate) fn new() -> Self {
        Session(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fewbit"));
        command.args(args).current_dir(self.0.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command starts")
    }

    /// Runs a command that has to fail with `code`, without a trace and with all files left as they are, and returns its message.
    #[track_caller]
    pub(crate) fn fail(&self, args: &[&str], code: i32) -> String {
        let before = self.files();
        let output = self.run(args);
        let message = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(!message.contains("panicked"), "{args:?}: {message}");
        assert!(self.files() == before, "{args:?} changed files");
        let cause = message.trim_end().rsplit(": ").next().unwrap_or_default();
        assert!(
            cause.len() < 12 || message.matches(cause).count() == 1,
            "{args:?} repeats its cause: {message}"
        );
        message
    }

    /// Names and contents of all files; of folders the name.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| {
                let content = if path.is_file() {
                    fs::read(&path).expect("reads")
                } else {
                    Vec::new()
                };
                (path, content)
            })
            .collect();
        files.sort();
        files
    }
}

/// Options that make `quantize` fast: for tests that do not depend on the quality of its result.
#[allow(dead_code, reason = "not every suite quantizes")]
pub(crate) const QUICK: [&str; 6] = [
    "--rounding",
    "nearest",
    "--equalize",
    "off",
    "--bias-correction",
    "off",
];

/// A file of the built-in digits network.
#[allow(dead_code, reason = "not every suite reads it")]
pub(crate) fn digits(name: &str) -> PathBuf {
    // Sessions have folders of their own, and this one is the package's.
    let folder = std::path::absolute("../models/digits").expect("a current folder");
    folder.join(name)
}
