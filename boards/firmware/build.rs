//! The model's constants, and the key of updates.
//!
//! See [`model`] for the former. With the feature `authenticated-updates`, `FEWBIT_UPDATE_KEY` names the file of the
//! public key, and `FEWBIT_UPDATE_PRODUCT` the product if it is not to be the board's name.

#[path = "../model.rs"]
mod model;

fn main() {
    model::write();
    #[cfg(feature = "authenticated-updates")]
    updates::write();
}

#[cfg(feature = "authenticated-updates")]
mod updates {
    use std::{env, fs, path::PathBuf};

    use fewbit_signed::{MOST_PRODUCT_BYTES, parse_public_key};

    use crate::model::fail;

    /// Writes `updates.rs` to `OUT_DIR`.
    pub(crate) fn write() {
        println!("cargo::rerun-if-env-changed=FEWBIT_UPDATE_KEY");
        println!("cargo::rerun-if-env-changed=FEWBIT_UPDATE_PRODUCT");
        println!("cargo::rerun-if-env-changed=FEWBIT_BOARD_NAME");
        let Some(path) = env::var_os("FEWBIT_UPDATE_KEY").map(PathBuf::from) else {
            fail(
                "authenticated updates need a key: FEWBIT_UPDATE_KEY names the file of the public one, \
                 which `cargo xtask update-key FILE` makes as FILE.pub",
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
             /// What updates are signed for.\nconst UPDATE_PRODUCT: &str = {product:?};\n"
        );
        let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
        fs::write(out.join("updates.rs"), source).expect("OUT_DIR is writable");
    }
}
