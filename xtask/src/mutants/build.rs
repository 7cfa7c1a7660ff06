//! A copy of the runtime with all mutants in it, built.
//!
//! The copy is a workspace of its own under `target/mutants`. What does not compile is left out, a point at a time.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::points::{self, Constants, Left, Mutant, Mutated};
use crate::{cargo, root};

/// The switch that the mutants ask.
const SWITCH: &str = include_str!("../../data/switch.rs");

/// The file whose constants are bits.
const BITS: &str = "parts.rs";

/// Folders under `runtime/src` whose sources get mutants, and sources beside them.
const FOLDERS: [&str; 3] = ["format", "load", "load/ops"];
const FILES: [&str; 6] = [
    "arith.rs",
    "arith/word.rs",
    "engine.rs",
    "limits.rs",
    "pack.rs",
    "parts.rs",
];

/// Number of attempts of the build, each without the parts that did not compile.
const ATTEMPTS: usize = 12;

/// A built test program with its mutants.
pub(super) struct Build {
    pub program: PathBuf,
    pub mutants: Vec<Mutant>,
    /// Points whose mutants did not compile, some or all.
    pub unviable: usize,
}

/// Folder of the copy.
pub(super) fn folder() -> PathBuf {
    root().join("target").join("mutants")
}

/// Lets one process at a time have the copy.
pub(super) fn lock() -> Result<File> {
    let path = folder().join("lock");
    fs::create_dir_all(folder())
        .with_context(|| format!("cannot create {}", folder().display()))?;
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Sources under `runtime/src` that get mutants, by their names there.
pub(super) fn sources() -> Result<Vec<String>> {
    let source = root().join("runtime").join("src");
    let mut names: Vec<String> = FILES.map(str::to_owned).to_vec();
    for folder in FOLDERS {
        let path = source.join(folder);
        let entries = fs::read_dir(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .collect::<Result<Vec<_>, _>>()?;
        let found = entries
            .iter()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".rs"))
            .map(|name| format!("{folder}/{name}"));
        names.extend(found);
    }
    names.sort();
    Ok(names)
}

/// Writes the copy and builds its unit tests, with mutants in the files that `chosen` takes.
pub(super) fn build(chosen: impl Fn(&str) -> bool) -> Result<Build> {
    let names: Vec<String> = sources()?.into_iter().filter(|name| chosen(name)).collect();
    if names.is_empty() {
        bail!("no such file; there are {}", sources()?.join(", "));
    }
    copy()?;
    let mut left: HashMap<String, Left> = HashMap::new();
    for _ in 0..ATTEMPTS {
        let mutated = write(&names, &left)?;
        match cargo()? {
            Ok(program) => {
                let mutants = mutated.into_iter().flat_map(|(_, file)| file.mutants);
                return Ok(Build {
                    program,
                    mutants: mutants.collect(),
                    unviable: left.values().map(Left::len).sum(),
                });
            }
            Err(errors) => {
                let mut more = false;
                for (file, place) in &errors {
                    more |= leave(&mutated, file, *place, &mut left);
                }
                if !more {
                    bail!("the copy in {} does not compile", folder().display());
                }
            }
        }
    }
    bail!("after {ATTEMPTS} attempts some mutants still do not compile");
}

/// Leaves out the smallest point around an error.
fn leave(
    mutated: &[(String, Mutated)],
    file: &str,
    place: usize,
    left: &mut HashMap<String, Left>,
) -> bool {
    let Some((name, file)) = mutated
        .iter()
        .find(|(name, _)| file.ends_with(name.as_str()))
    else {
        return false;
    };
    let around = file
        .places
        .iter()
        .filter(|(range, _)| range.contains(&place));
    let Some((_, point)) = around.min_by_key(|(range, _)| range.len()) else {
        return false;
    };
    note!(
        "mutants: {name}: a mutant of kind `{}` does not compile",
        point.2
    );
    *left
        .entry(name.clone())
        .or_default()
        .entry(*point)
        .or_default() += 1;
    true
}

/// Writes the sources with their mutants, and the rest of the crate as it is.
fn write(names: &[String], left: &HashMap<String, Left>) -> Result<Vec<(String, Mutated)>> {
    let from = root().join("runtime").join("src");
    let to = folder().join("runtime").join("src");
    let texts = names
        .iter()
        .map(|name| {
            let path = from.join(name);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok((name, text))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut constants = Constants::default();
    for name in sources()? {
        let found = points::constants(&fs::read_to_string(from.join(&name))?)?;
        if name == BITS {
            constants.bits.extend(found);
        } else {
            constants.numbers.extend(found);
        }
    }
    let (none, mut first) = (Left::default(), 1);
    let mut all = Vec::new();
    for (name, text) in texts {
        let left = left.get(name).unwrap_or(&none);
        let mutated = points::mutate(name, &text, first, &constants, left)?;
        first += u32::try_from(mutated.mutants.len())?;
        fs::write(to.join(name), &mutated.text)
            .with_context(|| format!("cannot write {}", to.join(name).display()))?;
        all.push((name.clone(), mutated));
    }
    Ok(all)
}

/// Copies the crate, and gives it a workspace and the switch.
fn copy() -> Result<()> {
    let (root, folder) = (root(), folder());
    let crate_folder = folder.join("runtime");
    if crate_folder.exists() {
        fs::remove_dir_all(&crate_folder)
            .with_context(|| format!("cannot remove {}", crate_folder.display()))?;
    }
    copy_folder(&root.join("runtime"), &crate_folder)?;
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let mut manifest: toml::Table = manifest.parse().context("cannot parse Cargo.toml")?;
    if let Some(workspace) = manifest.get_mut("workspace").and_then(|w| w.as_table_mut()) {
        workspace.insert("members".to_owned(), vec!["runtime".to_owned()].into());
        workspace.remove("exclude");
        workspace.remove("dependencies");
    }
    // Loops that take long have no mutants; what has some is compiled fastest like this.
    manifest.remove("profile");
    let mut text = toml::to_string(&manifest)?;
    text.push_str("\n[profile.dev]\nopt-level = 2\ndebug = false\n");
    fs::write(folder.join("Cargo.toml"), text).context("cannot write the copy's Cargo.toml")?;
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    let source = crate_folder.join("src");
    fs::write(source.join("mutation.rs"), SWITCH).context("cannot write the switch")?;
    let library = source.join("lib.rs");
    let mut text = fs::read_to_string(&library)
        .with_context(|| format!("cannot read {}", library.display()))?;
    text.push_str("\n#[doc(hidden)]\npub mod mutation;\n");
    fs::write(&library, text).with_context(|| format!("cannot write {}", library.display()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

/// Builds the unit tests: the program, or files and bytes of what does not compile.
fn cargo() -> Result<Result<PathBuf, Vec<(String, usize)>>> {
    let mut cargo = cargo::cargo();
    cargo
        .current_dir(folder())
        .args(["test", "--package", "fewbit-runtime", "--lib", "--no-run"])
        .args(["--quiet", "--message-format", "json"])
        .env("CARGO_TARGET_DIR", folder().join("target"))
        // What a compiler warns of, mutants are made of.
        .env(
            "RUSTFLAGS",
            "-Awarnings -Aarithmetic_overflow -Aoverflowing_literals -Aunconditional_panic",
        );
    let messages = output_of_any(&mut cargo)?;
    let (mut program, mut errors) = (None, Vec::new());
    for line in messages.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        if let Some(path) = message["executable"].as_str() {
            program = Some(PathBuf::from(path));
        }
        let diagnostic = &message["message"];
        if diagnostic["level"] != "error" {
            continue;
        }
        let spans = diagnostic["spans"].as_array().cloned().unwrap_or_default();
        let primary = spans.iter().filter(|span| span["is_primary"] == true);
        let found = primary.filter_map(|span| {
            let file = span["file_name"].as_str()?.to_owned();
            let place = usize::try_from(span["byte_start"].as_u64()?).ok()?;
            Some((file, place))
        });
        errors.extend(found);
        if let (true, Some(text)) = (
            std::env::var_os("MUTANTS_VERBOSE").is_some(),
            diagnostic["rendered"].as_str(),
        ) {
            note!("{text}");
        }
    }
    Ok(match program {
        Some(program) if errors.is_empty() => Ok(program),
        _ => Err(errors),
    })
}

/// Output of a command, whether it succeeds or not.
fn output_of_any(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    String::from_utf8(output.stdout).context("cargo writes no text")
}
