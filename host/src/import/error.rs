//! Errors of model files.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use crate::graph::GraphError;

/// Reason why a model file could not be imported, and its place in the file.
#[derive(Debug, thiserror::Error)]
#[error("import of `{file}`: {place}{kind}")]
pub struct ImportError {
    /// The model file, as the caller named it.
    pub file: String,
    /// The operator at fault; [`Place::default`] where it is the file as a whole.
    pub place: Place,
    /// Found and expected values, and a way out.
    pub kind: Box<ImportErrorKind>,
}

impl ImportError {
    /// The stage of the toolchain that reports this error.
    pub const STAGE: &'static str = "import";

    /// Whether the model is sound but uses what is not supported.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            *self.kind,
            ImportErrorKind::Opset { .. }
                | ImportErrorKind::UnsupportedOperator { .. }
                | ImportErrorKind::UnsupportedForm { .. }
                | ImportErrorKind::MixesBatch(_)
        )
    }
}

/// An operator of a model file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the node, or of its first output if it has no name.
    pub node: Option<String>,
    /// Operator of the node.
    pub op: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, &self.op) {
            (Some(node), Some(op)) => write!(f, "node `{node}` ({op}): "),
            (Some(node), None) => write!(f, "node `{node}`: "),
            _ => Ok(()),
        }
    }
}

/// The kinds of [`ImportError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportErrorKind {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// No importer knows this kind of file.
    #[error("is not a readable model file ({found}); {help}")]
    UnknownFormat {
        /// Apparent format of the file.
        found: String,
        /// The way out.
        help: String,
    },
    /// The bytes are not a valid model file.
    #[error("is damaged: {0}; export the model again")]
    Malformed(String),
    /// The operator set's version is outside the supported range.
    #[error("uses opset {found}, supported are {oldest} to {newest}; {}", opset_help(*found, *newest))]
    Opset {
        /// Version in the file.
        found: i64,
        /// Oldest supported version.
        oldest: i64,
        /// Newest supported version.
        newest: i64,
    },
    /// The operator is not supported at all.
    #[error("the operator is not supported; {help}")]
    UnsupportedOperator {
        /// The way out.
        help: &'static str,
    },
    /// The operator is supported, but not as it is used here.
    #[error("{what}; {help}")]
    UnsupportedForm {
        /// Unsupported feature.
        what: String,
        /// The way out.
        help: &'static str,
    },
    /// The samples of a batch would influence each other.
    #[error(
        "{0}, which mixes the batch axis with others; samples are computed one by one, so keep the batch as an axis of its own"
    )]
    MixesBatch(String),
    /// The operator's attributes or operands contradict its definition.
    #[error("{0}")]
    Invalid(String),
    /// A tensor would be larger than any microcontroller's memory.
    #[error("{what} has more than {limit} elements; use a smaller network or input")]
    TooLarge {
        /// Name of the tensor.
        what: String,
        /// Largest supported number of elements.
        limit: usize,
    },
    /// The network's inputs or outputs are not as required.
    #[error("{0}")]
    Interface(String),
    /// The graph that came out is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The way out of an opset that is not supported. Converting across opset 13 makes a Softmax that mixes the batch with others, so old files go to 12.
fn opset_help(found: i64, newest: i64) -> String {
    if found > newest {
        format!(
            "export with opset {newest}, or convert the model to it with `onnx.version_converter.convert_version(model, {newest})`"
        )
    } else {
        "export with opset 17, or set the batch to 1 and convert the model to opset 12 with `onnx.version_converter.convert_version(model, 12)`".to_owned()
    }
}

impl ImportErrorKind {
    /// The refusal of a version of ONNX's operator set.
    pub(crate) fn opset(found: i64, supported: RangeInclusive<i64>) -> Self {
        ImportErrorKind::Opset {
            found,
            oldest: *supported.start(),
            newest: *supported.end(),
        }
    }
}

/// Result of importing one operator; the caller adds file and node.
pub(crate) type OpResult<T> = Result<T, ImportErrorKind>;

/// Shorthand for [`ImportErrorKind::Invalid`].
pub(crate) fn invalid(problem: impl Into<String>) -> ImportErrorKind {
    ImportErrorKind::Invalid(problem.into())
}

/// Shorthand for [`ImportErrorKind::UnsupportedForm`].
pub(crate) fn unsupported(what: impl Into<String>, help: &'static str) -> ImportErrorKind {
    ImportErrorKind::UnsupportedForm {
        what: what.into(),
        help,
    }
}
