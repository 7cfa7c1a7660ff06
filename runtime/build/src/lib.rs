//! Embeds models in firmware, from build scripts.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod models;
mod source;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{self, Path},
    process,
};

use error::Error;
pub use models::Models;

/// Embeds one model in the firmware: writes `NAME.rs` and the blob to `OUT_DIR`, where NAME is the file's.
///
/// On an error, ends the build with a message that names the file and a way out.
pub fn embed(model: impl AsRef<Path>) {
    Models::new().model(model).emit();
}

/// Passes a memory map, usually `memory.x`, and the script `link.x` of the start-up code to the linker.
///
/// Ends the build with an error if there is no such file.
pub fn memory_map(file: impl AsRef<Path>) {
    let file = file.as_ref();
    println!("cargo::rerun-if-changed={}", file.display());
    // As the linker runs in another folder.
    let absolute =
        path::absolute(file).and_then(|absolute| fs::metadata(&absolute).map(|_| absolute));
    let folder = match &absolute {
        Ok(file) => file.parent().unwrap_or(file),
        Err(error) => fail(&format!(
            "cannot read the memory map {}: {error}; correct the path in build.rs, or copy one for the chip there",
            file.display()
        )),
    };
    println!("cargo::rustc-link-search={}", folder.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}

/// Ends a build script with an error that cargo shows as its own.
pub fn fail(message: &str) -> ! {
    // A line for each, as cargo takes no longer ones.
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    // What was said fails the build; a code other than 0 would show all that the script has written, too.
    process::exit(0)
}
