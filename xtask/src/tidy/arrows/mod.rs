//! Arrows between files, modules and crates: no circles, and one order.
//!
//! A file uses another one where it names something that the other one defines: in a `use`, in a path in code, in a macro's
//! arguments. What counts is where a name leads:
//!
//! - A declaration (`mod x;`) is not a use, and neither is a re-export (`pub use x::Y`): a file that names `Y` through it uses
//!   the file of `Y`. So a parent may re-export what its child defines while the child uses what the parent defines. Where
//!   the parent's own code names `Y` too, the two are a circle.
//! - The name of a module alone (`use crate::x;`) takes nothing; what is named through it does.
//! - A macro that is called by its name alone is in scope by its place in the text, and does not count as a use.
//! - Code for tests (`#[cfg(test)]`, folders `tests/`) is left out: a test may look at what uses it.
//! - In the crates of `NESTED` a module and the modules that it declares may still use one another.
//!
//! Circles within a file are the compiler's. Which module may use which, and which crate, is written in `order.rs`.

mod circles;
mod order;
mod source;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use order::{CRATES, KNOWN, Known, MODULES, NESTED, Order};
use source::Source;

/// The folder of firmware, whose packages are `boards/*` in the order.
const BOARDS: &str = "boards";

/// A package of the repository.
#[derive(Debug)]
struct Package {
    name: String,
    /// Relative to the repository.
    folder: PathBuf,
    /// Packages that it depends on, those of builds and tests included, itself left out.
    needs: BTreeSet<String>,
}

/// Circles between files, and uses and dependencies against the order.
///
/// `files` are those of the repository, relative to `root`.
///
/// # Errors
///
/// Sources or manifests that cannot be read.
pub(super) fn problems(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let packages = packages(root, files)?;
    let mut problems = of_crates(&packages);
    let mut known: Vec<&Known> = KNOWN.iter().collect();
    for package in &packages {
        let source = Source::read(root, &package.folder)?;
        let order = MODULES.iter().find(|order| order.package == package.name);
        let nested = NESTED.contains(&package.name.as_str());
        problems.extend(of_files(&source, order, nested, &mut known));
        if nested && !has_nested_circles(&source) {
            problems.push(format!(
                "no module and submodule of {} use one another: take it off the list in xtask/src/tidy/arrows/order.rs",
                package.name
            ));
        }
    }
    problems.extend(known.iter().map(|known| {
        format!(
            "{} uses {} no longer, or without harm: take it off the list of known ones in xtask/src/tidy/arrows/order.rs",
            known.from, known.to
        )
    }));
    Ok(problems)
}

/// The modules that each top-level module uses, by crates, as text.
///
/// # Errors
///
/// As [`problems`].
pub(super) fn listing(root: &Path, files: &[PathBuf]) -> Result<String> {
    let packages = packages(root, files)?;
    let ours: BTreeSet<&String> = packages.iter().map(|package| &package.name).collect();
    let mut lines = Vec::new();
    for package in &packages {
        let needs = package.needs.iter().filter(|name| ours.contains(name));
        let needs: Vec<&str> = needs.map(String::as_str).collect();
        lines.push(match needs.as_slice() {
            [] => package.name.clone(),
            needs => format!("{} -> {}", package.name, needs.join(", ")),
        });
        let source = Source::read(root, &package.folder)?;
        let mut rooms: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for &(from, to) in source.edges.keys() {
            let [from, to] = [from, to].map(|file| source.files[file].room.as_str());
            if from != to {
                rooms.entry(from).or_default().insert(to);
            }
        }
        let shown = |room: &str| if room.is_empty() { "(root)" } else { room }.to_owned();
        for (from, to) in rooms {
            let to: Vec<String> = to.into_iter().map(shown).collect();
            lines.push(format!("    {} -> {}", shown(from), to.join(", ")));
        }
    }
    for order in MODULES {
        let levels = order.levels.iter().map(|level| level.join(", "));
        let levels: Vec<String> = levels.collect();
        lines.push(format!(
            "order of {}: {}",
            order.package,
            levels.join(" <- ")
        ));
    }
    Ok(lines.join("\n"))
}

/// All packages, by their manifests.
fn packages(root: &Path, files: &[PathBuf]) -> Result<Vec<Package>> {
    let manifests = files
        .iter()
        .filter(|file| file.file_name().is_some_and(|name| name == "Cargo.toml"));
    let mut packages = Vec::new();
    for manifest in manifests {
        let shown = manifest.display();
        // A file that was deleted and not committed yet is still listed.
        let Ok(text) = fs::read_to_string(root.join(manifest)) else {
            continue;
        };
        let table: toml::Table = text
            .parse()
            .with_context(|| format!("cannot read {shown}"))?;
        let name = table.get("package").and_then(|package| package.get("name"));
        let Some(name) = name.and_then(toml::Value::as_str) else {
            continue; // Of a workspace alone.
        };
        let mut needs = dependencies(&table);
        needs.remove(name);
        packages.push(Package {
            name: name.to_owned(),
            folder: manifest.parent().unwrap_or(Path::new("")).to_owned(),
            needs,
        });
    }
    packages.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(packages)
}

/// Names of the packages in all tables of dependencies.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    std::iter::once(manifest)
        .chain(targets.filter_map(toml::Value::as_table))
        .flat_map(|table| {
            ["dependencies", "build-dependencies", "dev-dependencies"]
                .into_iter()
                .filter_map(|kind| table.get(kind)?.as_table())
        })
        .flatten()
        .map(|(name, facts)| {
            let renamed = facts.get("package").and_then(toml::Value::as_str);
            renamed.unwrap_or(name).to_owned()
        })
        .collect()
}

/// Dependencies that no line of crates allows.
fn of_crates(packages: &[Package]) -> Vec<String> {
    let level = |line: &[&[&str]], name: &str, folder: &Path| {
        let named = line.iter().position(|level| level.contains(&name));
        let of_boards = || line.iter().position(|level| level.contains(&"boards/*"));
        let anywhere = CRATES.iter().flat_map(|line| line.iter());
        let is_named = anywhere
            .flat_map(|level| level.iter())
            .any(|it| *it == name);
        named.or_else(|| (!is_named && folder.starts_with(BOARDS)).then(of_boards)?)
    };
    let mut problems = Vec::new();
    for package in packages {
        let uses = |name: &str| packages.iter().find(|other| other.name == name);
        let level_of = |line, package: &Package| level(line, &package.name, &package.folder);
        if !CRATES.iter().any(|line| level_of(line, package).is_some()) {
            problems.push(format!(
                "{}: the package {} has no place in the order of crates (xtask/src/tidy/arrows/order.rs)",
                package.folder.join("Cargo.toml").display(),
                package.name
            ));
            continue;
        }
        for other in package.needs.iter().filter_map(|name| uses(name)) {
            let allowed = CRATES.iter().any(|line| {
                level_of(line, other)
                    .zip(level_of(line, package))
                    .is_some_and(|(lower, higher)| lower < higher)
            });
            if !allowed {
                problems.push(format!(
                    "{}: {} depends on {}, against the order of crates",
                    package.folder.join("Cargo.toml").display(),
                    package.name,
                    other.name
                ));
            }
        }
    }
    problems
}

/// Whether one file declares the module of another one, or a module around that.
fn is_around(source: &Source, around: usize, inner: usize) -> bool {
    std::iter::successors(source.files[inner].parent, |&file| {
        source.files[file].parent
    })
    .any(|file| file == around)
}

/// Whether a use goes from a submodule to a module around it that uses the submodule too, directly or not.
fn has_nested_circles(source: &Source) -> bool {
    source.edges.keys().any(|&(from, to)| {
        is_around(source, to, from) && circles::closes(&source.edges, (from, to))
    })
}

/// Circles between the files of a crate, and uses against the order of its modules; known ones are taken out of `known`
/// where they do harm.
fn of_files(
    source: &Source,
    order: Option<&Order>,
    nested: bool,
    known: &mut Vec<&Known>,
) -> Vec<String> {
    let path = |file: usize| source.files[file].path.display().to_string();
    let level = |file: usize| {
        let room = source.files[file].room.as_str();
        let levels = order?.levels;
        levels.iter().position(|level| level.contains(&room))
    };
    let against = |from: usize, to: usize| {
        level(from)
            .zip(level(to))
            .is_some_and(|(from, to)| from < to)
    };
    let mut edges = source.edges.clone();
    if nested {
        edges.retain(|&(from, to), _| !is_around(source, to, from));
    }
    let all = edges.clone();
    known.retain(|known| {
        let found = all.keys().copied().find(|&(from, to)| {
            source.files[from].path == Path::new(known.from)
                && source.files[to].path == Path::new(known.to)
        });
        let Some(edge) = found else {
            return true;
        };
        let harms = against(edge.0, edge.1) || circles::closes(&all, edge);
        if harms {
            edges.remove(&edge);
        }
        !harms
    });
    let mut problems: Vec<String> = edges
        .iter()
        .filter(|((from, to), _)| against(*from, *to))
        .map(|((from, to), line)| {
            format!(
                "{}:{line} uses {}, against the order of modules: {} is below {}",
                path(*from),
                path(*to),
                source.files[*from].room,
                source.files[*to].room
            )
        })
        .collect();
    // Each circle is cut where it goes up, from the deeper file, so that one run shows all that is left to mend.
    while let Some(circle) = circles::shortest(&edges) {
        let ends = circle.iter().skip(1).chain(circle.first());
        let uses: Vec<(usize, usize)> = circle.iter().copied().zip(ends.copied()).collect();
        let shown: Vec<String> = uses
            .iter()
            .map(|use_| {
                let line = edges.get(use_).copied().unwrap_or_default();
                format!("{}:{line} uses {}", path(use_.0), path(use_.1))
            })
            .collect();
        problems.push(format!("files in a circle: {}", shown.join(", ")));
        let depth = |file: usize| source.files[file].depth;
        let cut = uses
            .into_iter()
            .max_by_key(|&(from, to)| (depth(from).cmp(&depth(to)), from));
        match cut {
            Some(edge) => edges.remove(&edge),
            None => break,
        };
    }
    problems
}
