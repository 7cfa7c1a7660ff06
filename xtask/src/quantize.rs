//! `cargo xtask quantize`: `fewbit quantize`, with its output under `target/`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fewbit::cli::{QuantizeArgs, quantize, show};
use fewbit::default_model;

use crate::board::Board;
use crate::repository;

/// Where blobs go that no one gave a place.
pub fn blob_path(model: Option<&Path>) -> PathBuf {
    let stem = model.and_then(Path::file_stem).map_or_else(
        || default_model::NAME.into(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    repository()
        .join("target")
        .join("fewbit")
        .join(format!("{stem}.fewbit"))
}

/// Quantizes, and says what the next step is.
///
/// # Errors
///
/// As [`fewbit::cli::quantize`].
pub fn task(args: &QuantizeArgs) -> Result<()> {
    let mut args = args.clone();
    args.out
        .get_or_insert_with(|| blob_path(args.model.as_deref()));
    // A board's name stands for its processor.
    if let Some(board) = args
        .target
        .as_deref()
        .and_then(|name| Board::load(name).ok())
    {
        args.target = Some(board.isa.packing().name().to_owned());
    }
    let outcome = quantize(&args)?;
    let shown = outcome
        .blob
        .strip_prefix(std::env::current_dir()?)
        .unwrap_or(&outcome.blob);
    show(&format!("next    cargo xtask verify {}", shown.display()))
}
