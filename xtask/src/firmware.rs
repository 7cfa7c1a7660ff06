//! Building the firmware of a board around a blob.
//!
//! Blobs and finished firmware are kept under names made of their content, so that a build for another blob never
//! changes a file that an emulator is just reading, and builds from several processes wait for each other.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit_runtime::{Summary, format::packing::Packing};
use sha2::{Digest as _, Sha256};

use crate::{
    board::{self, Board},
    device_dir, elf, process, setup,
};

/// Time for one build; the first one compiles all dependencies, and `core` too on the Debian way.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// A firmware, ready to run.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// The ELF file; its name holds a hash of the blob.
    pub elf: PathBuf,
    /// Bytes in flash without the blob: code and constants of application and kernels.
    pub flash_bytes: u64,
    /// Bytes of the blob, which lies in flash too.
    pub blob_bytes: u64,
    /// Bytes of variables, the arena included and the stack not.
    pub static_ram_bytes: u64,
    /// The compiler, as it names itself.
    pub compiler: String,
}

/// Builds the firmware of `board` around the blob in `blob_path`.
///
/// # Errors
///
/// If the blob cannot be read or does not load, there is no toolchain, or the build fails.
pub fn build(board: &Board, blob_path: &Path) -> Result<Firmware> {
    let blob = fs::read(blob_path)
        .with_context(|| format!("cannot read the blob {}", blob_path.display()))?;
    build_bytes(board, &blob)
        .with_context(|| format!("firmware of {} for {}", board.name, blob_path.display()))
}

/// Builds the firmware of `board` around `blob`.
///
/// # Errors
///
/// As [`build`].
pub fn build_bytes(board: &Board, blob: &[u8]) -> Result<Firmware> {
    // Here and not only in the firmware's build script: its message would be in the middle of cargo's.
    let summary = match Summary::from_bytes(blob) {
        Ok(summary) => summary,
        Err(error) => bail!("this is not a blob that the runtime can run: {error}"),
    };
    if ![Packing::Scalar, board.isa.packing()].contains(&summary.packing) {
        bail!(
            "the blob is packed for the kernel family `{}`, {} runs `{}`; quantize with --target {}, or without for any board",
            summary.packing.name(),
            board.name,
            board.isa.name(),
            board.name
        );
    }
    let toolchain = setup::ensure()?;
    let kept = device_dir().join("firmware");
    fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
    let hash = content_name(blob);
    let way = toolchain.target_dir();
    let way = way
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();

    let blob_file = kept.join(format!("{hash}.fewbit"));
    if !blob_file.is_file() {
        write_whole(&blob_file, blob)?;
    }
    let lock_path = kept.join("build.lock");
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock()
        .with_context(|| format!("cannot lock {}", lock_path.display()))?;

    eprintln!("building the firmware of {}", board.name);
    let mut cargo = toolchain.cargo(&board.target);
    cargo
        .current_dir(board::folder())
        .args(["build", "--quiet", "--release", "--package", &board.name])
        .env("FEWBIT_BLOB", &blob_file)
        .env("FEWBIT_ISA", board.isa.name());
    process::run(&mut cargo, BUILD_LIMIT)?;

    let built = toolchain
        .target_dir()
        .join(&board.target)
        .join("release")
        .join(&board.name);
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let elf = kept.join(format!("{}-{way}-{hash}.elf", board.name));
    write_whole(&elf, &bytes)?;
    drop(lock);

    let sizes = elf::sizes(&bytes).with_context(|| built.display().to_string())?;
    let blob_bytes = blob.len() as u64;
    Ok(Firmware {
        elf,
        flash_bytes: sizes.flash_bytes.saturating_sub(blob_bytes),
        blob_bytes,
        static_ram_bytes: sizes.static_ram_bytes,
        compiler: toolchain.version().to_owned(),
    })
}

/// A file name for content: the first 16 hexadecimal digits of its SHA-256.
fn content_name(bytes: &[u8]) -> String {
    let mut name = String::new();
    for byte in Sha256::digest(bytes).iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Writes beside the file and renames, so that no one ever reads a part of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    let shown = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(shown)?;
    std::io::Write::write_all(&mut file, bytes).with_context(shown)?;
    file.persist(path).with_context(shown)?;
    Ok(())
}
