//! Arrays out of `.npz` and `.npy` files, whatever their element type.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpyExt, ReadNpzError};

use super::DatasetError;

/// An array of any supported element type, in the order of its axes (C order).
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Elements as the file has them, so that only the samples that are used are converted.
#[derive(Clone, Debug)]
pub(super) enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// Element types that can be read, for messages.
const TYPES: &str = "f32, f64, u8, i8, u16, i16, i32 and i64";

impl Array {
    fn new<T>(array: ArrayD<T>, wrap: fn(Vec<T>) -> Values) -> Self
    where
        T: Clone,
    {
        let shape = array.shape().to_vec();
        let values = if array.is_standard_layout() {
            array.into_raw_vec_and_offset().0
        } else {
            array.iter().cloned().collect()
        };
        Array {
            shape,
            values: wrap(values),
        }
    }

    /// Elements `range` as `f32`, appended to `to`.
    pub(super) fn extend_f32(&self, range: std::ops::Range<usize>, to: &mut Vec<f32>) {
        match &self.values {
            Values::F32(values) => to.extend_from_slice(&values[range]),
            Values::F64(values) => to.extend(values[range].iter().map(|&x| x as f32)),
            Values::U8(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::I8(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::U16(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::I16(values) => to.extend(values[range].iter().map(|&x| f32::from(x))),
            Values::I32(values) => to.extend(values[range].iter().map(|&x| x as f32)),
            Values::I64(values) => to.extend(values[range].iter().map(|&x| x as f32)),
        }
    }

    /// Element `index` as a class number; `None` if it is no integer from 0 to `u32::MAX`.
    pub(super) fn class(&self, index: usize) -> Option<u32> {
        match &self.values {
            Values::F32(values) => class_of_float(f64::from(values[index])),
            Values::F64(values) => class_of_float(values[index]),
            Values::U8(values) => Some(values[index].into()),
            Values::I8(values) => values[index].try_into().ok(),
            Values::U16(values) => Some(values[index].into()),
            Values::I16(values) => values[index].try_into().ok(),
            Values::I32(values) => values[index].try_into().ok(),
            Values::I64(values) => values[index].try_into().ok(),
        }
    }
}

fn class_of_float(x: f64) -> Option<u32> {
    (x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&x)).then_some(x as u32)
}

/// A source of bytes in which a zip archive can be read.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// A data file that is open.
pub(super) enum Reader<'p> {
    Npz(&'p Path, NpzReader<Box<dyn ReadSeek>>),
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
        Reader::npz(path, open(path)?)
    }

    /// Reads an `.npz` archive that messages call `path`.
    pub(super) fn npz(
        path: &'p Path,
        source: impl ReadSeek + 'static,
    ) -> Result<Self, DatasetError> {
        let source: Box<dyn ReadSeek> = Box::new(source);
        let zip = NpzReader::new(source).map_err(|error| unreadable(path, "", &error))?;
        Ok(Reader::Npz(path, zip))
    }

    /// Names of the arrays; none for an `.npy` file.
    pub(super) fn names(&mut self) -> Result<Vec<String>, DatasetError> {
        match self {
            Reader::Npz(path, zip) => zip.names().map_err(|error| unreadable(path, "", &error)),
            Reader::Npy(_) => Ok(Vec::new()),
        }
    }

    /// The array called `name`, or the only one of an `.npy` file.
    pub(super) fn array(&mut self, name: &str) -> Result<Array, DatasetError> {
        match self {
            Reader::Npz(path, zip) => {
                let path = *path;
                let names = zip.names().map_err(|error| unreadable(path, "", &error))?;
                if !names.iter().any(|existing| existing == name) {
                    return Err(DatasetError::NoArray {
                        path: path.to_owned(),
                        array: name.to_owned(),
                        existing: names.join(", "),
                    });
                }
                read_any(&mut NpzArray { zip, name }).map_err(|error| failed(path, name, error))
            }
            Reader::Npy(path) => {
                let path = *path;
                // Opened for each attempt at a type, but first here, where a missing file gets its own message.
                open(path)?;
                read_any(&mut NpyArray { path }).map_err(|error| failed(path, "", error))
            }
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, DatasetError> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::new(file)),
        Err(source) => Err(DatasetError::Open {
            path: path.to_owned(),
            source,
        }),
    }
}

fn failed(path: &Path, array: &str, error: ReadNpyError) -> DatasetError {
    match error {
        ReadNpyError::WrongDescriptor(descriptor) => DatasetError::ElementType {
            path: path.to_owned(),
            array: array.to_owned(),
            found: descriptor.to_string(),
            supported: TYPES,
        },
        error => unreadable(path, array, &error),
    }
}

fn unreadable(path: &Path, array: &str, error: &dyn std::error::Error) -> DatasetError {
    DatasetError::Read {
        path: path.to_owned(),
        array: array.to_owned(),
        problem: error.to_string(),
    }
}

/// Something that holds one array and can be read again with another element type.
trait Source {
    fn read<T: ndarray_npy::ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError>;
}

struct NpzArray<'z, 'n> {
    zip: &'z mut NpzReader<Box<dyn ReadSeek>>,
    name: &'n str,
}

impl Source for NpzArray<'_, '_> {
    fn read<T: ndarray_npy::ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError> {
        match self.zip.by_name::<OwnedRepr<T>, IxDyn>(self.name) {
            Ok(array) => Ok(array),
            Err(ReadNpzError::Npy(error)) => Err(error),
            Err(ReadNpzError::Zip(error)) => Err(ReadNpyError::Io(std::io::Error::other(error))),
        }
    }
}

struct NpyArray<'p> {
    path: &'p Path,
}

impl Source for NpyArray<'_> {
    fn read<T: ndarray_npy::ReadableElement>(&mut self) -> Result<ArrayD<T>, ReadNpyError> {
        ArrayD::read_npy(BufReader::new(File::open(self.path)?))
    }
}

/// Reads with one element type after the other: the header says which one is right, and a wrong one fails before the data.
fn read_any(source: &mut impl Source) -> Result<Array, ReadNpyError> {
    fn attempt<T: ndarray_npy::ReadableElement + Clone>(
        source: &mut impl Source,
        wrap: fn(Vec<T>) -> Values,
    ) -> Option<Result<Array, ReadNpyError>> {
        match source.read::<T>() {
            Ok(array) => Some(Ok(Array::new(array, wrap))),
            Err(ReadNpyError::WrongDescriptor(_)) => None,
            Err(error) => Some(Err(error)),
        }
    }
    attempt(source, Values::F32)
        .or_else(|| attempt(source, Values::U8))
        .or_else(|| attempt(source, Values::I8))
        .or_else(|| attempt(source, Values::U16))
        .or_else(|| attempt(source, Values::I16))
        .or_else(|| attempt(source, Values::I32))
        .or_else(|| attempt(source, Values::I64))
        // The last attempt's error names the type that the file has.
        .unwrap_or_else(|| {
            let array = source.read::<f64>()?;
            Ok(Array::new(array, Values::F64))
        })
}
