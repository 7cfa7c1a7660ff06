//! Builds the firmware of a board with a blob.
//!
//! Blobs and finished firmware are stored under names made of their content, so that a build for another blob never
//! changes a file that an emulator is reading, and builds from several processes wait for each other.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use fewbit_runtime::{Summary, format::family::Family};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    board::{self, Board},
    cpu_wrapper, elf, process, progress,
    repository::Repository,
    setup,
    toolchain::{self, DeviceToolchain},
};

/// Time limit of one build; the first one compiles all dependencies, and `core` too on the Debian way.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// RAM that firmware must leave for its stack, less than any needs: it grows with the model's tables. The run itself
/// shows whether the rest was enough.
pub const STACK_BYTES: u64 = 2048;

/// The same if signatures of updates are checked: the most that this needs.
pub const SIGNATURE_STACK_BYTES: u64 = 9 * 1024;

/// Error: a board has too little memory for a model.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model does not fit {board}: its {what} takes {bytes} bytes of {memory}, and the board has {room}"
)]
pub struct DoesNotFit {
    /// Name of the board.
    pub board: String,
    /// Memory that is too small.
    pub memory: &'static str,
    /// Contents that do not fit.
    pub what: &'static str,
    /// Bytes of these contents.
    pub bytes: u64,
    /// Bytes of the memory.
    pub room: u64,
}

/// Application of a firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Application {
    /// Runs a job file of the host, by semihosting.
    Job,
    /// Answers a host over a UART, by the framed serial protocol.
    Serial,
    /// The same through memory, by RTT, for a debugger.
    Rtt,
    /// Answers a host over a UART, with the newest model in the board's slots, or its own.
    Slots {
        /// Blobs for which tables, kernels and the arena must be large enough, besides its own.
        room: Vec<Vec<u8>>,
        /// Updates that it accepts.
        updates: Updates,
    },
    /// Answers the runner of MLPerf Tiny over a UART.
    Mlperf {
        /// Name of the model in the benchmark, such as `kws01`.
        model: &'static str,
        /// Quantized input value of the model for each byte of the benchmark.
        table: Box<[i8; 256]>,
    },
}

/// Updates that firmware with slots accepts; by default, all that it can run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// Only those that are signed with the secret half of this key.
    pub key: Option<UpdateKey>,
    /// Only those that take at most this many operations per run.
    pub most_operations: Option<u64>,
}

/// Signer whose updates a firmware accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateKey {
    /// Public key.
    pub public: [u8; fewbit_signed::KEY_BYTES],
    /// Product in signatures, if it is not the board's name.
    pub product: Option<String>,
}

impl Application {
    /// Default application of a board.
    pub fn of(board: &Board) -> Self {
        if board.qemu.is_some() {
            Self::Job
        } else {
            Self::Serial
        }
    }

    /// Slots for any update, with no more room than its own model needs.
    pub fn plain_slots() -> Self {
        Self::Slots {
            room: Vec::new(),
            updates: Updates::default(),
        }
    }

    /// Slots, with room for these blobs.
    ///
    /// # Errors
    ///
    /// If one cannot be read.
    pub fn slots(room: &[PathBuf], updates: Updates) -> Result<Self> {
        let read = |path: &PathBuf| {
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let room: Result<Vec<Vec<u8>>> = room.iter().map(read).collect();
        Ok(Self::Slots {
            room: room?,
            updates,
        })
    }

    /// Feature of `fewbit-firmware` that selects it, if any.
    fn feature(&self) -> Option<&'static str> {
        match self {
            Self::Job => None,
            Self::Serial => Some("serial"),
            Self::Rtt => Some("rtt-link"),
            Self::Slots { updates, .. } if updates.key.is_some() => Some("authenticated-updates"),
            Self::Slots { .. } => Some("slots"),
            Self::Mlperf { .. } => Some("mlperf"),
        }
    }

    /// Part of file names, different for each firmware of the same blob.
    fn name(&self) -> String {
        match self {
            Self::Job => "job".to_owned(),
            Self::Serial => "serial".to_owned(),
            Self::Rtt => "rtt".to_owned(),
            Self::Slots { room, updates } => {
                let facts = format!("{updates:?}");
                format!(
                    "slots-{}",
                    content_name(&[&room.concat(), facts.as_bytes()].concat())
                )
            }
            Self::Mlperf { model, table } => {
                format!("mlperf-{model}-{}", content_name(&bytes(&table[..])))
            }
        }
    }

    /// Adds the variables that its build needs.
    fn configure(&self, board: &Board, cargo: &mut Command) -> Result<()> {
        if let Some(feature) = self.feature() {
            cargo.args(["--features", &format!("fewbit-firmware/{feature}")]);
        }
        if let Self::Slots { room, updates } = self {
            configure_slots(board, cargo, room, updates)?;
        }
        if let Self::Mlperf { model, table } = self {
            let file = kept(&board.repository)?
                .join(format!("{}.table", content_name(&bytes(&table[..]))));
            write_whole(&file, &bytes(&table[..]))?;
            cargo
                .env("FEWBIT_MLPERF_MODEL", model)
                .env("FEWBIT_MLPERF_TABLE", file);
        }
        Ok(())
    }
}

/// Build settings of firmware with slots.
fn configure_slots(
    board: &Board,
    cargo: &mut Command,
    room: &[Vec<u8>],
    updates: &Updates,
) -> Result<()> {
    let slots = slots_of(board)?;
    let kept = kept(&board.repository)?;
    let files: Result<Vec<PathBuf>> = room
        .iter()
        .map(|blob| {
            check(board, blob)?;
            let file = kept.join(format!("{}.fewbit", content_name(blob)));
            write_whole(&file, blob)?;
            Ok(file)
        })
        .collect();
    let files = env::join_paths(files?).context("the folder of finished firmware")?;
    cargo.env("FEWBIT_ROOM", files).env(
        "FEWBIT_SLOTS",
        format!("{},{}", slots.offset, slots.slot_bytes),
    );
    // Of this call and not of the caller's environment.
    for name in [
        "FEWBIT_UPDATE_KEY",
        "FEWBIT_UPDATE_PRODUCT",
        "FEWBIT_MOST_OPERATIONS",
    ] {
        cargo.env_remove(name);
    }
    if let Some(key) = &updates.key {
        let text = fewbit_signed::show_public_key(&key.public).to_string();
        let file = kept.join(format!("{}.pub", content_name(text.as_bytes())));
        write_whole(&file, text.as_bytes())?;
        cargo.env("FEWBIT_UPDATE_KEY", file);
        if let Some(product) = &key.product {
            cargo.env("FEWBIT_UPDATE_PRODUCT", product);
        }
    }
    if let Some(most) = updates.most_operations {
        cargo.env("FEWBIT_MOST_OPERATIONS", most.to_string());
    }
    Ok(())
}

/// Place of a board's slots for models.
///
/// # Errors
///
/// If it has no slots.
pub fn slots_of(board: &Board) -> Result<board::Slots> {
    board.slots.with_context(|| {
        format!(
            "{} has no slots for models: its board.toml has no [slots], and its main gives no flash",
            board.name
        )
    })
}

/// int8 values as bytes.
fn bytes(values: &[i8]) -> Vec<u8> {
    values.iter().map(|value| value.cast_unsigned()).collect()
}

/// A firmware, ready to run.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// ELF file; its name contains a hash of the blob.
    pub elf: PathBuf,
    /// Bytes in flash without the blob: code and constants of application and kernels.
    pub flash_bytes: u64,
    /// Bytes of the blob, which is in flash too.
    pub blob_bytes: u64,
    /// Bytes of variables, the arena included and the stack not.
    pub static_ram_bytes: u64,
    /// Version of the compiler.
    pub compiler: String,
}

/// Builds the firmware of `board` with the blob in `blob_path`.
///
/// # Errors
///
/// If the blob cannot be read or does not load, the board has too little memory, there is no toolchain, or the build
/// fails.
pub fn build(board: &Board, blob_path: &Path) -> Result<Firmware> {
    let blob = fs::read(blob_path)
        .with_context(|| format!("cannot read the blob {}", blob_path.display()))?;
    build_bytes(board, &blob)
        .with_context(|| format!("firmware of {} for {}", board.name, blob_path.display()))
}

/// Builds the firmware of `board` with `blob`, and with the board's default application.
///
/// # Errors
///
/// As [`build`].
pub fn build_bytes(board: &Board, blob: &[u8]) -> Result<Firmware> {
    build_application(board, blob, &Application::of(board))
}

/// Builds the firmware of `board` with `blob`, and with another application.
///
/// # Errors
///
/// As [`build`].
pub fn build_application(
    board: &Board,
    blob: &[u8],
    application: &Application,
) -> Result<Firmware> {
    let blob_bytes = blob.len() as u64;
    check(board, blob)?;
    let toolchain = setup::ensure()?;
    let bytes = built(board, &toolchain, blob, board.package(), Some(application))?;
    let way = toolchain.target_dir(&board.repository);
    let way = way.file_name().unwrap_or_default().to_string_lossy();
    let elf = kept(&board.repository)?.join(format!(
        "{}-{}-{way}-{}.elf",
        board.name,
        application.name(),
        content_name(blob)
    ));
    write_whole(&elf, &bytes)?;
    let sizes = elf::sizes(&bytes).with_context(|| elf.display().to_string())?;
    if matches!(application, Application::Slots { .. }) {
        let room = slots_of(board)?.offset;
        let what = "firmware in front of the slots";
        fits(board, "flash", what, sizes.flash_bytes, room)?;
    }
    let stack_bytes = match application {
        Application::Slots { updates, .. } if updates.key.is_some() => SIGNATURE_STACK_BYTES,
        _ => STACK_BYTES,
    };
    let ram_bytes = sizes.static_ram_bytes + stack_bytes;
    let what = "firmware, with variables, arena and the least stack,";
    fits(board, "RAM", what, ram_bytes, board.ram_bytes)?;
    Ok(Firmware {
        elf,
        flash_bytes: sizes.flash_bytes.saturating_sub(blob_bytes),
        blob_bytes,
        static_ram_bytes: sizes.static_ram_bytes,
        compiler: toolchain.version().to_owned(),
    })
}

/// Checks that the runtime runs `blob` and that `board` has room for it, as far as can be known before a build: messages of
/// cargo and of the linker would be harder to read.
///
/// # Errors
///
/// If not; [`DoesNotFit`] for lack of room.
pub fn check(board: &Board, blob: &[u8]) -> Result<()> {
    let summary = match Summary::from_bytes(blob) {
        Ok(summary) => summary,
        Err(error) => bail!("this is not a blob that the runtime can run: {error}"),
    };
    if !board.isa.runs(summary.packing) {
        bail!(
            "the blob is packed for the kernel family `{}`, {} runs `{}`; quantize with --target {}, or without for any board",
            summary.packing.name(),
            board.name,
            board.isa.name(),
            board.name
        );
    }
    fits(board, "flash", "blob", blob.len() as u64, board.flash_bytes)?;
    let arena_bytes = u64::from(summary.arena_bytes);
    fits(board, "RAM", "arena", arena_bytes, board.ram_bytes)?;
    Ok(())
}

/// Flash and RAM of the smallest firmware that runs `blob` on `board`, without the blob: the cost of the
/// runtime. None if the chip needs its HAL to start.
///
/// # Errors
///
/// As [`build`].
pub fn bare_sizes(board: &Board, blob: &[u8]) -> Result<Option<elf::Sizes>> {
    let Some(bytes) = bare(board, blob)? else {
        return Ok(None);
    };
    let mut sizes = elf::sizes(&bytes)?;
    sizes.flash_bytes = sizes.flash_bytes.saturating_sub(blob.len() as u64);
    Ok(Some(sizes))
}

/// ELF file of the smallest firmware that runs `blob` on `board`; none if the chip needs its HAL to start.
///
/// # Errors
///
/// As [`build`].
pub fn bare(board: &Board, blob: &[u8]) -> Result<Option<Vec<u8>>> {
    check(board, blob)?;
    if board.memory_of_hal {
        return Ok(None);
    }
    built(board, &setup::ensure()?, blob, "bare", None).map(Some)
}

/// ELF file of the smallest firmware that runs `blob` on `board`, with the kernels of every operator linked.
///
/// # Errors
///
/// As [`build`].
pub fn bare_with_every_kernel(board: &Board, blob: &[u8]) -> Result<Vec<u8>> {
    check(board, blob)?;
    built_with(board, &setup::ensure()?, blob, "bare", |cargo| {
        cargo.env("FEWBIT_EVERY_KERNEL", "1");
        Ok(())
    })
}

/// The folder of blobs and finished firmware.
fn kept(repository: &Repository) -> Result<PathBuf> {
    let kept = repository.device_dir().join("firmware");
    fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
    Ok(kept)
}

/// Builds the program of a package with `blob`, with the application if it is a board's; returns its ELF file.
pub fn built(
    board: &Board,
    toolchain: &DeviceToolchain,
    blob: &[u8],
    package: &str,
    application: Option<&Application>,
) -> Result<Vec<u8>> {
    built_with(board, toolchain, blob, package, |cargo| {
        application.map_or(Ok(()), |application| application.configure(board, cargo))
    })
}

/// As [`built`]; `configure` adds further settings of the build.
///
/// # Errors
///
/// If there is no toolchain for the board, or the build fails.
pub fn built_with(
    board: &Board,
    toolchain: &DeviceToolchain,
    blob: &[u8],
    package: &str,
    configure: impl FnOnce(&mut Command) -> Result<()>,
) -> Result<Vec<u8>> {
    check_sources(board, package)?;
    let kept = kept(&board.repository)?;
    let blob_file = kept.join(format!("{}.fewbit", content_name(blob)));
    if !blob_file.is_file() {
        write_whole(&blob_file, blob)?;
    }
    let lock_path = kept.join("build.lock");
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock()
        .with_context(|| format!("cannot lock {}", lock_path.display()))?;

    log::info!("building {package} for {}", board.name);
    let mut cargo = cargo(board, toolchain, &blob_file)?;
    cargo.args(["build", "--release", "--package", package]);
    cargo.args(["--bin", package]);
    if package == board.package() {
        cargo.args(features(board));
    }
    configure(&mut cargo)?;
    progress::run(&mut cargo, BUILD_LIMIT)?;
    let program = toolchain
        .target_dir(&board.repository)
        .join(&board.target)
        .join("release")
        .join(package);
    // Read before another build may write it.
    fs::read(&program).with_context(|| format!("cannot read {}", program.display()))
}

/// Checks that the workspace of the firmware has `package`, and `board` the files that it is built with: errors of cargo and the
/// linker about an incomplete new board do not say what to do.
fn check_sources(board: &Board, package: &str) -> Result<()> {
    let folder = board.folder();
    if !board.memory_of_hal && !folder.join("memory.x").is_file() {
        bail!(
            "{} has no memory.x, which gives the linker its FLASH and RAM; another board's shows the form",
            folder.display()
        );
    }
    let boards = board.repository.boards();
    let manifest = boards.join("Cargo.toml");
    let Some(members) = members(&manifest)? else {
        // Patterns: cargo knows what they match.
        return Ok(());
    };
    let mut packages = Vec::new();
    for member in &members {
        packages.extend(package_name(&boards.join(member).join("Cargo.toml"))?);
    }
    if packages.iter().any(|name| name == package) {
        return Ok(());
    }
    let own = package_name(&folder.join("Cargo.toml"))?;
    if own.as_deref() == Some(package) {
        bail!(
            "the package {package} is not a member of the workspace of firmware: add \"{}\" to `members` in {}",
            board.name,
            manifest.display()
        );
    }
    let found = match own {
        Some(own) => format!("the package in {} is called {own}", folder.display()),
        None => format!("{} holds no package", folder.display()),
    };
    let emulated = if board.qemu.is_some() {
        "; an emulated board of Cortex-M needs none of its own with `package = \"emulated\"`"
    } else {
        ""
    };
    bail!(
        "there is no package {package} for the firmware of {}, as its board.toml asks for: {found}; \
         its name is the folder's, or `package` in board.toml{emulated}",
        board.name
    );
}

/// The members that a workspace lists; none if one is a pattern.
fn members(manifest: &Path) -> Result<Option<Vec<String>>> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        members: Vec<String>,
    }
    let text = fs::read_to_string(manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let manifest: Manifest =
        toml::from_str(&text).with_context(|| format!("in {}", manifest.display()))?;
    let members = manifest.workspace.members;
    let pattern = members
        .iter()
        .any(|member| member.contains(['*', '?', '[']));
    Ok((!pattern).then_some(members))
}

/// Name of the package that a manifest describes; none if there is no such file or it describes none.
fn package_name(manifest: &Path) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Option<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let text = match fs::read_to_string(manifest) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", manifest.display()));
        }
    };
    let manifest: Manifest =
        toml::from_str(&text).with_context(|| format!("in {}", manifest.display()))?;
    Ok(manifest.package.map(|package| package.name))
}

/// Cargo's arguments for the features of the board's package.
pub fn features(board: &Board) -> Vec<String> {
    let features = board.features.iter();
    features
        .map(|feature| format!("--features={}/{feature}", board.package()))
        .collect()
}

/// Refuses contents for which a memory of the board has no room.
fn fits(
    board: &Board,
    memory: &'static str,
    what: &'static str,
    bytes: u64,
    room: u64,
) -> Result<()> {
    if bytes > room {
        return Err(DoesNotFit {
            board: board.name.clone(),
            memory,
            what,
            bytes,
            room,
        }
        .into());
    }
    Ok(())
}

/// A cargo in the workspace of the firmware, for a build of `board` with the blob in `blob`.
///
/// # Errors
///
/// If the compiler's wrapper for the board's core cannot be made.
pub fn cargo(board: &Board, toolchain: &DeviceToolchain, blob: &Path) -> Result<Command> {
    let mut cargo = toolchain.cargo(&board.repository, &board.target);
    cargo
        .current_dir(board.repository.boards())
        .env("FEWBIT_BLOB", blob)
        .env("FEWBIT_BOARD", board.folder())
        .env("FEWBIT_BOARD_NAME", &board.name)
        .env("FEWBIT_CLOCK_HZ", board.clock_hz.to_string())
        .env("FEWBIT_ISA", board.isa.name());
    match board.qemu.as_ref().and_then(|qemu| qemu.uart) {
        Some(address) => cargo.env("FEWBIT_UART", address.to_string()),
        None => cargo.env_remove("FEWBIT_UART"),
    };
    if board.isa == Family::Dsp {
        // What the compiler makes is not hot there: the loops are assembly.
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z");
    }
    if let Some(cpu) = &board.target_cpu {
        let crates = [
            "fewbit-runtime",
            "fewbit-protocol",
            "fewbit-signed",
            "fewbit-firmware",
            "bare",
            board.package(),
        ];
        cargo
            .env("RUSTC_WRAPPER", wrapper(&board.repository)?)
            .env("RUSTFLAGS", format!("{}{cpu}\"", cpu_wrapper::MARK))
            .env(cpu_wrapper::CRATES, crates.join(" ").replace('-', "_"));
    }
    Ok(cargo)
}

/// The program of [`cpu_wrapper`], compiled if needed.
fn wrapper(repository: &Repository) -> Result<PathBuf> {
    const SOURCE: &str = include_str!("cpu_wrapper.rs");
    let folder = repository.device_dir().join("wrapper");
    let name = format!(
        "{}{}",
        content_name(SOURCE.as_bytes()),
        env::consts::EXE_SUFFIX
    );
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // In a folder of its own, then renamed: several processes may be at it.
    let work = tempfile::tempdir_in(&folder).context("cannot create a temporary folder")?;
    let source = work.path().join("main.rs");
    fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
    let built = work.path().join("wrapper");
    let mut rustc = Command::new(toolchain::rustup_rustc());
    rustc
        .args(["--edition", "2024", "--cap-lints", "allow", "-o"])
        .arg(&built)
        .arg(&source);
    process::run(&mut rustc, BUILD_LIMIT).context("the compiler's wrapper")?;
    fs::rename(&built, &program).with_context(|| format!("cannot write {}", program.display()))?;
    Ok(program)
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

/// Writes beside the file and renames, so that no process ever reads a part of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    let shown = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(shown)?;
    std::io::Write::write_all(&mut file, bytes).with_context(shown)?;
    file.persist(path).with_context(shown)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with these files in `boards/`, besides a board `new` that is emulated.
    fn refusal(files: &[(&str, &str)]) -> Option<String> {
        let root = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = root.path().join("boards").join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        let members = "[workspace]\nmembers = [\"emulated\"]\n";
        write("Cargo.toml", members);
        write("../runtime/Cargo.toml", "");
        write("emulated/Cargo.toml", "[package]\nname = \"emulated\"\n");
        write(
            "new/board.toml",
            "name = \"new\"\nchip = \"x\"\ncpu = \"cortex-m3\"\ntarget = \"thumbv7m-none-eabi\"\nisa = \"scalar\"\n\
             flash_bytes = 4096\nram_bytes = 4096\nclock_hz = 1\n[qemu]\nmachine = \"x\"\n",
        );
        write("new/memory.x", "");
        for (name, text) in files {
            write(name, text);
        }
        let repository = Repository::find(Some(root.path())).expect("there");
        let mut board = Board::load(&repository, "new").expect("complete");
        if files.contains(&("shared", "")) {
            board.package = Some("emulated".to_owned());
        }
        if files.contains(&("bare", "")) {
            fs::remove_file(board.folder().join("memory.x")).expect("was there");
        }
        let checked = check_sources(&board, board.package());
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn a_new_board_is_told_what_it_lacks() {
        let own = ("new/Cargo.toml", "[package]\nname = \"new\"\n");
        let told = refusal(&[own]).expect("no member");
        assert!(
            told.contains("add \"new\" to `members` in ") && told.contains("boards/Cargo.toml"),
            "{told}"
        );
        let members = "[workspace]\nmembers = [\"emulated\", \"new\"]\n";
        assert_eq!(refusal(&[own, ("Cargo.toml", members)]), None);
        let pattern = "[workspace]\nmembers = [\"*\"]\n";
        assert_eq!(refusal(&[own, ("Cargo.toml", pattern)]), None);

        let told = refusal(&[("new/Cargo.toml", "[package]\nname = \"copied\"\n")]);
        let told = told.expect("another name");
        assert!(told.contains("is called copied"), "{told}");

        let told = refusal(&[]).expect("no package");
        assert!(
            told.contains("holds no package") && told.contains("`package = \"emulated\"`"),
            "{told}"
        );
        assert_eq!(refusal(&[("shared", "")]), None);
        let told = refusal(&[("shared", ""), ("bare", "")]).expect("no memory.x");
        assert!(told.contains("has no memory.x"), "{told}");
    }
}
