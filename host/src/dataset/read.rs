//! Arrays from `.npz` and `.npy` files, of any element type.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;

use super::DatasetError;
use super::array::Array;
use super::npy::{self, NpyError};

/// Archives may hold arrays of so many bytes, however small they are themselves: constant labels shrink a thousandfold.
const SMALL_ARRAY: u64 = 64 << 20;

/// Larger arrays may be so many times the size of their archive. Samples shrink by much less; `.npz` files that were made to fill memory, by a thousand.
const MAX_INFLATION: u64 = 200;

/// Element types that can be read, for messages.
const TYPES: &str = "f32, f64, u8, i8, u16, i16, i32 and i64";

/// A source of bytes in which a zip archive can be read.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// A data file that is open.
pub(super) enum Reader<'p> {
    Npz {
        path: &'p Path,
        zip: ZipArchive<Box<dyn ReadSeek>>,
        /// Of the whole archive.
        bytes: u64,
    },
    Npy(&'p Path),
}

impl<'p> Reader<'p> {
    pub(super) fn open(path: &'p Path) -> Result<Self, DatasetError> {
        let is_npy = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("npy"));
        if is_npy {
            return Ok(Reader::Npy(path));
        }
        let (file, _) = open(path)?;
        Reader::npz(path, file)
    }

    /// Reads an `.npz` archive that messages call `path`.
    pub(super) fn npz(
        path: &'p Path,
        source: impl ReadSeek + 'static,
    ) -> Result<Self, DatasetError> {
        let mut source: Box<dyn ReadSeek> = Box::new(source);
        let bytes = source
            .seek(SeekFrom::End(0))
            .map_err(|error| unreadable(path, "", &error))?;
        let zip = ZipArchive::new(source).map_err(|error| unreadable(path, "", &error))?;
        Ok(Reader::Npz { path, zip, bytes })
    }

    /// Names of the arrays; none for an `.npy` file.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            // As NumPy calls them: without the extension.
            Reader::Npz { zip, .. } => zip
                .file_names()
                .map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned())
                .collect(),
            Reader::Npy(_) => Vec::new(),
        }
    }

    /// The array called `name`, or the only one of an `.npy` file.
    pub(super) fn array(&mut self, name: &str) -> Result<Array, DatasetError> {
        self.with(name, |source, size| npy::read(source, size))
    }

    /// The shape of that array, whose elements are not read.
    pub(super) fn shape(&mut self, name: &str) -> Result<Vec<usize>, DatasetError> {
        self.with(name, |source, size| npy::shape(source, size))
    }

    /// Result of `read` for the array called `name`, given its bytes and their number.
    fn with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, NpyError>,
    ) -> Result<T, DatasetError> {
        let names = self.names();
        match self {
            Reader::Npz { path, zip, bytes } => {
                let path = *path;
                let member = (0..zip.len()).find(|&index| {
                    let member = zip.name_for_index(index).unwrap_or_default();
                    member.strip_suffix(".npy").unwrap_or(member) == name
                });
                let Some(member) = member else {
                    return Err(DatasetError::NoArray {
                        path: path.to_owned(),
                        array: name.to_owned(),
                        existing: names.join(", "),
                    });
                };
                let mut member = zip
                    .by_index(member)
                    .map_err(|error| unreadable(path, name, &error))?;
                let size = member.size();
                inflation(size, *bytes)
                    .and_then(|()| read(&mut member, size))
                    .map_err(|error| failed(path, name, error))
            }
            Reader::Npy(path) => {
                let (mut file, bytes) = open(path)?;
                read(&mut file, bytes).map_err(|error| failed(path, "", error))
            }
        }
    }
}

/// Whether an archive of `archive` bytes may hold an array of `size` bytes.
fn inflation(size: u64, archive: u64) -> Result<(), NpyError> {
    let most = archive.saturating_mul(MAX_INFLATION).max(SMALL_ARRAY);
    if size <= most {
        return Ok(());
    }
    Err(NpyError::Problem(format!(
        "{size} bytes in an archive of {archive}, more than {MAX_INFLATION} times as much; if that is what it should be, save it uncompressed, with numpy.savez"
    )))
}

/// Opens a file, and says how long it is.
fn open(path: &Path) -> Result<(BufReader<File>, u64), DatasetError> {
    let attempt = || {
        let file = File::open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        Ok((BufReader::new(file), found.len()))
    };
    attempt().map_err(|source| DatasetError::Open {
        path: path.to_owned(),
        source,
    })
}

fn failed(path: &Path, array: &str, error: NpyError) -> DatasetError {
    match error {
        NpyError::ElementType(found) => DatasetError::ElementType {
            path: path.to_owned(),
            array: array.to_owned(),
            found,
            supported: TYPES,
        },
        NpyError::Problem(problem) => DatasetError::Read {
            path: path.to_owned(),
            array: array.to_owned(),
            problem,
        },
    }
}

fn unreadable(path: &Path, array: &str, error: &dyn std::error::Error) -> DatasetError {
    DatasetError::Read {
        path: path.to_owned(),
        array: array.to_owned(),
        problem: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::inflation;

    #[test]
    fn archives_hold_what_their_size_lets_expect() {
        let allowed = |size, archive| inflation(size, archive).is_ok();
        // Constant labels, pictures that are mostly black, and what was made to fill memory.
        assert!(allowed(480_000, 600));
        assert!(allowed(376_000_000, 14_000_000));
        assert!(!allowed(10_000_000_000, 10_000_000));
        assert!(!allowed(u64::MAX, 1_000));
        assert!(allowed(u64::MAX, u64::MAX));
    }
}
