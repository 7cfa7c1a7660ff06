//! Links between the repository's pages, and pages that no link leads to.
//!
//! A link to a file or a heading that does not exist is refused, and so is a page under `docs/` that a reader who starts at
//! README.md cannot reach by links.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Page from which every page under [`FOLDER`] must be reached.
const START: &str = "README.md";

/// Folder of the pages that must be reached.
const FOLDER: &str = "docs";

/// Link of a page.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    /// Number of its line, from 1.
    line: usize,
    /// Text between the parentheses.
    target: String,
}

/// Lists links of Markdown pages that lead nowhere, and pages under `docs/` that are not reached from README.md.
///
/// # Errors
///
/// If a page cannot be read.
pub(super) fn problems(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    for path in files {
        // A file that was deleted and not committed yet is still listed.
        if path.extension().is_some_and(|extension| extension == "md") && root.join(path).is_file()
        {
            let text = fs::read_to_string(root.join(path))
                .with_context(|| format!("cannot read {}", path.display()))?;
            pages.insert(path.clone(), text);
        }
    }
    Ok(check(&pages, &|path| root.join(path).exists()))
}

/// As [`problems`], of pages that were read; `exists` returns whether a path of the repository exists.
fn check(pages: &BTreeMap<PathBuf, String>, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut leads: BTreeMap<&Path, Vec<PathBuf>> = BTreeMap::new();
    for (page, text) in pages {
        let folder = page.parent().unwrap_or(Path::new(""));
        for link in links(text) {
            if link.target.contains(':') {
                continue;
            }
            let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let linked = if path.is_empty() {
                Some(page.clone())
            } else {
                normal(&folder.join(path))
            };
            let found = linked.filter(|path| pages.contains_key(path) || exists(path));
            let Some(linked) = found else {
                problems.push(format!(
                    "{}:{}: the link to {} leads to no file",
                    page.display(),
                    link.line,
                    link.target
                ));
                continue;
            };
            let lacks = |text: &String| !anchor.is_empty() && !anchors(text).contains(anchor);
            if pages.get(&linked).is_some_and(lacks) {
                problems.push(format!(
                    "{}:{}: {} has no heading #{anchor}",
                    page.display(),
                    link.line,
                    linked.display()
                ));
            }
            leads.entry(page).or_default().push(linked);
        }
    }
    let mut reached = BTreeSet::new();
    let mut next = vec![PathBuf::from(START)];
    while let Some(page) = next.pop() {
        if let Some(linked) = leads.get(page.as_path()) {
            next.extend(
                linked
                    .iter()
                    .filter(|path| !reached.contains(*path))
                    .cloned(),
            );
        }
        reached.insert(page);
    }
    problems.extend(
        pages
            .keys()
            .filter(|page| page.starts_with(FOLDER) && !reached.contains(*page))
            .map(|page| {
                format!(
                    "{}: no link leads to this page, starting at {START}",
                    page.display()
                )
            }),
    );
    problems
}

/// Path without `.` and `..`; `None` if it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !result.pop() {
                    return None;
                }
            }
            Component::Normal(name) => result.push(name),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(result)
}

/// Lines outside of fenced code, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// Links `[text](target)` outside of code.
fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        // Every other part is code.
        let plain: Vec<&str> = text.split('`').step_by(2).collect();
        let plain = plain.join("`");
        found.extend(
            plain
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'))
                .map(|(target, _)| Link {
                    line,
                    target: target.to_owned(),
                }),
        );
    }
    found
}

/// Anchors of a page's headings, in GitHub's spelling.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then_some(title.strip_prefix(' ')?)
    });
    headings
        .map(|title| {
            title
                .trim()
                .to_lowercase()
                .chars()
                .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(pages: &[(&str, &str)]) -> Vec<String> {
        let pages = pages
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect();
        check(&pages, &|path| path == Path::new("src/lib.rs"))
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let found = problems_of(&[
            (
                "README.md",
                "[a](docs/a.md#one-two), [source](src/lib.rs), [site](https://example.org/x)\n",
            ),
            (
                "docs/a.md",
                "# One, two\n\n[up](../README.md) [here](#one-two)\n",
            ),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_found_by_line() {
        let found = problems_of(&[
            ("README.md", "[a](docs/a.md#two)\n[b](docs/b.md)\n"),
            ("docs/a.md", "# One\n[out](../../other.md)\n"),
        ]);
        assert_eq!(
            found,
            [
                "README.md:1: docs/a.md has no heading #two",
                "README.md:2: the link to docs/b.md leads to no file",
                "docs/a.md:2: the link to ../../other.md leads to no file",
            ]
        );
    }

    #[test]
    fn pages_that_are_not_reached_are_found() {
        let found = problems_of(&[
            ("README.md", "[a](docs/a.md)\n"),
            ("docs/a.md", "[b](b.md)\n"),
            ("docs/b.md", "\n"),
            ("docs/c.md", "[a](a.md)\n"),
            ("host/README.md", "\n"),
        ]);
        assert_eq!(
            found,
            ["docs/c.md: no link leads to this page, starting at README.md"]
        );
    }

    #[test]
    fn code_has_no_links_and_no_headings() {
        let text =
            "`x[0](none.md)` and [a](b.md)\n```sh\n# comment\n[c](d.md)\n```\n## A `b`-c_d: e\n";
        assert_eq!(
            links(text),
            [Link {
                line: 1,
                target: "b.md".to_owned()
            }]
        );
        assert_eq!(anchors(text), BTreeSet::from(["a-b-c_d-e".to_owned()]));
    }
}
