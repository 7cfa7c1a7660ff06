//! Real models for tests and benchmarks, which are no part of the project.
//!
//! They lie in the folder that `FEWBIT_MODELS` names, by default in `shared/models` beside the project; a test whose model is absent is skipped.

use std::path::PathBuf;

/// The default folder, seen from the workspace's root.
const DEFAULT: &str = "../shared/models";

/// Folder of the real models; `None` if it is not there.
pub fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("FEWBIT_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => crate::repository().root().join(DEFAULT),
    };
    folder.is_dir().then_some(folder)
}

/// Path of a file in that folder, such as `kws/kws_float.onnx`; prints a note if it is absent, so that the test is skipped.
pub fn find(file: &str) -> Option<PathBuf> {
    let path = folder().map(|folder| folder.join(file));
    match path {
        Some(path) if path.is_file() => Some(path),
        _ => {
            fewbit_cli::note(&format!(
                "SKIPPED: {file} is not there; set FEWBIT_MODELS to the folder of models"
            ));
            None
        }
    }
}

/// Ends a test whose files are absent.
///
/// # Panics
/// In CI, where they must be there.
pub fn skipped() {
    assert!(
        std::env::var_os("CI").is_none(),
        "files of the models are absent; in CI they must be there"
    );
}
