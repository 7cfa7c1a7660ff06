//! Inputs that once failed, kept in `crashes/TARGET/`.

use crate::Target;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folder of inputs that failed.
#[must_use]
pub fn folder() -> PathBuf {
    crate::root().join("fuzz/crashes")
}

/// The files of a target in `folder`, in the order of their names; none if there is no folder.
///
/// # Errors
/// If the folder is there and cannot be read.
pub fn files(folder: &Path, target: &Target) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder.join(target.name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Writes an input that fails, under a name that follows from its bytes, and returns its path.
///
/// # Errors
/// If the file cannot be written.
pub fn save(folder: &Path, target: &Target, input: &[u8]) -> io::Result<PathBuf> {
    let folder = folder.join(target.name);
    fs::create_dir_all(&folder)?;
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = folder.join(format!("{hash:016x}"));
    fs::write(&path, input)?;
    Ok(path)
}
