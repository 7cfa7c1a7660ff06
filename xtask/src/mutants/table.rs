//! The table of the loader's checks in docs/model-format.md.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};

/// Texts before and after the table.
const START: &str = "\n### Checks\n";
const END: &str = "\n## ";

/// Folder of the tests that it names, and the prefix of their names in the test program.
const TESTS: &str = "runtime/src/load/tests";
pub(super) const MODULE: &str = "load::tests::";

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The error with which the loader refuses.
    pub error: String,
    /// Tests, as `module::name`.
    pub tests: Vec<String>,
}

/// Reads the table.
pub(super) fn read(root: &Path) -> Result<Vec<Row>> {
    let path = root.join("docs").join("model-format.md");
    let text = fs::read_to_string(path).context("cannot read docs/model-format.md")?;
    parse(&text).context("docs/model-format.md has no table of checks")
}

fn parse(text: &str) -> Option<Vec<Row>> {
    let (_, text) = text.split_once(START)?;
    let text = text.split_once(END).map_or(text, |(table, _)| table);
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (error, _, tests) = (cells.next()?, cells.next()?, cells.next()?);
        let tests = tests.trim_end_matches(" |").split(", ");
        Some(Row {
            error: error.trim_matches('`').to_owned(),
            tests: tests
                .map(|test| test.trim_matches('`').to_owned())
                .collect(),
        })
    });
    Some(rows.collect())
}

/// Errors that the table lacks, and errors and tests in it that are not there.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>> {
    let read_source = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let errors = errors(&read_source("runtime/src/error.rs")?);
    let rows = read(root)?;
    let mut problems = Vec::new();
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.error.as_str()).collect();
    for error in errors
        .iter()
        .filter(|error| !listed.contains(error.as_str()))
    {
        problems.push(format!(
            "docs/model-format.md: no check with the error `{error}` is listed"
        ));
    }
    for row in &rows {
        if !errors.contains(&row.error) {
            problems.push(format!(
                "docs/model-format.md: the loader has no error `{}`",
                row.error
            ));
        }
        for test in &row.tests {
            let found = test.split_once("::").is_some_and(|(module, name)| {
                let source = read_source(&format!("{TESTS}/{module}.rs"));
                let function = format!("#[test]\nfn {name}() {{");
                source.is_ok_and(|source| source.contains(&function))
            });
            if !found {
                problems.push(format!(
                    "docs/model-format.md: there is no test {test} in {TESTS}"
                ));
            }
        }
    }
    Ok(problems)
}

/// Names of the errors in the macro that declares them.
fn errors(source: &str) -> BTreeSet<String> {
    let declared = source.split_once("\nload_errors! {\n");
    let lines = declared.map_or("", |(_, rest)| rest).lines();
    lines
        .take_while(|line| *line != "}")
        .filter_map(|line| {
            let name = line.strip_prefix("    ")?;
            let end = name.find(|letter: char| !letter.is_alphanumeric())?;
            let (name, _) = name.split_at_checked(end)?;
            name.starts_with(|letter: char| letter.is_uppercase())
                .then(|| name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_their_cells() {
        let text = "# F\n\n### Checks\n\nWords.\n\n| refused as | unless | tests |\n|---|---|---|\n| `Magic` | it is | `a::b`, `a::c` |\n\n## W\n| `No` | x | `y` |\n";
        let row = Row {
            error: "Magic".to_owned(),
            tests: vec!["a::b".to_owned(), "a::c".to_owned()],
        };
        assert_eq!(parse(text), Some(vec![row]));
        assert_eq!(parse("# F\n"), None);
    }

    #[test]
    fn errors_are_read_from_their_macro() {
        let source = "x\nload_errors! {\n    /// Doc.\n    Short {\n        /// Doc.\n        Found: u32,\n    } => \"x\";\n    /// Doc.\n    Magic => \"y\";\n}\nOther\n";
        let expected = ["Magic", "Short"].map(str::to_owned);
        assert_eq!(errors(source), BTreeSet::from(expected));
    }

    #[test]
    fn the_table_names_every_error_and_tests_that_are_there() {
        assert_eq!(
            problems(crate::root()).expect("readable"),
            Vec::<String>::new()
        );
    }
}
