//! The model's constants, and what else the application is built with.
//!
//! `FEWBIT_BLOB` names the model. With the feature `slots` see [`slots`], with `mlperf` [`mlperf`]; with
//! `authenticated-updates`, `FEWBIT_UPDATE_KEY` names the file of the public key, and `FEWBIT_UPDATE_PRODUCT` the product if
//! it is not to be the board's name.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use fewbit_build::{Models, fail};

fn main() {
    println!("cargo::rerun-if-env-changed=FEWBIT_BLOB");
    let Some(blob) = env::var_os("FEWBIT_BLOB") else {
        fail("FEWBIT_BLOB is not set: it names the .fewbit file to build into the firmware");
    };
    let mut models = Models::new().named("own", blob);
    println!("cargo::rerun-if-env-changed=FEWBIT_EVERY_KERNEL");
    if env::var_os("FEWBIT_EVERY_KERNEL").is_some() {
        // For a look at what the runtime links, whatever the model.
        models = models.every_kernel();
    }
    if env::var_os("CARGO_FEATURE_SLOTS").is_some() {
        models = slots(models);
    }
    models.emit();
    if env::var_os("CARGO_FEATURE_MLPERF").is_some() {
        mlperf();
    }
    #[cfg(feature = "authenticated-updates")]
    updates::write();
}

/// Writes a file to `OUT_DIR`.
fn write(name: &str, source: &str) {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    fs::write(out.join(name), source).expect("OUT_DIR is writable");
}

/// Reads the place of the slots for models (`FEWBIT_SLOTS`), the limit of a model's operations (`FEWBIT_MOST_OPERATIONS`), and
/// the models for which there must be room (`FEWBIT_ROOM`).
fn slots(mut models: Models) -> Models {
    println!("cargo::rerun-if-env-changed=FEWBIT_SLOTS");
    println!("cargo::rerun-if-env-changed=FEWBIT_ROOM");
    let slots = env::var("FEWBIT_SLOTS").unwrap_or_default();
    let numbers = slots
        .split_once(',')
        .and_then(|(offset, bytes)| Some((offset.parse().ok()?, bytes.parse().ok()?)));
    let Some((offset, bytes)) = numbers else {
        fail(
            "FEWBIT_SLOTS is OFFSET,BYTES: where the first slot is in the flash, and the bytes of a slot",
        );
    };
    let (offset, bytes): (u32, u32) = (offset, bytes);
    let most = most_operations();
    write(
        "slots.rs",
        &format!(
            "/// Where the slots for models start in the flash.\npub const SLOTS_OFFSET: usize = {offset};\n\
             /// Bytes of a slot.\npub const SLOT_BYTES: usize = {bytes};\n\
             /// Elementary operations of the longest run that a model may take.\npub const MOST_OPERATIONS: u64 = {most};\n"
        ),
    );
    let room = env::var_os("FEWBIT_ROOM").unwrap_or_default();
    for other in env::split_paths(&room).filter(|path| path != Path::new("")) {
        models = models.room(other);
    }
    models.most_work(most)
}

/// Elementary operations of the longest run; default: the limit of the format.
fn most_operations() -> u64 {
    println!("cargo::rerun-if-env-changed=FEWBIT_MOST_OPERATIONS");
    match env::var("FEWBIT_MOST_OPERATIONS") {
        Err(env::VarError::NotPresent) => u64::MAX,
        Ok(number) if number.parse().is_ok_and(|number: u64| number > 0) => {
            number.parse().unwrap_or(u64::MAX)
        }
        _ => {
            fail("FEWBIT_MOST_OPERATIONS is a whole number above 0: operations of the longest run")
        }
    }
}

/// The constants of MLPerf Tiny's interface.
fn mlperf() {
    println!("cargo::rerun-if-env-changed=FEWBIT_MLPERF_MODEL");
    println!("cargo::rerun-if-env-changed=FEWBIT_MLPERF_TABLE");
    let (Ok(model), Ok(table)) = (
        env::var("FEWBIT_MLPERF_MODEL"),
        env::var("FEWBIT_MLPERF_TABLE"),
    ) else {
        fail(
            "FEWBIT_MLPERF_MODEL names the benchmark's model, and FEWBIT_MLPERF_TABLE the file of 256 input values",
        );
    };
    println!("cargo::rerun-if-changed={table}");
    write(
        "mlperf.rs",
        &format!(
            "/// The benchmark's name of the model.\npub const MLPERF_MODEL: &str = {model:?};\n\
             /// The model's input value for each byte of the benchmark's.\npub static INPUT_TABLE: [u8; 256] = *include_bytes!({table:?});\n"
        ),
    );
}

#[cfg(feature = "authenticated-updates")]
mod updates {
    use std::{env, fs, path::PathBuf};

    use fewbit_build::fail;
    use fewbit_signed::{MOST_PRODUCT_BYTES, parse_public_key};

    /// Writes `updates.rs` to `OUT_DIR`.
    pub(crate) fn write() {
        println!("cargo::rerun-if-env-changed=FEWBIT_UPDATE_KEY");
        println!("cargo::rerun-if-env-changed=FEWBIT_UPDATE_PRODUCT");
        println!("cargo::rerun-if-env-changed=FEWBIT_BOARD_NAME");
        let Some(path) = env::var_os("FEWBIT_UPDATE_KEY").map(PathBuf::from) else {
            fail(
                "authenticated updates need a key: FEWBIT_UPDATE_KEY names the file of the public one, \
                 which `fewbit update-key FILE` makes as FILE.pub",
            );
        };
        println!("cargo::rerun-if-changed={}", path.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => fail(&format!("cannot read the key {}: {error}", path.display())),
        };
        let key = match parse_public_key(&text) {
            Ok(key) => key,
            Err(error) => fail(&format!("{}: {error}", path.display())),
        };
        let product = env::var("FEWBIT_UPDATE_PRODUCT")
            .or_else(|_| env::var("FEWBIT_BOARD_NAME"))
            .unwrap_or_default();
        if product.is_empty() || product.len() > MOST_PRODUCT_BYTES {
            fail(&format!(
                "FEWBIT_UPDATE_PRODUCT, or else the board's name, is to be 1 to {MOST_PRODUCT_BYTES} bytes"
            ));
        }
        let source = format!(
            "/// The public key of updates.\nconst UPDATE_KEY: [u8; fewbit_signed::KEY_BYTES] = {key:?};\n\
             /// Product in the signatures of updates.\nconst UPDATE_PRODUCT: &str = {product:?};\n"
        );
        crate::write("updates.rs", &source);
    }
}
