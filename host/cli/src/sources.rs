//! Sources of firmware that this program contains.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use etcetera::BaseStrategy as _;
use fewbit_device::repository::Repository;

/// Path in the repository and content of each file; none if this crate was not built in the repository.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Workspace that the files are members of.
const MANIFEST: &str = "Cargo.toml";

/// Repository made of these files, unpacked into the user's cache if needed; `None` without files.
///
/// # Errors
///
/// If the cache cannot be written.
pub(crate) fn repository() -> Result<Option<Repository>> {
    if FILES.is_empty() {
        return Ok(None);
    }
    let folder = place();
    if !folder.is_dir() {
        log::info!("unpacking sources of firmware to {}", folder.display());
        unpack(&folder, |_| true)?;
    }
    Repository::at(&folder).map(Some)
}

/// Folder to which they are unpacked.
fn place() -> PathBuf {
    let cache = etcetera::choose_base_strategy()
        .map(|base| base.cache_dir())
        .unwrap_or_else(|_| env::temp_dir());
    let name = format!(
        "sources-{}-{}",
        env!("CARGO_PKG_VERSION"),
        env!("FEWBIT_SOURCES")
    );
    cache.join("fewbit").join(name)
}

/// Whether a repository is the unpacked one: a cache, to which no permanent project may point.
pub(crate) fn is_cache(repository: &Repository) -> bool {
    !FILES.is_empty() && repository.root() == place()
}

/// Writes the files whose path satisfies `wanted` to `folder`, which appears complete or not at all.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn unpack(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let shown = || format!("cannot write {}", folder.display());
    let parent = folder.parent().with_context(shown)?;
    fs::create_dir_all(parent).with_context(shown)?;
    // Beside its place, then renamed: several processes may be at it.
    let work = tempfile::tempdir_in(parent).with_context(shown)?;
    let whole = work.path().join("sources");
    for (name, bytes) in FILES.iter().filter(|(name, _)| wanted(name)) {
        let file: PathBuf = whole.join(name);
        fs::create_dir_all(file.parent().with_context(shown)?).with_context(shown)?;
        fs::write(&file, bytes).with_context(shown)?;
    }
    let manifest = FILES.iter().find(|(name, _)| *name == MANIFEST);
    if let Some((_, bytes)) = manifest {
        let members = |folder: &str| {
            let file = format!("{folder}/{MANIFEST}");
            FILES.iter().any(|(name, _)| *name == file) && wanted(&file)
        };
        let text = workspace_of(str::from_utf8(bytes)?, members)?;
        fs::write(whole.join(MANIFEST), text).with_context(shown)?;
    }
    match fs::rename(&whole, folder) {
        // Another process was faster, with the same files.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed.with_context(shown),
    }
}

/// Workspace of a manifest, with only those members whose folders exist.
fn workspace_of(manifest: &str, is_there: impl Fn(&str) -> bool) -> Result<String> {
    let mut manifest: toml::Table = manifest.parse()?;
    manifest.retain(|name, _| name == "workspace");
    let workspace = manifest
        .get_mut("workspace")
        .and_then(toml::Value::as_table_mut)
        .context("the repository's Cargo.toml has no [workspace]")?;
    let members = workspace
        .get_mut("members")
        .and_then(toml::Value::as_array_mut)
        .context("the workspace has no members")?;
    members.retain(|member| member.as_str().is_some_and(&is_there));
    let dependencies = workspace
        .get_mut("dependencies")
        .and_then(toml::Value::as_table_mut);
    if let Some(dependencies) = dependencies {
        dependencies.retain(|_, dependency| {
            let path = dependency.get("path").and_then(toml::Value::as_str);
            path.is_none_or(&is_there)
        });
    }
    Ok(toml::to_string(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_the_repository_that_it_was_built_in() {
        let origin = Repository::of_cargo().expect("tests run in the repository");
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("a/b");
        unpack(&place, |_| true).expect("writes");
        unpack(&place, |_| true).expect("is there already");
        let unpacked = Repository::at(&place).expect("a repository");
        let names = |repository: &Repository| {
            let boards = fewbit_device::board::all(repository).expect("well formed");
            boards
                .into_iter()
                .map(|board| board.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&unpacked), names(&origin));
        let lib = "runtime/src/lib.rs";
        assert_eq!(
            fs::read(place.join(lib)).expect("there"),
            fs::read(origin.root().join(lib)).expect("there")
        );
        // Members that are not taken along would keep cargo from reading it.
        let manifest = fs::read_to_string(place.join("Cargo.toml")).expect("there");
        assert!(
            manifest.contains("boards/protocol") && !manifest.contains("host"),
            "{manifest}"
        );
    }
}
