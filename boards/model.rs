//! Puts the blob and the sizes it asks for into a firmware, for build scripts.
//!
//! `FEWBIT_BLOB` names the blob file. The runtime reads it here, on the host, so that the tables and the arena of the
//! firmware are exactly as large as this model needs, and a blob that does not load fails the build and not the board.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use fewbit_runtime::{Summary, format::kernels::kernels_of};

/// Writes `model.rs` and the blob to `OUT_DIR`.
pub(crate) fn write() {
    println!("cargo::rerun-if-env-changed=FEWBIT_BLOB");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let Some(path) = env::var_os("FEWBIT_BLOB").map(PathBuf::from) else {
        fail("FEWBIT_BLOB is not set: it names the .fewbit file to build into the firmware");
    };
    println!("cargo::rerun-if-changed={}", path.display());
    let blob = match fs::read(&path) {
        Ok(blob) => blob,
        Err(error) => fail(&format!("cannot read the blob {}: {error}", path.display())),
    };
    let summary = match Summary::from_bytes(&blob) {
        Ok(summary) => summary,
        Err(error) => fail(&format!(
            "{} is not a blob this runtime can run: {error}",
            path.display()
        )),
    };

    let kernels = match kernels_of(&blob) {
        Ok(kernels) => kernels,
        Err(error) => fail(&format!("{}: {error}", path.display())),
    };

    let blob_file = out.join("model.fewbit");
    fs::write(&blob_file, &blob).expect("OUT_DIR is writable");
    let mut source = String::new();
    let constants = [
        (
            "TENSORS",
            "Capacity of the tensor table.",
            u32::from(summary.tensors),
        ),
        (
            "OPS",
            "Capacity of the operator table.",
            u32::from(summary.ops),
        ),
        (
            "ARENA_BYTES",
            "Bytes of RAM for activations and scratch.",
            summary.arena_bytes,
        ),
        (
            "KERNELS",
            "The kernels that the model needs; no others are linked.",
            kernels,
        ),
    ];
    for (name, doc, value) in constants {
        let kind = if name == "KERNELS" { "u32" } else { "usize" };
        writeln!(source, "/// {doc}\npub const {name}: {kind} = {value};")
            .expect("writing to a string");
    }
    writeln!(
        source,
        "/// The blob, as it lies in flash.\npub static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!({blob_file:?}));"
    )
    .expect("writing to a string");
    fs::write(out.join("model.rs"), source).expect("OUT_DIR is writable");
}

/// Ends the build with a message that cargo shows as an error.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
