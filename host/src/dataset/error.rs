//! Errors of data sets.

use std::path::PathBuf;

use super::DatasetSpecError;

/// Reason why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file cannot be opened.
    #[error("cannot open the data file {path}: {source}")]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The file is not a valid `.npz` or `.npy`.
    #[error("cannot read{} {path}: {problem}", of_array(array))]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Name of the array, if known.
        array: String,
        /// Description of the fault.
        problem: String,
    },
    /// The file has no such array.
    #[error("{path} has no array `{array}`, only: {existing}; choose with {}:X or {}:X,Y", path.display(), path.display())]
    NoArray {
        /// Path of the file.
        path: PathBuf,
        /// Name of the requested array.
        array: String,
        /// Names of the arrays that exist.
        existing: String,
    },
    /// The elements have a type that cannot be read.
    #[error(
        "elements of{} {path} have type {found}, expected one of {supported}",
        of_array(array)
    )]
    ElementType {
        /// Path of the file.
        path: PathBuf,
        /// Name of the array.
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
        /// Path of the file.
        path: PathBuf,
        /// Name of the array.
        array: String,
        /// Shape of the array.
        found: Vec<usize>,
        /// Shapes that are accepted.
        expected: String,
    },
    /// A number of a sample is not finite.
    #[error(
        "sample {sample} of{} {path}: element {element} is {value}{after}; samples must be finite numbers (f32): \
         mend the value, or leave the sample out with [!{sample}:{}]",
        of_array(array), *sample + 1
    )]
    NotFinite {
        /// Path of the file.
        path: PathBuf,
        /// Name of the array.
        array: String,
        /// Index of the sample in the file.
        sample: usize,
        /// Index of the element in the sample, in C order.
        element: usize,
        /// Its value.
        value: f32,
        /// Description of the step that gave it; empty for the number as stored.
        after: &'static str,
    },
    /// The labels do not match the network or the samples.
    #[error("labels in{} {path}: {problem}", of_array(array))]
    Labels {
        /// Path of the file.
        path: PathBuf,
        /// Name of the array.
        array: String,
        /// Found and expected labels.
        problem: String,
    },
    /// The selection contains no samples.
    #[error("`{spec}` chooses none of the {samples} samples")]
    Empty {
        /// Requested data set.
        spec: String,
        /// Number of samples in the file.
        samples: usize,
    },
    /// The transform does not match the network.
    #[error("input transform: {problem}")]
    Transform {
        /// Found and expected numbers.
        problem: String,
    },
    /// The text is not the name of a data set.
    #[error(transparent)]
    Spec(#[from] DatasetSpecError),
    /// The network does not have exactly one input.
    #[error(
        "network `{graph}` has {inputs} inputs; data files can feed networks with one input only"
    )]
    Inputs {
        /// Name of the network.
        graph: String,
        /// Number of its inputs.
        inputs: usize,
    },
}

/// Description of the array, before its file; empty for an `.npy` file, which has no names.
fn of_array(array: &str) -> String {
    match array {
        "" => String::new(),
        _ => format!(" array `{array}` of"),
    }
}
