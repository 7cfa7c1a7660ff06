//! Tells the library which host it runs on.
//!
//! The name is part of a path inside a toolchain; cargo only gives it to build scripts.

fn main() {
    let host = std::env::var("HOST").expect("cargo sets HOST for build scripts");
    println!("cargo::rustc-env=FEWBIT_HOST={host}");
    println!("cargo::rerun-if-changed=build.rs");
}
