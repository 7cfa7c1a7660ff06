//! Choices at import.

/// Choices at import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Name of the tensor to use as the network's output; the operators after it are dropped.
    ///
    /// `None` takes the file's own output, which must then be the only one.
    pub output: Option<String>,
}
