//! `cargo xtask fuzz --coverage`: lines of the readers that inputs reach.
//!
//! The same command, built with the compiler's counters; LLVM's own tools of the same toolchain read them, as only these know the
//! format that the compiler writes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit_cli::table;
use serde::Deserialize;

use super::program::{PROGRAM, executable};
use crate::{
    cargo::{LIMIT, cargo},
    root,
};
use fewbit_device::{process, toolchain};

/// Folders that read input, each with the description of all of it.
const READERS: [&str; 7] = [
    "runtime/src/format",
    "runtime/src/load",
    "runtime/src/kernels",
    "host/src/import",
    "host/src/dataset",
    "host/src/recipe",
    "boards/protocol/src",
];

/// LLVM's report on the lines of a program, as far as it is needed here.
#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn plus(self, other: Lines) -> Lines {
        Lines {
            count: self.count + other.count,
            covered: self.covered + other.covered,
        }
    }

    fn percent(self) -> f64 {
        100.0 * self.covered as f64 / self.count.max(1) as f64
    }
}

/// Path of the counters, and the program that writes them.
pub(super) struct Counters {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Counters {
    /// Builds the command with counters, in a folder of its own.
    ///
    /// # Errors
    ///
    /// If it does not build.
    pub(super) fn build() -> Result<Counters> {
        // Before minutes are spent.
        tool("llvm-profdata")?;
        tool("llvm-cov")?;
        let mut cargo = cargo();
        cargo
            .args(["build", "--quiet", "--locked", "--package", PROGRAM])
            // With a target named, programs that run while building are left without counters.
            .args([
                "--target",
                toolchain::HOST,
                "--target-dir",
                "target/coverage",
            ])
            .args(["--message-format", "json-render-diagnostics"])
            .env("RUSTFLAGS", "-C instrument-coverage");
        let messages = process::output(&mut cargo, LIMIT)?;
        Ok(Counters {
            program: executable(&messages)
                .with_context(|| format!("cargo names no program {PROGRAM}"))?,
            folder: tempfile::tempdir().context("cannot create a temporary folder")?,
        })
    }

    /// The command, which is to be given its arguments.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // One file for each process.
        command.env("LLVM_PROFILE_FILE", self.folder.path().join("%p.profraw"));
        command
    }

    /// Prints what was come to.
    ///
    /// # Errors
    ///
    /// If a tool fails.
    pub(super) fn show(&self) -> Result<()> {
        let merged = self.folder.path().join("all.profdata");
        let entries = fs::read_dir(self.folder.path()).context("cannot read the counters")?;
        let raw: Vec<PathBuf> = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        let mut merge = Command::new(tool("llvm-profdata")?);
        merge
            .args(["merge", "--sparse", "--failure-mode=all", "--output"])
            .arg(&merged)
            .args(&raw);
        process::run(&mut merge, LIMIT)?;
        let mut export = Command::new(tool("llvm-cov")?);
        export
            .args(["export", "--summary-only", "--instr-profile"])
            .arg(&merged)
            .arg(&self.program);
        let text = process::output(&mut export, LIMIT)?;
        say!("{}", shown(&text, root())?)
    }
}

/// A table of files, with a line for each folder in front of its own.
fn shown(text: &str, repository: &Path) -> Result<String> {
    let export: Export = serde_json::from_str(text).context("what llvm-cov says")?;
    let files = export.data.iter().flat_map(|data| &data.files);
    let mut files: Vec<(&Path, Lines)> = files
        .filter_map(|file| {
            let path = file.filename.strip_prefix(repository).ok()?;
            Some((path, file.summary.lines))
        })
        .collect();
    files.sort_by_key(|(path, _)| path.to_owned());
    let mut rows = table(&["", "lines", "come to", "%"]);
    for reader in READERS {
        let own: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with(reader))
            .collect();
        let all = own
            .iter()
            .fold(Lines::default(), |sum, (_, lines)| sum.plus(*lines));
        if all.count == 0 {
            bail!("no line of {reader} has a counter");
        }
        let mut row = |name: &Path, lines: Lines| {
            rows.add_row([
                name.display().to_string(),
                lines.count.to_string(),
                lines.covered.to_string(),
                format!("{:.1}", lines.percent()),
            ]);
        };
        row(Path::new(reader), all);
        for (path, lines) in own {
            row(path, *lines);
        }
    }
    Ok(rows.to_string())
}

/// A tool of the toolchain's component `llvm-tools`.
fn tool(name: &str) -> Result<PathBuf> {
    toolchain::llvm_tool(name).with_context(|| {
        format!("{name} is missing, which counts lines; install it with: rustup component add llvm-tools")
    })
}

/// Time for a campaign with counters, which take their time too.
pub(super) fn limit(limit: Duration) -> Duration {
    limit.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_summed_up_and_other_files_left_out() {
        let file = |name: &str, count: u32, covered: u32| {
            format!(
                r#"{{"filename":"{name}","summary":{{"lines":{{"count":{count},"covered":{covered}}}}}}}"#
            )
        };
        let mut files: Vec<String> = READERS[1..]
            .iter()
            .map(|reader| file(&format!("/r/{reader}/mod.rs"), 5, 5))
            .collect();
        files.push(file("/r/runtime/src/format/b.rs", 30, 10));
        files.push(file("/r/runtime/src/format/a.rs", 10, 10));
        files.push(file("/elsewhere/runtime/src/format/c.rs", 7, 7));
        let export =
            |files: &[String]| format!(r#"{{"data":[{{"files":[{}]}}]}}"#, files.join(","));
        let found = shown(&export(&files), Path::new("/r")).expect("a table");
        let row = |name: &str| {
            let line = found.lines().find(|line| line.contains(name));
            let line = line.unwrap_or_else(|| panic!("no {name} in:\n{found}"));
            line.split('|')
                .map(str::trim)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(row("runtime/src/format ")[2..5], ["40", "20", "50.0"]);
        assert_eq!(row("format/b.rs")[2..5], ["30", "10", "33.3"]);
        assert!(!found.contains("c.rs"), "{found}");
        // A reader whose lines are not counted is not passed over.
        shown(&export(&files[..5]), Path::new("/r")).expect_err("no format");
        shown("{}", Path::new("/r")).expect_err("no data");
    }
}
