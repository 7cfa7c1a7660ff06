//! Checks of crates before they are published.
//!
//! Nothing is uploaded here. Each crate is packaged and built from its package, crates that depend on others from theirs; device crates
//! build with the oldest compiler that they name, and the library for hosts without 64 bits or an operating system.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit_device::{
    process,
    setup::{ensure_32_bits, ensure_target},
    toolchain::TARGET_32_BITS,
};

use crate::{
    cargo::{LIMIT, cargo},
    root,
};

/// Every crate that is published, each behind those that it depends on.
const CRATES: [&str; 8] = [
    "fewbit-runtime",
    "fewbit-build",
    "fewbit-protocol",
    "fewbit-slots",
    "fewbit-signed",
    "fewbit",
    "fewbit-device",
    "fewbit-cli",
];

/// Those of firmware and its build scripts, and their folders: they take an older compiler than the host's.
const DEVICE_CRATES: [(&str, &str); 5] = [
    ("fewbit-runtime", "runtime"),
    ("fewbit-build", "runtime/build"),
    ("fewbit-protocol", "boards/protocol"),
    ("fewbit-slots", "boards/slots"),
    ("fewbit-signed", "boards/signed"),
];

/// A processor without an operating system, on which libraries of browsers run.
const WASM: &str = "wasm32-unknown-unknown";

/// Time for rustup to get a compiler.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// Packages all crates, and builds each from its package alone. Only the first step, which fetches the dependencies in the lockfile, uses a registry:
/// resolving the packages would otherwise use it again for each of them.
///
/// # Errors
///
/// If one cannot be packaged, such as for a dependency without a version, or does not build without the repository around it.
pub(crate) fn package() -> Result<()> {
    process::run(cargo().args(["fetch", "--quiet", "--locked"]), LIMIT)?;
    forget_packages()?;
    let packaged = package_crates();
    forget_packages()?;
    packaged
}

/// Removes what cargo unpacked from earlier packages of these crates, and what it compiled from that. It knows both by the repository's
/// path and the crates' version alone, and a crate would be built against what the others were at the last run.
fn forget_packages() -> Result<()> {
    forget_compiled()?;
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir().context("no home folder")?.join(".cargo"),
    };
    let unpacked = home.join("registry/src");
    let Ok(registries) = fs::read_dir(&unpacked) else {
        return Ok(());
    };
    for registry in registries {
        let registry = registry
            .with_context(|| unpacked.display().to_string())?
            .path();
        if is_of_packages(&registry)? {
            fs::remove_dir_all(&registry)
                .with_context(|| format!("cannot remove {}", registry.display()))?;
        }
    }
    Ok(())
}

/// Removes libraries that were compiled from unpacked packages, which their lists of sources tell; those of the workspace stay.
fn forget_compiled() -> Result<()> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("debug/deps");
    let Ok(entries) = fs::read_dir(&folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_none_or(|it| it != "d") || !name.starts_with("fewbit") {
            continue;
        }
        let sources = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if is_of_unpacked(&sources) {
            for output in [format!("lib{name}.rlib"), format!("lib{name}.rmeta")] {
                // It may have one of them only.
                let _ = fs::remove_file(folder.join(output));
            }
        }
    }
    Ok(())
}

/// Whether a list of sources has those of an unpacked package of this repository.
fn is_of_unpacked(sources: &str) -> bool {
    let of = |name: &&str| {
        sources.contains(&format!("/{name}-{}/src/lib.rs", env!("CARGO_PKG_VERSION")))
    };
    sources.contains("/registry/src/") && CRATES.iter().any(of)
}

/// Whether a folder of unpacked crates has those of this repository and no others, as only a registry of packages has.
fn is_of_packages(registry: &Path) -> Result<bool> {
    let entries = fs::read_dir(registry).with_context(|| registry.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name());
    }
    let ours = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        name.rsplit_once('-')
            .is_some_and(|(name, _)| CRATES.contains(&name))
    };
    Ok(!names.is_empty() && names.iter().all(ours))
}

fn package_crates() -> Result<()> {
    let mut cargo = cargo();
    // What is not committed yet is what is checked.
    cargo.args(["package", "--locked", "--offline", "--allow-dirty"]);
    // As in the workspace's profile, so that dependencies need not be compiled again.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    process::run(&mut cargo, LIMIT)
}

/// Checks the device crates with the oldest compiler that they name; where rustup cannot get it, by clippy's list of what the standard
/// library had.
///
/// # Errors
///
/// If a crate needs a newer compiler, or names another one than the others.
pub(crate) fn oldest_compiler() -> Result<()> {
    let version = oldest_version()?;
    let name = format!("{version}.0");
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", &name, "--profile", "minimal"]);
    rustup.arg("--no-self-update");
    if let Err(error) = process::run(&mut rustup, INSTALL_LIMIT) {
        note!(
            "Rust {name} cannot be had here ({}): clippy::incompatible_msrv checks the standard library's part alone",
            fewbit_cli::error_text(&error)
        );
        let mut cargo = cargo();
        cargo.args(["clippy", "--locked", "--quiet"]);
        for (name, _) in DEVICE_CRATES {
            cargo.args(["--package", name]);
        }
        cargo.args(["--", "-D", "clippy::incompatible_msrv"]);
        return process::run(&mut cargo, LIMIT);
    }
    let mut old = Command::new("rustup");
    process::clean_cargo_environment(&mut old);
    old.current_dir(root())
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["run", &name, "cargo", "check", "--locked", "--quiet"])
        .args(["--target-dir", "target/oldest"]);
    for (name, _) in DEVICE_CRATES {
        old.args(["--package", name]);
    }
    process::run(&mut old, LIMIT)
}

/// The `rust-version` of the device crates, such as 1.87.
fn oldest_version() -> Result<String> {
    let mut versions = Vec::new();
    for (name, folder) in DEVICE_CRATES {
        let path = root().join(folder).join("Cargo.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: toml::Table = text.parse().context(name)?;
        let version = manifest
            .get("package")
            .and_then(|package| package.get("rust-version")?.as_str())
            .with_context(|| format!("{name} names no rust-version of its own"))?;
        versions.push(version.to_owned());
    }
    versions.sort();
    versions.dedup();
    match versions.pop() {
        Some(version) if versions.is_empty() => Ok(version),
        _ => bail!("the device crates name different versions of Rust"),
    }
}

/// Checks the host's library for a 32-bit host and for a browser.
///
/// # Errors
///
/// If it does not compile there, or the targets cannot be had.
pub(crate) fn small_hosts() -> Result<()> {
    ensure_target(WASM)?;
    ensure_32_bits()?;
    for target in [WASM, TARGET_32_BITS] {
        let mut cargo = cargo();
        cargo
            .args(["check", "--quiet", "--locked", "--package", "fewbit"])
            .args(["--lib", "--target", target]);
        process::run(&mut cargo, LIMIT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_packages_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |name: &str, crates: &[&str]| {
            let registry = folder.path().join(name);
            fs::create_dir(&registry).expect("created");
            for name in crates {
                fs::create_dir(registry.join(name)).expect("created");
            }
            is_of_packages(&registry).expect("read")
        };
        assert!(of("packages", &["fewbit-0.1.0", "fewbit-runtime-0.1.0"]));
        assert!(!of("public", &["fewbit-0.1.0", "serde-1.0.0"]));
        assert!(!of("other", &["serde-1.0.0"]));
        assert!(!of("empty", &[]));
    }

    #[test]
    fn libraries_of_packages_are_told_by_their_sources() {
        let version = env!("CARGO_PKG_VERSION");
        let unpacked =
            format!("a.d: /home/.cargo/registry/src/-14cd/fewbit-runtime-{version}/src/lib.rs\n");
        assert!(is_of_unpacked(&unpacked));
        assert!(!is_of_unpacked("a.d: runtime/src/lib.rs\n"));
        assert!(!is_of_unpacked(
            "a.d: /home/.cargo/registry/src/public/serde-1.0.0/src/lib.rs\n"
        ));
    }

    #[test]
    fn every_crate_is_published_or_says_that_it_is_not() {
        let members = fs::read_to_string(root().join("Cargo.toml")).expect("there");
        let members: toml::Table = members.parse().expect("a manifest");
        let members = members["workspace"]["members"].as_array().expect("a list");
        let mut published = Vec::new();
        for member in members {
            let path = root().join(member.as_str().expect("a path"));
            let text = fs::read_to_string(path.join("Cargo.toml")).expect("there");
            let manifest: toml::Table = text.parse().expect("a manifest");
            let package = manifest["package"].as_table().expect("a table");
            let name = package["name"].as_str().expect("a name").to_owned();
            if package.get("publish").and_then(toml::Value::as_bool) == Some(false) {
                continue;
            }
            let readme = fs::read_to_string(path.join("README.md")).expect("has a page");
            assert!(readme.starts_with(&format!("# {name}\n")), "{name}");
            let library = fs::read_to_string(path.join("src/lib.rs")).expect("has a library");
            assert!(
                library.contains("#![doc = include_str!(\"../README.md\")]"),
                "{name}"
            );
            for key in ["description", "keywords", "categories", "repository"] {
                assert!(package.contains_key(key), "{name} has no {key}");
            }
            published.push(name);
        }
        published.sort();
        let mut listed = CRATES.to_vec();
        listed.sort_unstable();
        assert_eq!(published, listed);
    }
}
