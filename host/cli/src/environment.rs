//! How and where a command was called.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fewbit_device::repository::{NoRepository, Repository};

use crate::sources;

/// What a command is told besides its arguments.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What a user types before a command's name, for what is printed as the next step: `fewbit`, or `cargo xtask`.
    pub program: &'static str,
    /// The repository that firmware is built from, if one was named.
    pub repository: Option<PathBuf>,
    /// The folder of blobs that no one gave a place; the current one if there is none.
    pub blobs: Option<PathBuf>,
}

impl Environment {
    /// That of the `fewbit` command.
    pub fn new(repository: Option<PathBuf>) -> Self {
        Self {
            program: "fewbit",
            repository,
            blobs: None,
        }
    }

    /// The repository that firmware is built from: as [`Repository::find`], else made of the sources that this program brings along.
    ///
    /// # Errors
    ///
    /// As [`Repository::find`] where nothing is brought along, and if that cannot be unpacked.
    pub fn repository(&self) -> Result<Repository> {
        match Repository::find(self.repository.as_deref()) {
            Err(error) if error.downcast_ref::<NoRepository>().is_some() => {
                sources::repository()?.ok_or(error)
            }
            found => found,
        }
    }

    /// Where the blob of a model goes that no one gave a place; without a model, that of the built-in network.
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
