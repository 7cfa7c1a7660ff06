//! The constants of both models, and the board's memories.
//!
//! `FEWBIT_BLOB` and `FEWBIT_SECOND_BLOB` are the models, `FEWBIT_BOARD` is the folder of the board.

use std::{env, path::PathBuf};

use fewbit_build::{Models, fail, memory_map};

fn main() {
    Models::new()
        .named("first", path("FEWBIT_BLOB"))
        .named("second", path("FEWBIT_SECOND_BLOB"))
        .emit();
    memory_map(path("FEWBIT_BOARD").join("memory.x"));
}

/// The path in a variable.
fn path(variable: &str) -> PathBuf {
    println!("cargo::rerun-if-env-changed={variable}");
    match env::var_os(variable) {
        Some(path) => path.into(),
        None => fail(&format!(
            "{variable} is not set: FEWBIT_BLOB and FEWBIT_SECOND_BLOB name .fewbit files, FEWBIT_BOARD a board's folder"
        )),
    }
}
