//! A rustc that compiles the project's own crates for a board's very core.
//!
//! `-C target-cpu` must not reach `core`, on parts of which LLVM fails for Cortex-M55, and need not reach other
//! dependencies; and cargo has no stable setting for the flags of single crates. So cargo gives every crate a mark,
//! `--cfg=fewbit_cpu="cortex-m55"` in `RUSTFLAGS`, by which it also distinguishes builds for different cores, and starts
//! this program in place of rustc (`RUSTC_WRAPPER`), which turns the mark into the flag for the crates that
//! [`CRATES`] names. [`crate::firmware`] sets all three.
//!
//! The file is a module of this crate, so that it is checked and tested, and the whole source of the program: rustc alone
//! compiles it, since a test that builds firmware has no executable of `xtask`.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{Write as _, stderr},
    process::{Command, ExitCode},
};

/// The variable that holds the names of the crates, separated by spaces.
pub const CRATES: &str = "FEWBIT_CPU_CRATES";

/// Start of the mark of a build; the core's name and a quotation mark follow.
pub const MARK: &str = "--cfg=fewbit_cpu=\"";

/// Runs the command in the program's arguments, with the flag if it compiles one of the crates.
pub fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(rustc) = arguments.next() else {
        note("this program is for cargo's RUSTC_WRAPPER: its first argument is a compiler");
        return ExitCode::FAILURE;
    };
    let arguments: Vec<OsString> = arguments.collect();
    let crates = env::var(CRATES).unwrap_or_default();
    let mut command = Command::new(&rustc);
    command.args(&arguments).args(flag(&arguments, &crates));
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        // rustc ends with 1 or 101, and a signal has no code.
        Ok(status) => ExitCode::from(status.code().map_or(1, |code| code.clamp(1, 255) as u8)),
        Err(error) => {
            note(&format!(
                "cannot start {}: {error}",
                rustc.to_string_lossy()
            ));
            ExitCode::FAILURE
        }
    }
}

/// Prints on standard error, if it can be written; this file cannot use the rest of the crate.
fn note(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// The flag for rustc called with `arguments`, if they carry the mark and compile one of `crates`.
fn flag(arguments: &[OsString], crates: &str) -> Option<String> {
    let mut name = arguments
        .iter()
        .skip_while(|argument| *argument != OsStr::new("--crate-name"));
    let name = name.nth(1)?.to_str()?;
    let cpu = arguments
        .iter()
        .find_map(|argument| argument.to_str()?.strip_prefix(MARK)?.strip_suffix('"'))?;
    crates
        .split_whitespace()
        .any(|own| own == name)
        .then(|| format!("-Ctarget-cpu={cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag_of(arguments: &str) -> Option<String> {
        let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
        flag(&arguments, "fewbit_runtime mps3_an547")
    }

    #[test]
    fn the_file_is_a_whole_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut rustc = Command::new(crate::toolchain::rustup_rustc());
        rustc
            .args([
                "--edition",
                "2024",
                "--crate-name",
                "wrapper",
                "--emit",
                "metadata",
            ])
            .arg("--out-dir")
            .arg(folder.path())
            .arg("-")
            .stdin(std::process::Stdio::piped());
        let mut child = rustc.spawn().expect("a compiler");
        let mut source = child.stdin.take().expect("piped");
        source
            .write_all(include_bytes!("cpu_wrapper.rs"))
            .expect("is read");
        drop(source);
        assert!(child.wait().expect("ends").success());
    }

    #[test]
    fn own_crates_of_a_marked_build_get_the_core() {
        let mark = "--cfg=fewbit_cpu=\"cortex-m55\"";
        assert_eq!(
            flag_of(&format!("--crate-name mps3_an547 src/main.rs {mark}")).as_deref(),
            Some("-Ctarget-cpu=cortex-m55")
        );
        assert_eq!(flag_of(&format!("--crate-name core lib.rs {mark}")), None);
        assert_eq!(flag_of(&format!("- --crate-name ___ {mark}")), None);
        assert_eq!(flag_of(&format!("-vV {mark}")), None);
        assert_eq!(
            flag_of("--crate-name fewbit_runtime src/lib.rs"),
            None,
            "a build without a mark, such as that of a build script's dependency"
        );
    }
}
