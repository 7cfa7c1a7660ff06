//! Linker scripts, and the memory map of the nRF52840-DK.

use std::env;

fn main() {
    let folder =
        env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR for build scripts");
    println!("cargo::rustc-link-search={folder}/../nrf52840-dk");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo::rerun-if-changed=../nrf52840-dk/memory.x");
}
