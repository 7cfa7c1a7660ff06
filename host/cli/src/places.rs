//! Checks that outputs do not overwrite inputs or one another.

use anyhow::bail;
use fewbit::output::{Identity, Target, WriteFileError};
use std::path::{Path, PathBuf};

/// Files of one command, compared before any work is done.
#[derive(Debug, Default)]
pub(crate) struct Places {
    inputs: Vec<(&'static str, PathBuf)>,
    outputs: Vec<(&'static str, PathBuf)>,
}

impl Places {
    /// Adds a file that is read; `what` describes it in messages, for example "the model".
    pub(crate) fn reads(mut self, what: &'static str, path: Option<&Path>) -> Self {
        self.inputs.extend(path.map(|path| (what, path.to_owned())));
        self
    }

    /// Adds a model file and its files of external weights.
    pub(crate) fn reads_model(mut self, what: &'static str, path: Option<&Path>) -> Self {
        let Some(path) = path else { return self };
        self.inputs.push((what, path.to_owned()));
        // A model that cannot be read is the importer's to tell.
        let bytes = std::fs::read(path).unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new(""));
        let beside = external_data(&bytes).into_iter();
        self.inputs
            .extend(beside.map(|name| ("the model's external data", folder.join(name))));
        self
    }

    /// Adds a file that is written; `what` is the option that names it.
    pub(crate) fn writes(mut self, what: &'static str, path: Option<&Path>) -> Self {
        self.outputs
            .extend(path.map(|path| (what, path.to_owned())));
        self
    }

    /// Compares all files.
    ///
    /// # Errors
    /// If an output has the path of an input, of another output, or of a folder.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut taken: Vec<(Identity, &str, &Path)> = Vec::new();
        for (what, path) in &self.outputs {
            let identity = Target::identity(path).map_err(|source| WriteFileError {
                path: path.clone(),
                source,
            })?;
            // Devices and pipes hold nothing that could be lost.
            let Some(identity) = identity else { continue };
            let lost = |(_, input): &&(&str, PathBuf)| {
                Target::identity(input).is_ok_and(|input| input.as_ref() == Some(&identity))
            };
            if let Some((input, place)) = self.inputs.iter().find(lost) {
                bail!(
                    "{what} {} would replace {input}, {}; give another file",
                    path.display(),
                    place.display()
                );
            }
            if let Some((_, other, place)) = taken.iter().find(|(taken, ..)| *taken == identity) {
                bail!(
                    "{what} {} and {other} {} are the same file; give each its own",
                    path.display(),
                    place.display()
                );
            }
            taken.push((identity, what, path));
        }
        Ok(())
    }
}

/// Whether two paths lead to the same file.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| Target::identity(path).ok().flatten();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Files of an ONNX model's external tensors: the values of `location` in their entries of external data, as protobuf writes them.
fn external_data(model: &[u8]) -> Vec<&str> {
    /// Field 1, 8 bytes: the key; then the tag of field 2, the value.
    const ENTRY: &[u8] = b"\x0a\x08location\x12";
    let mut files = Vec::new();
    let mut rest = model;
    while let Some(at) = rest.windows(ENTRY.len()).position(|bytes| bytes == ENTRY) {
        rest = &rest[at + ENTRY.len()..];
        // Lengths over 127 take two bytes; no name is longer than those can say.
        let (length, start) = match *rest {
            [low, high, ..] if low >= 0x80 => {
                (usize::from(low & 0x7f) | usize::from(high & 0x7f) << 7, 2)
            }
            [length, ..] => (usize::from(length), 1),
            [] => break,
        };
        let file = rest.get(start..start + length);
        if let Some(file) = file.and_then(|file| str::from_utf8(file).ok())
            && files.last() != Some(&file)
        {
            files.push(file);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_keep_off_inputs_and_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let long = "w".repeat(200);
        let mut model = b"..\x0a\x08location\x12\x05w.bin..\x0a\x08location\x12\xc8\x01".to_vec();
        model.extend(long.bytes());
        std::fs::write(path("m.onnx"), &model).expect("writes");
        for name in ["w.bin", &long, "x.npy"] {
            std::fs::write(path(name), b"data").expect("writes");
        }
        let check = |out: &str, json: &str| {
            let (model, samples) = (path("m.onnx"), path("x.npy"));
            Places::default()
                .reads_model("the model", Some(&model))
                .reads("the samples", Some(&samples))
                .reads("the recipe", None)
                .writes("--out", Some(&path(out)))
                .writes("--json", Some(&path(json)))
                .check()
                .map_err(|error| error.to_string())
        };
        check("new", "other").expect("apart");
        for (out, json, words) in [
            ("m.onnx", "j", ["--out", "the model"]),
            ("a", "x.npy", ["--json", "the samples"]),
            ("w.bin", "j", ["--out", "external data"]),
            (&long, "j", ["--out", "external data"]),
            ("same", "same", ["--out", "--json"]),
            (".", "j", [".", "a folder"]),
        ] {
            let error = check(out, json).expect_err("refused");
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        // What two outputs are called does not matter where both go nowhere.
        #[cfg(unix)]
        Places::default()
            .writes("--out", Some(Path::new("/dev/null")))
            .writes("--json", Some(Path::new("/dev/null")))
            .check()
            .expect("devices");
        for end in 0..model.len() {
            external_data(&model[..end]);
        }
    }
}
