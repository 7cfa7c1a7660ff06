//! The model's constants and the board's memories.
//!
//! `FEWBIT_BOARD` is the folder of the board.

use std::env;

#[path = "../model.rs"]
mod model;

fn main() {
    model::write();
    println!("cargo::rerun-if-env-changed=FEWBIT_BOARD");
    let Ok(board) = env::var("FEWBIT_BOARD") else {
        println!("cargo::error=FEWBIT_BOARD is not set: it names the folder of a board");
        return;
    };
    println!("cargo::rustc-link-search={board}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-changed={board}/memory.x");
}
