//! Takes the sources of firmware along, if built in the repository.
//!
//! `fewbit` then builds firmware and makes projects outside of any clone. A crate from a package has no such sources beside it, and the
//! list is empty.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Folders that firmware and projects are built from.
const FOLDERS: [&str; 2] = ["boards", "runtime"];

/// Names below them that no build needs.
const LEFT_OUT: [&str; 4] = ["target", "tests", "mutants.toml", "deny.toml"];

fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| env::var_os(name).ok_or(format!("cargo sets {name}"));
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    let mut list = String::from("&[\n");
    let mut hash = Sha256::new();
    let root = package.ancestors().nth(2).unwrap_or(&package);
    let manifest = root.join("Cargo.toml");
    if FOLDERS
        .iter()
        .all(|folder| root.join(folder).join("Cargo.toml").is_file())
    {
        let mut files = Vec::new();
        for folder in FOLDERS {
            collect(&root.join(folder), &mut files)?;
        }
        println!("cargo::rerun-if-changed={}", manifest.display());
        files.push(manifest);
        files.sort();
        for file in files {
            let name = file.strip_prefix(root)?;
            let name = name.to_string_lossy().replace('\\', "/");
            hash.update(name.as_bytes());
            hash.update(fs::read(&file)?);
            writeln!(
                list,
                "({name:?}, include_bytes!({:?})),",
                file.display().to_string()
            )?;
        }
    }
    list.push(']');
    fs::write(out.join("sources.rs"), list)?;
    let mut name = String::new();
    for byte in hash.finalize().iter().take(8) {
        write!(name, "{byte:02x}")?;
    }
    println!("cargo::rustc-env=FEWBIT_SOURCES={name}");
    Ok(())
}

/// All files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if LEFT_OUT.contains(&name.as_ref()) {
            continue;
        }
        // Of a folder, cargo looks at everything below: it is not shown those in which firmware is built. A new file outside of `src` is
        // seen once another file changes, as the manifest that names it does.
        if path.is_dir() {
            if name == "src" {
                println!("cargo::rerun-if-changed={}", path.display());
            }
            collect(&path, files)?;
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}
