//! `cargo xtask bounds`: no panic, no recursion, a bound of the stack.
//!
//! The smallest firmware is linked for a board of each kind of core, once with the kernels of every operator and once with
//! those of the keyword network alone, and its machine code is followed from the entry (`fewbit_device::bounds`).

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use fewbit_cli::{table, write_json};
use fewbit_device::{
    board::Board,
    bounds::{graph::Bounds, of_elf},
    elf, firmware, sample,
};
use fewbit_tests::networks::{Net, Network};
use serde::Serialize;

use crate::repository;

/// A board for each kind of core: Cortex-M0, M3, M4, M55 and RISC-V.
const CORES: [&str; 5] = [
    "microbit",
    "mps2-an385",
    "mps2-an386",
    "mps3-an547",
    "riscv-virt",
];

/// In the name of some function of the runtime's, so that a file without symbols shows.
const PART: &str = "fewbit_runtime";

/// Arguments of `cargo xtask bounds`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Folder of `boards/` to build for; without one, a board of each kind of core.
    #[arg(long)]
    board: Option<String>,
    /// Look at this firmware of the board's instead of building any.
    #[arg(long, value_name = "FILE", requires = "board")]
    elf: Option<PathBuf>,
    /// Leave out ways into a panic, which the shared application has: the stack's bound holds until then.
    #[arg(long, requires = "elf")]
    until_a_panic: bool,
    /// Write the figures as JSON, a row for each firmware.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A firmware and the results about its call graph; the keys are an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The board.
    pub board: String,
    /// Rust's name of its kind of core.
    pub target: String,
    /// `every operator`, `kws`, or `given` where it was not built here.
    pub firmware: &'static str,
    /// Functions of a panic's anywhere in the file, reached or not.
    pub panic_symbols: Vec<String>,
    /// Results about its call graph.
    #[serde(flatten)]
    pub bounds: Bounds,
}

impl Row {
    /// Violations, empty if there are none; panics, and functions that only they call, count unless the bound must only hold
    /// until one.
    pub fn problems(&self, until_a_panic: bool) -> Vec<String> {
        let Bounds {
            panics,
            recursion,
            unbounded,
            unreached,
            ..
        } = &self.bounds;
        let mut problems = Vec::new();
        if !until_a_panic && !unreached.is_empty() {
            // The linker has kept them for a call that was not seen; nothing that is said here would hold.
            let names = unreached.join(", ");
            problems.push(format!("nothing is seen to call these: {names}"));
        }
        if !until_a_panic && !panics.is_empty() {
            problems.push(format!("it can panic by {}", panics.join(", ")));
        }
        if !until_a_panic && !self.panic_symbols.is_empty() {
            let symbols = self.panic_symbols.join(", ");
            problems.push(format!("functions of panics are linked: {symbols}"));
        }
        for circle in recursion {
            problems.push(format!("functions call each other: {}", circle.join(", ")));
        }
        problems.extend(unbounded.iter().cloned());
        if problems.is_empty() && self.bounds.stack_bytes.is_none() {
            problems.push("its stack has no bound".to_owned());
        }
        problems
    }
}

/// Shows all rows, and writes them.
///
/// # Errors
///
/// If a firmware does not build, or does not keep what it must.
pub fn task(args: &Args) -> Result<()> {
    let boards: Vec<&str> = match &args.board {
        Some(name) => vec![name],
        None => CORES.to_vec(),
    };
    let rows = match &args.elf {
        Some(path) => {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let board = Board::load(repository(), args.board.as_deref().unwrap_or_default())?;
            let ends = |name: &str| args.until_a_panic && elf::can_panic(name);
            vec![row(&board, "given", &bytes, &ends)?]
        }
        None => rows(&boards)?,
    };
    show(&rows)?;
    if let Some(path) = &args.json {
        write_json(Some(path), &rows)?;
    }
    judge(&rows, args.until_a_panic)
}

/// The same for CI, which looks at every kind of core.
///
/// # Errors
///
/// As [`task`].
pub fn check() -> Result<()> {
    let rows = rows(&CORES)?;
    show(&rows)?;
    judge(&rows, false)
}

fn judge(rows: &[Row], until_a_panic: bool) -> Result<()> {
    let mut problems = Vec::new();
    for row in rows {
        let found = row.problems(until_a_panic);
        problems.extend(
            found
                .iter()
                .map(|problem| format!("{}, {}: {problem}", row.board, row.firmware)),
        );
    }
    if !problems.is_empty() {
        bail!(
            "firmware is not proven to run as it must:\n{}",
            problems.join("\n")
        );
    }
    let deepest = rows.iter().filter_map(|row| row.bounds.stack_bytes).max();
    say!(
        "{} firmwares: no panic and no recursion, at most {} bytes of stack",
        rows.len(),
        deepest.unwrap_or_default()
    )
}

/// Builds and analyses the smallest firmware of these boards.
///
/// # Errors
///
/// If one does not build, or its ELF file cannot be read.
pub fn rows(boards: &[&str]) -> Result<Vec<Row>> {
    let tables = sample::two_tables(16)?;
    let kws = Network::load(Net::Kws)?;
    if kws.is_none() {
        // With `CI` set, what is missing is a failure.
        if env::var_os("CI").is_some() {
            bail!("the files of kws are absent; in CI they must be there");
        }
        note!("left out: firmware of kws alone, as its model is absent");
    }
    let mut rows = Vec::new();
    for name in boards {
        let board = Board::load(repository(), name)?;
        if board.memory_of_hal {
            bail!("{name} does not start without its HAL: there is no least firmware for it");
        }
        let bytes = firmware::bare_with_every_kernel(&board, &tables)?;
        rows.push(row(&board, "every operator", &bytes, &|_| false)?);
        if let Some(kws) = &kws {
            let quantized = kws.quantize_for(board.isa)?;
            let bytes = firmware::bare(&board, quantized.blob.as_bytes())?;
            let bytes = bytes.with_context(|| format!("{name} has no least firmware"))?;
            rows.push(row(&board, "kws", &bytes, &|_| false)?);
        }
    }
    Ok(rows)
}

fn row(
    board: &Board,
    firmware: &'static str,
    bytes: &[u8],
    ends: &dyn Fn(&str) -> bool,
) -> Result<Row> {
    let row = || -> Result<Row> {
        Ok(Row {
            board: board.name.clone(),
            target: board.target.clone(),
            firmware,
            panic_symbols: elf::panic_symbols(bytes, PART)?,
            bounds: of_elf(board, bytes, ends)?,
        })
    };
    row().with_context(|| format!("the firmware of {} with {firmware}", board.name))
}

fn show(rows: &[Row]) -> Result<()> {
    let mut shown = table(&[
        "board",
        "target",
        "firmware",
        "functions",
        "of panics",
        "recursion",
        "calls by register",
        "jumps by register",
        "jump tables",
        "stack bound",
        "exception",
    ]);
    for row in rows {
        let bounds = &row.bounds;
        let of_kind = |kind: &str| {
            let sites = bounds.indirect.iter().filter(|site| site.kind == kind);
            let targets = sites.clone().map(|site| site.targets.len()).max();
            match targets {
                None | Some(0) => sites.count().to_string(),
                Some(targets) => format!("{}, to {targets}", sites.count()),
            }
        };
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "none".to_owned(), |b| b.to_string());
        shown.add_row([
            row.board.clone(),
            row.target.clone(),
            row.firmware.to_owned(),
            bounds.functions.to_string(),
            bounds.panics.len().to_string(),
            if bounds.recursion.is_empty() {
                "no"
            } else {
                "yes"
            }
            .to_owned(),
            of_kind("call"),
            of_kind("jump"),
            of_kind("table"),
            bytes(bounds.stack_bytes),
            bytes(bounds.exception_bytes),
        ]);
    }
    say!("{shown}")?;
    say!(
        "Calls and jumps by a register count with all functions whose address the program makes or holds as targets;\n\
         jumps by a register are entries of tables too. Bytes; an exception's come on top."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_all_that_is_not_as_it_must_be() {
        const PANIC: &str = "_ZN4core9panicking5panic17h2b4f2f6f0f4f0c39E";
        let row = |bounds: Bounds, panic_symbols: &[&str]| Row {
            board: "b".to_owned(),
            target: "t".to_owned(),
            firmware: "kws",
            panic_symbols: panic_symbols.iter().map(|&name| name.to_owned()).collect(),
            bounds,
        };
        let bounds = || Bounds {
            functions: 1,
            unreached: Vec::new(),
            panics: Vec::new(),
            recursion: Vec::new(),
            indirect: Vec::new(),
            unbounded: Vec::new(),
            stack_bytes: Some(8),
            deepest: Vec::new(),
            exception_bytes: None,
        };
        let good = row(bounds(), &[]);
        assert!(good.problems(false).is_empty());
        assert!(judge(std::slice::from_ref(&good), false).is_ok());
        let panics = Bounds {
            panics: vec![PANIC.to_owned()],
            ..bounds()
        };
        let panics = row(panics, &[PANIC]);
        assert_eq!(panics.problems(false).len(), 2, "{panics:?}");
        assert!(panics.problems(true).is_empty());
        // Linked, and no call to it is seen: one was missed.
        let missed = Bounds {
            unreached: vec!["kernel".to_owned()],
            ..bounds()
        };
        let missed = row(missed, &[]);
        assert!(missed.problems(false)[0].contains("kernel"), "{missed:?}");
        let recursive = Bounds {
            recursion: vec![vec!["main".to_owned()]],
            ..bounds()
        };
        let recursive = row(recursive, &[]);
        assert!(recursive.problems(true)[0].contains("call each other"));
        let open = Bounds {
            unbounded: vec!["main moves the stack".to_owned()],
            stack_bytes: None,
            ..bounds()
        };
        let open = row(open, &[]);
        let unknown = Bounds {
            stack_bytes: None,
            ..bounds()
        };
        assert!(row(unknown, &[]).problems(true)[0].contains("no bound"));
        assert!(open.problems(true)[0].contains("moves the stack"));
        let error = judge(&[good, open, recursive], true).expect_err("two are wrong");
        assert_eq!(format!("{error:#}").matches("b, kws: ").count(), 2);
    }
}
