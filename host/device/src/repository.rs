//! The repository: sources of firmware, and builds made of them.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// Variable that names a repository if no other is given.
pub const VARIABLE: &str = "FEWBIT_REPOSITORY";

/// Error: no repository was named, and the current folder is not in one.
#[derive(Debug, thiserror::Error)]
#[error(
    "firmware is built from the sources in fewbit's repository, and {} is not in one; \
     name a repository with --repository DIR or {VARIABLE}, or run the command inside one",
    folder.display()
)]
pub struct NoRepository {
    /// The current folder.
    pub folder: PathBuf,
}

/// A repository of fewbit: boards, firmware and the runtime's sources.
///
/// No path of it comes from where this library was compiled: a copy of a repository works on itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The repository in a folder.
    ///
    /// # Errors
    ///
    /// If the folder is not a repository.
    pub fn at(folder: &Path) -> Result<Self> {
        if !is_root(folder) {
            bail!(
                "{} is not a repository of fewbit: it has no boards/Cargo.toml and runtime/Cargo.toml",
                folder.display()
            );
        }
        Ok(Self {
            root: std::path::absolute(folder)?,
        })
    }

    /// The repository that contains a folder, which may be its root.
    pub fn around(folder: &Path) -> Option<Self> {
        let folder = std::path::absolute(folder).ok()?;
        let root = folder.ancestors().find(|folder| is_root(folder))?;
        Some(Self {
            root: root.to_owned(),
        })
    }

    /// The given one, otherwise the one that `FEWBIT_REPOSITORY` names, otherwise the one that contains the current folder.
    ///
    /// # Errors
    ///
    /// If the named folder is not a repository; [`NoRepository`] if none is named and the current folder is not in one.
    pub fn find(given: Option<&Path>) -> Result<Self> {
        use anyhow::Context as _;
        if let Some(folder) = given {
            return Self::at(folder).context("--repository");
        }
        if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
            return Self::at(Path::new(&folder)).context(VARIABLE);
        }
        let current = env::current_dir().context("cannot find the current folder")?;
        match Self::around(&current) {
            Some(found) => Ok(found),
            None => Err(NoRepository { folder: current }.into()),
        }
    }

    /// The one whose package cargo is running or testing, otherwise the one that contains the current folder: for the project's own tasks and suites.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn of_cargo() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR");
        match package.and_then(|package| Self::around(Path::new(&package))) {
            Some(found) => Ok(found),
            None => Self::find(None),
        }
    }

    /// Its root folder, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Workspace of the firmware, with one folder per board.
    pub fn boards(&self) -> PathBuf {
        self.root.join("boards")
    }

    /// Folder of builds for devices: `target/device`, whatever the caller's target directory is, so that all callers share one
    /// cache.
    pub fn device_dir(&self) -> PathBuf {
        self.root.join("target").join("device")
    }
}

fn is_root(folder: &Path) -> bool {
    ["boards", "runtime"].map(|part| folder.join(part).join("Cargo.toml").is_file()) == [true; 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_found_from_within_and_refused_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("clone");
        for part in ["boards", "runtime", "host/cli"] {
            std::fs::create_dir_all(root.join(part)).expect("writes");
            std::fs::write(root.join(part).join("Cargo.toml"), "").expect("writes");
        }
        let found = Repository::around(&root.join("host/cli")).expect("within");
        assert_eq!(found, Repository::at(&root).expect("itself"));
        assert_eq!(found.boards(), root.join("boards"));
        assert_eq!(Repository::around(folder.path()), None);
        let error = Repository::find(Some(folder.path())).expect_err("none");
        let error = format!("{error:#}");
        assert!(
            error.contains("--repository") && error.contains("boards/Cargo.toml"),
            "{error}"
        );
    }
}
