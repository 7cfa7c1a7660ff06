//! Writing files so that they are whole or not there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}", path = path.display())]
pub struct WriteFileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes a file by way of a temporary one beside it, creating its folder if need be.
///
/// # Errors
/// Whatever the file system says; the old file, if there was one, is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteFileError> {
    write_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], with a function that writes the content.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteFileError> {
    let attempt = || {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".fewbit-");
        // As any new file, less what the user's mask takes away; temporary files are private otherwise.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        write(file.as_file_mut())?;
        file.as_file_mut().flush()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().map_err(|source| WriteFileError {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/file.bin");
        write_atomically(&path, b"old").expect("writes");
        let failing = |file: &mut dyn Write| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk is full"))
        };
        let error = write_with(&path, failing).expect_err("fails");
        assert!(
            error.to_string().contains("file.bin") && error.to_string().contains("disk is full")
        );
        assert_eq!(std::fs::read(&path).expect("reads"), b"old");
        let left = std::fs::read_dir(path.parent().expect("a folder"))
            .expect("reads")
            .count();
        assert_eq!(left, 1, "a temporary file was left behind");
    }
}
