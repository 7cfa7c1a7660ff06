//! Errors of embedding models.

use std::{fmt, io, path::PathBuf};

use fewbit_runtime::{LoadError, format::family::Family, target};

/// Reason why a model is not embedded; the message names the file and a way out.
#[derive(Debug)]
pub(crate) enum Error {
    /// A variable that cargo sets is missing.
    NotABuildScript {
        /// Name of the variable.
        variable: &'static str,
    },
    /// No model was given.
    NoModel,
    /// A file cannot be read.
    Read {
        /// Path of the file.
        file: PathBuf,
        /// Error of the system.
        error: io::Error,
    },
    /// A file is not a blob that the runtime can run.
    Blob {
        /// Path of the file.
        file: PathBuf,
        /// Error of the loader.
        error: LoadError,
    },
    /// A file's name, or a given name, is not valid for a module.
    Name {
        /// Path of the file.
        file: PathBuf,
        /// Invalid name.
        name: String,
    },
    /// Two models have the same name.
    Twice {
        /// File of the second model.
        file: PathBuf,
        /// Name of both.
        name: String,
    },
    /// `FEWBIT_ISA` is not a family that the target can have.
    Isa {
        /// Description of the error.
        message: String,
    },
    /// A blob is packed for kernels that the build does not have.
    OtherFamily {
        /// Path of the blob.
        file: PathBuf,
        /// Family that the blob is packed for.
        packing: Family,
        /// Family of the build.
        family: &'static str,
        /// Target of the build.
        target: String,
    },
    /// A run takes more operations than allowed.
    Work {
        /// Path of the blob.
        file: PathBuf,
        /// Elementary operations per inference.
        operations: u64,
        /// Allowed number of operations.
        most: u64,
    },
    /// A file in `OUT_DIR` cannot be written.
    Write {
        /// Path of the file.
        file: PathBuf,
        /// Error of the system.
        error: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variable = target::VARIABLE;
        match self {
            Self::NotABuildScript { variable } => write!(
                f,
                "{variable} is not set: fewbit-build is for build scripts, which cargo starts"
            ),
            Self::NoModel => f.write_str("no model is given: call `model` before `emit`"),
            Self::Read { file, error } => write!(
                f,
                "cannot read the model {}: {error}; correct the path in build.rs, or make the file with `fewbit quantize`",
                file.display()
            ),
            Self::Blob { file, error } => write!(
                f,
                "{} is not a blob that this runtime can run: {error}; write it again with `fewbit quantize` of the runtime's version",
                file.display()
            ),
            Self::Name { file, name } => write!(
                f,
                "{}: {name:?} is not valid as the name of a module; give one with `Models::named`",
                file.display()
            ),
            Self::Twice { file, name } => write!(
                f,
                "{}: there is a model {name} already; give another name with `Models::named`",
                file.display()
            ),
            Self::Isa { message } => write!(
                f,
                "{message}; set {variable} in [env] of .cargo/config.toml to the processor's kernel family"
            ),
            Self::OtherFamily {
                file,
                packing,
                family,
                target,
            } => {
                let packing = packing.name();
                write!(
                    f,
                    "{} is packed for the kernel family `{packing}`, and this build for {target} has `{family}`; ",
                    file.display()
                )?;
                // The variable helps only where the target can have the family.
                if target::of_target(target, Some(packing)).is_ok() {
                    write!(
                        f,
                        "if the processor has its instructions, set {variable} = \"{packing}\" in [env] of .cargo/config.toml, or else "
                    )?;
                }
                write!(f, "quantize with --target {family}")
            }
            Self::Work {
                file,
                operations,
                most,
            } => write!(
                f,
                "{} takes {operations} operations per run, and {most} are allowed; use a smaller model, or allow more",
                file.display()
            ),
            Self::Write { file, error } => write!(f, "cannot write {}: {error}", file.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } | Self::Write { error, .. } => Some(error),
            Self::Blob { error, .. } => Some(error),
            _ => None,
        }
    }
}
