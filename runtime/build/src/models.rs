//! Models embedded in firmware.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use fewbit_runtime::{KernelSet, format::family::Family, target};

use crate::{
    Error, fail,
    source::{Needs, Sizes},
};

/// Models embedded in one firmware.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is written before `emit`"]
pub struct Models {
    /// Names, if they differ from the files', and files.
    models: Vec<(Option<String>, PathBuf)>,
    room: Vec<PathBuf>,
    every_kernel: bool,
    most_work: Option<u64>,
}

/// Settings that cargo passes to a build script.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) target: String,
    /// Value of `FEWBIT_ISA`.
    pub(crate) isa: Option<String>,
    pub(crate) out: PathBuf,
}

/// Files to write, and lines to print.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// Names in `OUT_DIR`, and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) warnings: Vec<String>,
}

impl Models {
    /// Creates an empty set of models.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model under its file's name, in which `-`, `.` and spaces become `_`.
    pub fn model(mut self, file: impl AsRef<Path>) -> Self {
        self.models.push((None, file.as_ref().to_path_buf()));
        self
    }

    /// Adds a model under a name, which must be valid for a module.
    pub fn named(mut self, name: &str, file: impl AsRef<Path>) -> Self {
        let file = file.as_ref().to_path_buf();
        self.models.push((Some(name.to_owned()), file));
        self
    }

    /// Gives `models.rs` the capacity and the kernels for a model that is not embedded.
    pub fn room(mut self, file: impl AsRef<Path>) -> Self {
        self.room.push(file.as_ref().to_path_buf());
        self
    }

    /// Links the kernels of every operator, not only those of the models.
    pub fn every_kernel(mut self) -> Self {
        self.every_kernel = true;
        self
    }

    /// Refuses models that take more elementary operations per inference than this.
    pub fn most_work(mut self, operations: u64) -> Self {
        self.most_work = Some(operations);
        self
    }

    /// Writes one file per model, `models.rs` for all of them, and the blobs to `OUT_DIR`.
    ///
    /// On an error, ends the build with a message that names the file and a way out.
    pub fn emit(&self) {
        println!("cargo::rerun-if-env-changed={}", target::VARIABLE);
        let built_in = self.models.iter().map(|(_, file)| file);
        for file in built_in.chain(&self.room) {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let written = Build::of_this_process().and_then(|build| {
            let output = self.output(&build)?;
            for (name, content) in &output.files {
                let file = build.out.join(name);
                fs::write(&file, content).map_err(|error| Error::Write { file, error })?;
            }
            Ok(output.warnings)
        });
        match written {
            Ok(warnings) => {
                for warning in warnings {
                    println!("cargo::warning={warning}");
                }
            }
            Err(error) => fail(&error.to_string()),
        }
    }

    /// Files that [`Models::emit`] writes.
    pub(crate) fn output(&self, build: &Build) -> Result<Output, Error> {
        if self.models.is_empty() {
            return Err(Error::NoModel);
        }
        let family = build.family()?;
        let mut output = Output::default();
        output.warnings.extend(build.slower_than_it_could(family));
        let mut names = BTreeSet::from(["models".to_owned()]);
        let mut all = Needs::default();
        let mut modules = String::new();
        for (name, file) in &self.models {
            let name = name_of(name.as_deref(), file)?;
            if !names.insert(name.clone()) {
                let file = file.clone();
                return Err(Error::Twice { file, name });
            }
            let (blob, sizes) = self.read(file, family, build)?;
            let needs = self.linked(sizes.needs);
            all = all.or(needs);
            let blob_name = format!("{name}.fewbit");
            let source = sizes.source(&needs, &build.out.join(&blob_name));
            let source_name = format!("{name}.rs");
            modules += &format!(
                "/// The model `{name}`.\npub mod {name} {{\n    include!({:?});\n}}\n",
                build.out.join(&source_name)
            );
            output.files.push((blob_name, blob));
            output.files.push((source_name, source.into_bytes()));
        }
        for file in &self.room {
            let (_, sizes) = self.read(file, family, build)?;
            all = all.or(sizes.needs);
        }
        let source = self.linked(all).source("any of the models needs.") + &modules;
        let file = ("models.rs".to_owned(), source.into_bytes());
        output.files.push(file);
        Ok(output)
    }

    fn linked(&self, mut needs: Needs) -> Needs {
        if self.every_kernel {
            needs.kernels = KernelSet::ALL;
        }
        needs
    }

    /// Reads a blob, and checks that the build can run it.
    fn read(
        &self,
        file: &Path,
        family: &'static str,
        build: &Build,
    ) -> Result<(Vec<u8>, Sizes), Error> {
        let file = file.to_path_buf();
        let read = fs::read(&file).and_then(|blob| Ok((Sizes::read(&blob)?, blob)));
        let (sizes, blob) = match read {
            Ok((Ok(sizes), blob)) => (sizes, blob),
            Ok((Err(error), _)) => return Err(Error::Blob { file, error }),
            Err(error) => return Err(Error::Read { file, error }),
        };
        let packing = sizes.packing;
        let runs = family == target::ALL || packing == Family::Scalar || packing.name() == family;
        if !runs {
            return Err(Error::OtherFamily {
                file,
                packing,
                family,
                target: build.target.clone(),
            });
        }
        match self.most_work {
            Some(most) if sizes.work > most => Err(Error::Work {
                file,
                operations: sizes.work,
                most,
            }),
            _ => Ok((blob, sizes)),
        }
    }
}

impl Build {
    fn of_this_process() -> Result<Self, Error> {
        let variable = |variable| env::var_os(variable).ok_or(Error::NotABuildScript { variable });
        Ok(Self {
            target: variable("TARGET")?.to_string_lossy().into_owned(),
            isa: env::var(target::VARIABLE).ok(),
            out: variable("OUT_DIR")?.into(),
        })
    }

    fn family(&self) -> Result<&'static str, Error> {
        let isa = self.isa.as_deref();
        target::of_target(&self.target, isa).map_err(|message| Error::Isa { message })
    }

    /// Warning if the target may have faster kernels and `FEWBIT_ISA` is not set.
    fn slower_than_it_could(&self, family: &str) -> Option<String> {
        let variable = target::VARIABLE;
        let faster = target::of_target(&self.target, Some(Family::Dsp.name())).is_ok();
        (self.isa.is_none() && family == Family::Scalar.name() && faster).then(|| {
            format!(
                "{variable} is not set, and {} does not tell the processor: the kernels are the slow ones that run on any; \
                 set {variable} in [env] of .cargo/config.toml to \"dsp\" for Cortex-M33, \"mve\" for Cortex-M55 or M85, or \"scalar\" to keep them",
                self.target
            )
        })
    }
}

/// Name of a model's module: the given one, or the file's without its extension.
fn name_of(given: Option<&str>, file: &Path) -> Result<String, Error> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            stem.replace(['-', '.', ' '], "_")
        }
    };
    let first = |first: char| first.is_ascii_alphabetic() || first == '_';
    let plain =
        name.starts_with(first) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !plain || name == "_" || KEYWORDS.contains(&&*name) {
        let file = file.to_path_buf();
        return Err(Error::Name { file, name });
    }
    Ok(name)
}

/// Keywords of Rust, which cannot name a module.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "Self", "static", "struct", "super", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
