//! Build script of every board: linker scripts and the board's memory map.
//!
//! `memory.x` lies beside the board's Cargo.toml; cortex-m-rt's `link.x` includes it by name, so its folder is added
//! to the linker's search path.

use std::env;

fn main() {
    let board =
        env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR for build scripts");
    println!("cargo::rustc-link-search={board}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo::rerun-if-changed={board}/memory.x");
}
