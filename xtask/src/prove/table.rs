//! SECURITY.md's table of promises, written from the list.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Command, PROMISES, shown};

const FILE: &str = "SECURITY.md";

/// The first line of the table; the table ends at an empty line.
const HEADING: &str = "| promise | evidence | command |";

/// The table, without the line break at its end.
pub(super) fn table() -> Result<String> {
    let mut lines = vec![HEADING.to_owned(), "|---|---|---|".to_owned()];
    for promise in &PROMISES {
        lines.push(format!(
            "| {} | {} | `{}` |",
            promise.promise,
            promise.evidence,
            shown(&promise.command)?
        ));
    }
    Ok(lines.join("\n"))
}

/// Splits a text into what is before the table, the table, and what is behind it.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(HEADING)?;
    let (before, rest) = text.split_at_checked(start)?;
    let end = rest.find("\n\n").unwrap_or(rest.trim_end().len());
    let (table, after) = rest.split_at_checked(end)?;
    Some((before, table, after))
}

/// Writes the table into SECURITY.md.
///
/// # Errors
///
/// If the file cannot be read or written, or has no table.
pub(crate) fn bless(root: &Path) -> Result<()> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).context("cannot read SECURITY.md")?;
    let (before, _, after) = split(&text).context("SECURITY.md has no table of promises")?;
    let text = format!("{before}{}{after}", table()?);
    fs::write(&path, text).context("cannot write SECURITY.md")
}

/// A table that is not that of the list, and evidence that is not there.
///
/// # Errors
///
/// If files cannot be read.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let mut problems = Vec::new();
    let text = read(FILE)?;
    if split(&text).map(|(_, found, _)| found) != Some(&*table()?) {
        problems.push(format!(
            "{FILE}: the table is not that of xtask/src/prove/promises.rs; `cargo xtask tidy --bless` writes it"
        ));
    }
    let main = read("xtask/src/main.rs")?;
    for promise in &PROMISES {
        match promise.command {
            Command::Xtask(arguments) => {
                let task = arguments.first().copied().unwrap_or_default();
                if !has_task(&main, task) {
                    problems.push(format!(
                        "{}: there is no `cargo xtask {task}`",
                        promise.name
                    ));
                }
            }
            Command::Tests(source, tests) => {
                let text = read(source)?;
                if !text.contains("#[test]\n") {
                    problems.push(format!("{}: {source} has no tests", promise.name));
                }
                for test in tests {
                    if !text.contains(&format!("#[test]\nfn {test}() {{")) {
                        problems.push(format!("{}: {source} has no test {test}", promise.name));
                    }
                }
            }
        }
    }
    Ok(problems)
}

/// Whether the command line has a task of this name, as `update-key` for `UpdateKey`.
fn has_task(main: &str, task: &str) -> bool {
    let variant: String = task
        .split('-')
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<Vec<char>>()
        })
        .collect();
    main.contains(&format!("\n        Task::{variant} "))
        || main.contains(&format!("\n        Task::{variant}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_between_other_words() {
        let text = format!("# S\n\n{HEADING}\n|---|---|---|\n| a | b | `c` |\n\nMore.\n");
        let (before, table, after) = split(&text).expect("is there");
        assert_eq!((before, after), ("# S\n\n", "\n\nMore.\n"));
        assert!(table.ends_with("| `c` |"));
        let text = format!("{HEADING}\n| a |\n");
        assert_eq!(split(&text).expect("is there").2, "\n");
        assert_eq!(split("# S\n"), None);
    }

    #[test]
    fn tasks_are_found_by_their_names() {
        let main = "match x {\n        Task::Deny => a,\n        Task::UpdateKey(args) => b,\n";
        assert!(has_task(main, "deny") && has_task(main, "update-key"));
        assert!(!has_task(main, "update") && !has_task(main, "fuzz") && !has_task(main, ""));
    }

    #[test]
    fn the_list_and_the_table_agree() {
        let root = crate::root();
        assert_eq!(problems(root).expect("readable"), Vec::<String>::new());
    }
}
