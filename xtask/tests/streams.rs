//! Tasks whose output cannot be written: a closed pipe, a full disk.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// Tasks that print at once, and whether they succeed.
const TASKS: [(&[&str], i32); 4] = [
    (&["--help"], 0),
    (&["boards"], 0),
    (&["ci", "--only", "no check is called so"], 1),
    (&["no-such-task"], 2),
];

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn a_closed_pipe_ends_quietly_with_the_usual_code() {
    for (arguments, code) in TASKS {
        let mut child = xtask(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        drop(child.stdout.take());
        let mut message = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut message).expect("reads");
        let status = child.wait().expect("ends");
        assert_eq!(status.code(), Some(code), "{arguments:?}: {message}");
        assert_eq!(message.is_empty(), code == 0, "{arguments:?}: {message}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    for (arguments, code) in TASKS {
        let output = xtask(arguments)
            .stdout(full.try_clone().expect("opens"))
            .output()
            .expect("starts");
        let message = String::from_utf8(output.stderr).expect("text");
        assert_eq!(
            output.status.code(),
            Some(code.max(1)),
            "{arguments:?}: {message}"
        );
        if code == 0 {
            assert!(message.contains("standard output"), "{message}");
        }

        // What goes to standard error is lost then, the exit code is not.
        let output = xtask(arguments)
            .stderr(full.try_clone().expect("opens"))
            .output()
            .expect("starts");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}
