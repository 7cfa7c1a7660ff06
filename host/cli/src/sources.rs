//! Sources of firmware that this program brings along.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use etcetera::BaseStrategy as _;
use fewbit_device::repository::Repository;

/// Each file's path in the repository, and its content; none where this crate was not built in the repository.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// The repository that they make, unpacked into the user's cache if it is not there yet; none where there are none.
///
/// # Errors
///
/// If the cache cannot be written.
pub(crate) fn repository() -> Result<Option<Repository>> {
    if FILES.is_empty() {
        return Ok(None);
    }
    let cache = etcetera::choose_base_strategy()
        .map(|base| base.cache_dir())
        .unwrap_or_else(|_| env::temp_dir());
    let name = format!(
        "sources-{}-{}",
        env!("CARGO_PKG_VERSION"),
        env!("FEWBIT_SOURCES")
    );
    let folder = cache.join("fewbit").join(name);
    if !folder.is_dir() {
        log::info!("unpacking sources of firmware to {}", folder.display());
        unpack(&folder, |_| true)?;
    }
    Repository::at(&folder).map(Some)
}

/// Writes those files for whose path `wanted` holds below `folder`, which is there as a whole or not at all.
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
    match fs::rename(&whole, folder) {
        // Another process was faster, with the same files.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed.with_context(shown),
    }
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
