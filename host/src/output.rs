//! Atomic writing of output files.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Error of writing a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}", path = path.display())]
pub struct WriteFileError {
    /// Path of the file.
    pub path: PathBuf,
    /// Error of the system.
    pub source: io::Error,
}

/// Writes a file through a temporary one beside it, and creates its folder if needed.
///
/// # Errors
/// As [`Outputs::commit`].
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
    let mut outputs = Outputs::default();
    outputs.add_with(path, write)?;
    outputs.commit()
}

/// The files that one command writes: all of them appear, or none.
///
/// Each is written to a temporary file beside its place; [`Outputs::commit`] renames them, when nothing else can fail any more.
/// If it is dropped before, no file remains. If a path is a symbolic link, the file that it leads to is replaced; devices and pipes are
/// written to directly.
#[derive(Debug, Default)]
pub struct Outputs {
    files: Vec<Staged>,
    streams: Vec<(PathBuf, Vec<u8>)>,
}

/// A temporary file beside its place.
#[derive(Debug)]
struct Staged {
    /// Path as the user gave it.
    path: PathBuf,
    place: PathBuf,
    /// Whether no file existed there.
    new: bool,
    temporary: NamedTempFile,
}

impl Outputs {
    /// Writes a file beside its place, and creates its folder if needed.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<(), WriteFileError> {
        self.add_with(path, |file| file.write_all(bytes))
    }

    /// As [`Outputs::add`], with a function that writes the content.
    ///
    /// # Errors
    /// As [`Outputs::add`].
    pub fn add_with(
        &mut self,
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), WriteFileError> {
        let attempt = || match Target::of(path)? {
            Target::Stream => {
                let mut bytes = Vec::new();
                write(&mut bytes)?;
                self.streams.push((path.to_owned(), bytes));
                Ok(())
            }
            Target::File { place, new } => {
                let temporary = write_beside(&place, write)?;
                self.files.push(Staged {
                    path: path.to_owned(),
                    place,
                    new,
                    temporary,
                });
                Ok(())
            }
        };
        attempt().map_err(|source| failed(path, source))
    }

    /// Renames all files to their places.
    ///
    /// # Errors
    /// Any error of the file system. Old files are untouched if anything failed before the first file was renamed; new ones are
    /// removed in any case.
    pub fn commit(self) -> Result<(), WriteFileError> {
        // What goes to streams cannot be taken back; but they fail where renaming does not: a full device, a closed pipe.
        for (path, bytes) in &self.streams {
            // Appended, as what lies behind may be this process's own standard output.
            let written = OpenOptions::new()
                .append(true)
                .open(path)
                .and_then(|mut stream| {
                    stream.write_all(bytes)?;
                    stream.flush()
                });
            written.map_err(|source| failed(path, source))?;
        }
        let mut created = Vec::new();
        for file in self.files {
            if let Err(error) = file.temporary.persist(&file.place) {
                for place in created {
                    // The error that is reported is the first one.
                    let _ = std::fs::remove_file(place);
                }
                return Err(failed(&file.path, error.error));
            }
            if file.new {
                created.push(file.place);
            }
        }
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> WriteFileError {
    WriteFileError {
        path: path.to_owned(),
        source,
    }
}

/// Writes a temporary file in the folder of `place` and flushes it to the disk, which may be full.
fn write_beside(
    place: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let folder = folder_of(place);
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fewbit-");
    // As any new file, less what the user's mask takes away; temporary files are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Kind of a path to write to.
#[derive(Debug, PartialEq)]
pub enum Target {
    /// A device or a pipe, which has no content to replace.
    Stream,
    /// A file.
    File {
        /// Its path, after symbolic links.
        place: PathBuf,
        /// Whether no file exists there.
        new: bool,
    },
}

impl Target {
    /// Examines a path.
    ///
    /// # Errors
    /// If it is a folder or a circle of links; any error of the file system.
    pub fn of(path: &Path) -> io::Result<Target> {
        let mut place = path.to_owned();
        // As many links as Linux follows.
        for _ in 0..40 {
            let link = match std::fs::symlink_metadata(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Target::File { place, new: true });
                }
                found => found?.is_symlink(),
            };
            if !link {
                let found = std::fs::metadata(&place)?;
                return match (found.is_dir(), found.is_file()) {
                    (true, _) => Err(io::Error::new(
                        io::ErrorKind::IsADirectory,
                        "it is a folder; give the name of a file in it",
                    )),
                    (_, true) => Ok(Target::File { place, new: false }),
                    _ => Ok(Target::Stream),
                };
            }
            // Links of the system to what this process has open, such as /dev/stdout.
            if place.starts_with("/proc")
                || place.starts_with("/dev") && !place.starts_with("/dev/shm")
            {
                return Ok(Target::Stream);
            }
            place = folder_of(&place).join(std::fs::read_link(&place)?);
        }
        Err(io::Error::other("too many symbolic links"))
    }

    /// Identity that only paths to the same file share; none for devices and pipes.
    ///
    /// # Errors
    /// As [`Target::of`].
    pub fn identity(path: &Path) -> io::Result<Option<Identity>> {
        let Target::File { place, new } = Target::of(path)? else {
            return Ok(None);
        };
        if !new {
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt;
                let found = std::fs::metadata(&place)?;
                return Ok(Some(Identity::Inode(found.dev(), found.ino())));
            }
            #[cfg(not(unix))]
            return Ok(Some(Identity::Path(place.canonicalize()?)));
        }
        let folder = folder_of(&place);
        let folder = folder
            .canonicalize()
            .or_else(|_| std::path::absolute(folder))?;
        let name = place.file_name().unwrap_or_default();
        Ok(Some(Identity::Path(folder.join(name))))
    }
}

/// Identity of a file, independent of its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Device and inode number of an existing file.
    #[cfg(unix)]
    Inode(u64, u64),
    /// The path.
    Path(PathBuf),
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

    #[test]
    fn several_files_appear_together_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), b"old").expect("writes");
        let names = || {
            let entries = std::fs::read_dir(folder.path()).expect("reads");
            let mut names: Vec<_> =
                (entries.map(|entry| entry.expect("an entry").file_name())).collect();
            names.sort();
            names
        };
        let mut outputs = Outputs::default();
        outputs.add(&path("a"), b"new").expect("writes");
        outputs.add(&path("b"), b"new").expect("writes");
        let full = |_: &mut dyn Write| Err(io::Error::from(io::ErrorKind::StorageFull));
        outputs.add_with(&path("c"), full).expect_err("fails");
        drop(outputs);
        assert_eq!(names(), ["a"]);
        assert_eq!(std::fs::read(path("a")).expect("reads"), b"old");

        let mut outputs = Outputs::default();
        outputs.add(&path("b"), b"new").expect("writes");
        outputs.add(&path("c"), b"new").expect("writes");
        // Comes to be between the two steps.
        std::fs::create_dir(path("c")).expect("a folder");
        let error = outputs.commit().expect_err("fails");
        assert!(error.path.ends_with("c"), "{error}");
        assert_eq!(names(), ["a", "c"]);
        let error = write_atomically(&path("c"), b"new").expect_err("fails");
        assert!(error.to_string().contains("it is a folder"), "{error}");

        let mut outputs = Outputs::default();
        outputs.add(&path("a"), b"new").expect("writes");
        outputs.add(&path("b"), b"more").expect("writes");
        assert_eq!(std::fs::read(path("a")).expect("reads"), b"old");
        outputs.commit().expect("commits");
        assert_eq!(std::fs::read(path("a")).expect("reads"), b"new");
        assert_eq!(std::fs::read(path("b")).expect("reads"), b"more");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_written_to() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("deep")).expect("a folder");
        symlink("deep/file", path("second")).expect("links");
        symlink("second", path("first")).expect("links");
        // One that leads nowhere yet, then one that leads to a file.
        for content in [b"new", b"old"] {
            write_atomically(&path("first"), content).expect("writes");
            assert!(path("first").is_symlink() && path("second").is_symlink());
            assert_eq!(std::fs::read(path("deep/file")).expect("reads"), content);
        }
        symlink("circle", path("circle")).expect("links");
        write_atomically(&path("circle"), b"").expect_err("fails");

        if Path::new("/dev/full").exists() {
            let error = write_atomically(Path::new("/dev/full"), b"new").expect_err("fails");
            assert!(error.to_string().contains("/dev/full"), "{error}");
            symlink("/dev/full", path("full")).expect("links");
            // What cannot be written to a device keeps files from appearing.
            let mut outputs = Outputs::default();
            outputs.add(&path("file"), b"new").expect("writes");
            outputs.add(&path("full"), b"new").expect("writes");
            outputs.commit().expect_err("fails");
            assert!(!path("file").exists() && path("full").is_symlink());
            write_atomically(Path::new("/dev/null"), b"new").expect("writes");
        }
        let fifo = path("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        if made.is_ok_and(|status| status.success()) {
            let writer = std::thread::spawn({
                let fifo = fifo.clone();
                move || write_atomically(&fifo, b"new")
            });
            assert_eq!(std::fs::read(&fifo).expect("reads"), b"new");
            writer.join().expect("ends").expect("writes");
        }
    }

    #[test]
    fn a_file_is_itself_by_whatever_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("deep")).expect("a folder");
        std::fs::write(path("a"), b"").expect("writes");
        std::fs::hard_link(path("a"), path("b")).expect("links");
        let identity = |name: &str| {
            Target::identity(&path(name))
                .expect("looks")
                .expect("a file")
        };
        for (one, other) in [("a", "deep/../a"), ("a", "b"), ("new", "deep/../new")] {
            assert_eq!(identity(one), identity(other), "{one} {other}");
        }
        for (one, other) in [("a", "new"), ("new", "deep/new"), ("deep/a", "a")] {
            assert_ne!(identity(one), identity(other), "{one} {other}");
        }
    }
}
