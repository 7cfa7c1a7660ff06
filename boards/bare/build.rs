//! The model's constants and the board's memories.
//!
//! `FEWBIT_BLOB` is the model, `FEWBIT_BOARD` the folder of the board.

use std::{env, path::PathBuf};

use fewbit_build::{Models, fail, memory_map};

fn main() {
    for name in ["FEWBIT_BLOB", "FEWBIT_BOARD", "FEWBIT_EVERY_KERNEL"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let Some(blob) = env::var_os("FEWBIT_BLOB") else {
        fail("FEWBIT_BLOB is not set: it names the .fewbit file to build into the firmware");
    };
    let Some(board) = env::var_os("FEWBIT_BOARD") else {
        fail("FEWBIT_BOARD is not set: it names the folder of a board");
    };
    let mut models = Models::new().named("model", blob);
    if env::var_os("FEWBIT_EVERY_KERNEL").is_some() {
        // For a look at what the runtime links, whatever the model.
        models = models.every_kernel();
    }
    models.emit();
    memory_map(PathBuf::from(board).join("memory.x"));
}
