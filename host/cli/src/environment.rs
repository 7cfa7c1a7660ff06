//! The environment in which a command was called.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fewbit_device::repository::{NoRepository, Repository};

use crate::sources;

/// Facts about a command's call besides its arguments.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Text before a command's name in printed next steps: `fewbit`, or `cargo xtask`.
    pub program: &'static str,
    /// Repository from which firmware is built, if one was named.
    pub repository: Option<PathBuf>,
    /// Folder of blobs without a given path; the current folder if `None`.
    pub blobs: Option<PathBuf>,
}

impl Environment {
    /// Environment of the `fewbit` command.
    pub fn new(repository: Option<PathBuf>) -> Self {
        Self {
            program: "fewbit",
            repository,
            blobs: None,
        }
    }

    /// Repository from which firmware is built: as [`Repository::find`], otherwise the sources in this program.
    ///
    /// # Errors
    ///
    /// As [`Repository::find`] if this program contains no sources, and if these cannot be unpacked.
    pub fn repository(&self) -> Result<Repository> {
        match Repository::find(self.repository.as_deref()) {
            Err(error) if error.downcast_ref::<NoRepository>().is_some() => {
                sources::repository()?.ok_or(error)
            }
            found => found,
        }
    }

    /// Path of a model's blob if none is given; without a model, that of the built-in network's blob.
    pub fn blob_path(&self, model: Option<&Path>) -> PathBuf {
        let stem = model.and_then(Path::file_stem).map_or_else(
            || fewbit::default_model::NAME.into(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        let name = format!("{stem}.fewbit");
        match &self.blobs {
            Some(folder) => folder.join(name),
            None => name.into(),
        }
    }
}

#[cfg(test)]
impl Environment {
    /// For this crate's tests, which cargo runs in the repository.
    pub(crate) fn of_suites() -> Self {
        let repository = Repository::of_cargo().expect("tests run in the repository");
        Self::new(Some(repository.root().to_owned()))
    }
}
