//! Why a model is not built in.

use std::{fmt, io, path::PathBuf};

use fewbit_runtime::{LoadError, format::family::Family, target};

/// Why a model is not built in; the message names the file and a way out.
#[derive(Debug)]
pub(crate) enum Error {
    /// A variable of cargo's is missing.
    NotABuildScript {
        /// Its name.
        variable: &'static str,
    },
    /// No model was given.
    NoModel,
    /// A file cannot be read.
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no blob that the runtime runs.
    Blob {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: LoadError,
    },
    /// A file's name, or a name that was given, makes no module.
    Name {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// Two models have one name.
    Twice {
        /// The second one's file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// `FEWBIT_ISA` is nothing that the target can have.
    Isa {
        /// What is wrong with it.
        message: String,
    },
    /// A blob is packed for kernels that the build does not have.
    OtherFamily {
        /// The blob.
        file: PathBuf,
        /// What it is packed for.
        packing: Family,
        /// What the build has.
        family: &'static str,
        /// The target of the build.
        target: String,
    },
    /// A run takes too long.
    Work {
        /// The blob.
        file: PathBuf,
        /// Elementary operations of a run.
        operations: u64,
        /// As many as are allowed.
        most: u64,
    },
    /// A file in `OUT_DIR` cannot be written.
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
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
                "{}: {name:?} is no name for a module; give one with `Models::named`",
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
                "{} takes {operations} operations a run, and {most} are allowed; take a smaller model, or allow more",
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
