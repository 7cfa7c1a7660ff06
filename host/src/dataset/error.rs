//! Why a data set cannot be used.

use std::path::PathBuf;

use super::DatasetSpecError;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file cannot be opened.
    #[error("cannot open the data file {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is no valid `.npz` or `.npy`.
    #[error("cannot read{} {path}: {problem}", of_array(array))]
    Read {
        /// The file.
        path: PathBuf,
        /// The array, where it is known.
        array: String,
        /// The reason.
        problem: String,
    },
    /// The file has no such array.
    #[error("{path} has no array `{array}`, only: {existing}; choose with {}:X or {}:X,Y", path.display(), path.display())]
    NoArray {
        /// The file.
        path: PathBuf,
        /// The array asked for.
        array: String,
        /// The arrays that exist.
        existing: String,
    },
    /// The elements have a type that cannot be read.
    #[error(
        "elements of{} {path} have type {found}, expected one of {supported}",
        of_array(array)
    )]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// The NumPy type descriptor.
        found: String,
        /// Types that can be read.
        supported: &'static str,
    },
    /// The array does not have the shape of the network's input.
    #[error(
        "shape of{} {path} is {found:?}, expected [samples, ..] with {expected}",
        of_array(array)
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shapes that would do.
        expected: String,
    },
    /// A number of a sample is not finite.
    #[error(
        "sample {sample} of{} {path}: element {element} is {value}{after}; samples must be finite numbers (f32): \
         mend the value, or leave the sample out with [!{sample}:{}]",
        of_array(array), *sample + 1
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// The sample, as the file counts them.
        sample: usize,
        /// The element of the sample, in C order.
        element: usize,
        /// What it is.
        value: f32,
        /// After which step, in words; empty for the number as stored.
        after: &'static str,
    },
    /// The labels do not suit the network or the samples.
    #[error("labels in{} {path}: {problem}", of_array(array))]
    Labels {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The choice of samples leaves none.
    #[error("`{spec}` chooses none of the {samples} samples")]
    Empty {
        /// The data set asked for.
        spec: String,
        /// Samples in the file.
        samples: usize,
    },
    /// The transform does not suit the network.
    #[error("input transform: {problem}")]
    Transform {
        /// What was found and what was expected.
        problem: String,
    },
    /// The text names no data set.
    #[error(transparent)]
    Spec(#[from] DatasetSpecError),
    /// The network does not have exactly one input.
    #[error(
        "network `{graph}` has {inputs} inputs; data files can feed networks with one input only"
    )]
    Inputs {
        /// Name of the network.
        graph: String,
        /// Its inputs.
        inputs: usize,
    },
}

/// The array in words, in front of its file; nothing for an `.npy` file, which has no names.
fn of_array(array: &str) -> String {
    match array {
        "" => String::new(),
        _ => format!(" array `{array}` of"),
    }
}
