//! `cargo xtask tidy`: checks that the compiler does not make.
//!
//! Conventions that are not checked are not kept: module docs, white space, links between pages, the index of decisions, memory maps that
//! agree with their board files, the format's specification, which carries a hash of the sources it describes and names the tests of all checks, and
//! the promises in SECURITY.md, which are a list in code.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use fewbit_device::{board, process};

use crate::{mutants, prove, repository, root};

mod arrows;
mod links;

/// Largest file in the repository; data that is larger is generated or fetched.
const MAXIMUM_BYTES: u64 = 2 * 1024 * 1024;

/// Longest first line of a module's documentation, marker included.
const MAXIMUM_SUMMARY: usize = 80;

/// Files that are read as text, by the end of their name.
const TEXT: [&str; 11] = [
    "rs", "toml", "md", "py", "sh", "yml", "yaml", "x", "S", "txt", "csv",
];

/// Text before the hash in the specification of the format.
const HASH_KEY: &str = "format-hash: ";

/// Arguments of `cargo xtask tidy`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Write the hash of the format's sources into docs/model-format.md, once the text is true, and the table of
    /// promises into SECURITY.md.
    #[arg(long)]
    bless: bool,
    /// Check nothing; list which crate and which module uses which.
    #[arg(long, conflicts_with = "bless")]
    arrows: bool,
}

/// Checks everything, or writes the hash and the table.
///
/// # Errors
///
/// If anything is not tidy (all of it is listed), or files cannot be read.
pub fn task(args: &Args) -> Result<()> {
    if args.bless {
        bless()?;
        prove::bless(root())
    } else if args.arrows {
        say!("{}", arrows::listing(root(), &files(root())?)?)
    } else {
        check()
    }
}

/// Checks everything.
///
/// # Errors
///
/// As [`task`].
pub fn check() -> Result<()> {
    let root = root();
    let mut problems = Vec::new();
    let files = files(root)?;
    for path in &files {
        let shown = path.display().to_string();
        let full = root.join(path);
        // A file that was deleted and not committed yet is still listed.
        let Ok(facts) = fs::metadata(&full) else {
            continue;
        };
        if facts.len() > MAXIMUM_BYTES {
            problems.push(format!(
                "{shown}: {} bytes, at most {MAXIMUM_BYTES} are kept here",
                facts.len()
            ));
        }
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if TEXT.contains(&extension.as_str()) {
            let text = fs::read_to_string(&full).with_context(|| format!("cannot read {shown}"))?;
            problems.extend(
                white_space(&text)
                    .into_iter()
                    .map(|problem| format!("{shown}:{problem}")),
            );
            if extension == "rs" {
                let strict = !path.components().any(|part| {
                    ["tests", "tests.rs"]
                        .iter()
                        .any(|name| part.as_os_str() == *name)
                });
                problems.extend(
                    module_docs(&text, strict).map(|problem| format!("{shown}: {problem}")),
                );
            }
        }
    }
    problems.extend(links::problems(root, &files)?);
    problems.extend(unlisted_decisions(root)?);
    problems.extend(memory_maps()?);
    problems.extend(format_hash(root)?);
    problems.extend(mutants::problems(root)?);
    problems.extend(prove::problems(root)?);
    problems.extend(arrows::problems(root, &files)?);
    if !problems.is_empty() {
        bail!(
            "{} things are not tidy:\n- {}",
            problems.len(),
            problems.join("\n- ")
        );
    }
    Ok(())
}

/// Files of the repository that git knows or would add, relative to its root.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = process::output(&mut git, Duration::from_secs(60))
        .context("tidy asks git for the list of files")?;
    Ok(list.split_terminator('\0').map(PathBuf::from).collect())
}

/// Lines that end in white space, and a last line that does not end, as `line: problem`.
fn white_space(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = text
        .split('\n')
        .enumerate()
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(index, _)| format!("{}: white space at the end of the line", index + 1))
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        problems.push(format!(
            "{}: the last line does not end",
            text.lines().count()
        ));
    }
    problems
}

/// Returns what is wrong with the documentation that a module starts with; `strict` also limits its first line.
fn module_docs(text: &str, strict: bool) -> Option<String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("//! ") {
        return Some("does not start with module documentation (//!)".to_owned());
    }
    if !strict {
        return None;
    }
    let length = first.chars().count();
    if length > MAXIMUM_SUMMARY {
        return Some(format!(
            "the first line has {length} characters, at most {MAXIMUM_SUMMARY}"
        ));
    }
    match lines.next() {
        Some(second) if second.starts_with("//!") && second.trim_end() != "//!" => Some(
            "the first line of the documentation is one sentence, and an empty line follows"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Decisions in `docs/adr` that its README does not list, and listed ones that are not there.
fn unlisted_decisions(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("docs").join("adr");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let index =
        fs::read_to_string(folder.join("README.md")).context("cannot read docs/adr/README.md")?;
    let mut problems = Vec::new();
    for entry in fs::read_dir(&folder).context("cannot read docs/adr")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "README.md" && !index.contains(&name) {
            problems.push(format!(
                "docs/adr/{name} is not listed in docs/adr/README.md"
            ));
        }
    }
    let links = index
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    for (link, _) in links.filter(|(link, _)| !folder.join(link).is_file()) {
        problems.push(format!(
            "docs/adr/README.md lists {link}, which is not there"
        ));
    }
    problems.sort();
    Ok(problems)
}

/// Boards whose `memory.x` has other sizes than their `board.toml`.
fn memory_maps() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for board in board::all(repository())? {
        if board.memory_of_hal {
            continue;
        }
        let path = board.folder().join("memory.x");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (region, expected) in [("FLASH", board.flash_bytes), ("RAM", board.ram_bytes)] {
            let found = region_bytes(&text, region);
            if found != Some(expected) {
                let found = found.map_or("no size".to_owned(), |bytes| bytes.to_string());
                problems.push(format!(
                    "boards/{}: {region} is {expected} in board.toml, {found} in memory.x",
                    board.name
                ));
            }
        }
    }
    Ok(problems)
}

/// Bytes of `REGION : ORIGIN = ..., LENGTH = 4M` in a linker script.
fn region_bytes(script: &str, region: &str) -> Option<u64> {
    let line = script.lines().map(str::trim_start).find(|line| {
        line.strip_prefix(region)
            .is_some_and(|rest| rest.trim_start().starts_with([':', '(']))
    })?;
    let length = line
        .split_once("LENGTH")?
        .1
        .trim_start()
        .strip_prefix('=')?
        .trim();
    let (number, unit) = match length.strip_suffix(['K', 'M']) {
        Some(number) if length.ends_with('K') => (number, 1024),
        Some(number) => (number, 1024 * 1024),
        None => (length, 1),
    };
    let number = match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    number.checked_mul(unit)
}

/// The sources of the blob's format, whose description is docs/model-format.md.
fn hash_of_format(root: &Path) -> Result<Option<String>> {
    let folder = root.join("runtime").join("src").join("format");
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut names: Vec<PathBuf> = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("cannot read {}", folder.display()))?;
    names.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    names.sort();
    let mut hash = Sha256::new();
    for path in names {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Name and length too, so that moving a line between files changes the hash.
        hash.update(
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .as_bytes(),
        );
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    let mut text = String::new();
    for byte in hash.finalize().iter() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Some(text))
}

fn specification(root: &Path) -> PathBuf {
    root.join("docs").join("model-format.md")
}

/// Whether the specification of the format was looked at since its sources changed.
fn format_hash(root: &Path) -> Result<Option<String>> {
    let Some(expected) = hash_of_format(root)? else {
        return Ok(None);
    };
    let text =
        fs::read_to_string(specification(root)).context("cannot read docs/model-format.md")?;
    let found = text.lines().find_map(|line| line.strip_prefix(HASH_KEY));
    Ok((found != Some(expected.as_str())).then(|| {
        "runtime/src/format changed since docs/model-format.md was checked against it: \
         update the text, then run `cargo xtask tidy --bless`"
            .to_owned()
    }))
}

/// Writes the hash into the specification; the line is added if there is none.
fn bless() -> Result<()> {
    let root = root();
    let hash = hash_of_format(root)?.context("there is no runtime/src/format to take a hash of")?;
    let path = specification(root);
    let text = fs::read_to_string(&path).context("cannot read docs/model-format.md")?;
    let new = format!("{HASH_KEY}{hash}");
    let replaced = if text.lines().any(|line| line.starts_with(HASH_KEY)) {
        let lines = text.lines().map(|line| {
            if line.starts_with(HASH_KEY) {
                new.as_str()
            } else {
                line
            }
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    } else {
        format!("{}\n\n{new}\n", text.trim_end())
    };
    fs::write(&path, replaced).context("cannot write docs/model-format.md")?;
    say!("docs/model-format.md: {new}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_line_ends_is_found_by_line() {
        assert_eq!(white_space("one\ntwo\n"), Vec::<String>::new());
        assert_eq!(white_space("one \ntwo\t\n").len(), 2);
        assert!(white_space("one\ntwo")[0].starts_with("2:"));
    }

    #[test]
    fn module_documentation_has_a_short_first_line_of_its_own() {
        assert_eq!(module_docs("//! Short.\n//!\n//! Why.\n", true), None);
        assert_eq!(module_docs("//! Short.\n\nuse std::fmt;\n", true), None);
        assert!(module_docs("use std::fmt;\n", false).is_some());
        assert!(module_docs("", true).is_some());
        let long = format!("//! {}\n", "x".repeat(77));
        assert!(module_docs(&long, true).is_some());
        assert_eq!(module_docs(&long, false), None);
        assert!(module_docs("//! A sentence that\n//! goes on.\n", true).is_some());
    }

    #[test]
    fn region_sizes_are_read_from_linker_scripts() {
        let script = "MEMORY\n{\n  FLASH (rx) : ORIGIN = 0x0, LENGTH = 4M\n  RAM : ORIGIN = 0x20000000, LENGTH = 0x8000\n}\n";
        assert_eq!(region_bytes(script, "FLASH"), Some(4 << 20));
        assert_eq!(region_bytes(script, "RAM"), Some(0x8000));
        assert_eq!(region_bytes(script, "CCRAM"), None);
    }
}
