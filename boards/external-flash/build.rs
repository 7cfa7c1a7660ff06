//! Memories of the board; no model is embedded.
//!
//! `FEWBIT_BOARD` is the folder of the board.

use std::{env, path::PathBuf};

use fewbit_build::{fail, memory_map};

fn main() {
    println!("cargo::rerun-if-env-changed=FEWBIT_BOARD");
    let Some(board) = env::var_os("FEWBIT_BOARD") else {
        fail("FEWBIT_BOARD is not set: it names the folder of a board");
    };
    memory_map(PathBuf::from(board).join("memory.x"));
}
