//! Finds a cargo that builds for the device targets.
//!
//! Two ways give the same firmware. A rustup toolchain with the target's precompiled `core` is the usual one. If
//! rustup's server cannot be reached, Debian's own Rust builds `core` from its source package; it has no linker for
//! bare-metal targets, so builds use the one of the rustup toolchain, or the system's LLD.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{process, repository::Repository};

/// All targets that the project builds for.
pub const TARGETS: [&str; 5] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
];

/// The host's own processor with a `usize` of 32 bits, for tests; rustup provides everything for linking.
pub const TARGET_32_BITS: &str = "i686-unknown-linux-musl";

/// Another architecture, for tests under QEMU's user mode; links in the same way.
pub const TARGET_AARCH64: &str = "aarch64-unknown-linux-musl";

/// Folder of the distribution's compilers.
const SYSTEM_BIN: &str = "/usr/bin";

/// Folder of the source of `core` on Debian.
const SYSTEM_CORE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// Oldest compiler that builds the firmware; the `rust-version` of `boards/Cargo.toml`.
const MINIMUM_MINOR: u32 = 95;

/// Source of the device targets' `core`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The toolchain that runs this task has the targets.
    Rustup,
    /// Debian's packages; `core` is built with the firmware.
    Debian {
        /// Linker for bare-metal targets.
        linker: PathBuf,
    },
}

/// A toolchain that builds for every one of [`TARGETS`].
#[derive(Clone, Debug)]
pub struct DeviceToolchain {
    way: Way,
    /// First line of `rustc --version`; instruction counts depend on the compiler, so reports include it.
    version: String,
}

impl DeviceToolchain {
    /// The rustup way, if the targets are installed.
    pub fn rustup() -> Option<Self> {
        let installed = sysroot()?.join("lib").join("rustlib");
        let complete = TARGETS
            .iter()
            .all(|target| installed.join(target).join("lib").is_dir());
        let version = complete.then(|| version(&rustup_rustc()))??;
        Some(Self {
            way: Way::Rustup,
            version,
        })
    }

    /// The Debian way, if packages and a linker are installed.
    pub fn debian() -> Option<Self> {
        let rustc = Path::new(SYSTEM_BIN).join("rustc");
        let complete =
            Path::new(SYSTEM_CORE).is_file() && Path::new(SYSTEM_BIN).join("cargo").is_file();
        let version = complete.then(|| version(&rustc))??;
        let linker = linker()?;
        (minor(&version)? >= MINIMUM_MINOR).then_some(Self {
            way: Way::Debian { linker },
            version,
        })
    }

    /// Source of `core` in builds.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Version of the compiler: `rustc 1.95.0 (...)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Target directory of this toolchain; the two ways do not share artefacts.
    pub fn target_dir(&self, repository: &Repository) -> PathBuf {
        repository.device_dir().join(match self.way {
            Way::Rustup => "rustup",
            Way::Debian { .. } => "debian",
        })
    }

    /// Returns a cargo for `target`, to which the caller adds a subcommand and its arguments.
    ///
    /// Target and target directory are set. Compiler wrappers and flags of the environment are removed: a caller that
    /// needs a flag for a board sets it on the returned command.
    pub fn cargo(&self, repository: &Repository, target: &str) -> Command {
        let mut command = match &self.way {
            Way::Rustup => {
                let mut command = Command::new(rustup_cargo());
                process::clean_cargo_environment(&mut command);
                command
            }
            Way::Debian { linker } => {
                let mut command = Command::new(Path::new(SYSTEM_BIN).join("cargo"));
                process::clean_cargo_environment(&mut command);
                let linker_variable = format!(
                    "CARGO_TARGET_{}_LINKER",
                    target.to_ascii_uppercase().replace(['-', '.'], "_")
                );
                command
                    // `-Zbuild-std=core`, as a variable: a cargo that a subcommand starts (clippy does) must see it too.
                    .env("CARGO_UNSTABLE_BUILD_STD", "core")
                    // `-Z` is refused by a stable compiler unless it is told to accept it.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("PATH", system_path_first())
                    .env("RUSTC", Path::new(SYSTEM_BIN).join("rustc"))
                    .env("RUSTDOC", Path::new(SYSTEM_BIN).join("rustdoc"))
                    .env(linker_variable, linker)
                    .env_remove("RUSTUP_TOOLCHAIN")
                    // `cargo run` puts the outer toolchain's libraries here.
                    .env_remove("LD_LIBRARY_PATH");
                command
            }
        };
        command
            .env("CARGO_BUILD_TARGET", target)
            .env("CARGO_TARGET_DIR", self.target_dir(repository));
        command
    }
}

/// The cargo of the toolchain that runs this task; cargo passes its path to the programs that it runs.
fn rustup_cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The rustc beside the cargo that runs this program.
pub fn rustup_rustc() -> PathBuf {
    let beside = Path::new(&rustup_cargo()).with_file_name("rustc");
    if beside.is_file() {
        beside
    } else {
        "rustc".into()
    }
}

/// The folder of the toolchain that runs this task.
fn sysroot() -> Option<PathBuf> {
    let mut rustc = Command::new(rustup_rustc());
    let text = process::output(rustc.args(["--print", "sysroot"]), Duration::from_secs(30)).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// A linker for bare-metal targets: the one of rustup's toolchains, or the system's LLD.
fn linker() -> Option<PathBuf> {
    let host = concat!(env!("FEWBIT_HOST"), "/bin/rust-lld");
    sysroot()
        .map(|root| root.join("lib").join("rustlib").join(host))
        .filter(|file| file.is_file())
        .or_else(|| process::find_program("rust-lld"))
        .or_else(|| process::find_program("ld.lld"))
}

/// LLVM's disassembler: the one of the toolchain's component `llvm-tools`, or the system's.
pub fn disassembler() -> Option<PathBuf> {
    llvm_tool("llvm-objdump").or_else(|| process::find_program("llvm-objdump"))
}

/// Target that this program was compiled for.
pub const HOST: &str = env!("FEWBIT_HOST");

/// A tool of the toolchain's component `llvm-tools`.
pub fn llvm_tool(name: &str) -> Option<PathBuf> {
    let folder = sysroot()?
        .join("lib")
        .join("rustlib")
        .join(HOST)
        .join("bin");
    let file = folder.join(name).with_extension(env::consts::EXE_EXTENSION);
    file.is_file().then_some(file)
}

/// True if the Debian way lacks only a linker, or would if its packages were installed.
pub fn lacks_linker() -> bool {
    linker().is_none()
}

/// First line of `rustc --version`.
fn version(rustc: &Path) -> Option<String> {
    let text = process::output(
        Command::new(rustc).arg("--version"),
        Duration::from_secs(30),
    )
    .ok()?;
    text.lines().next().map(str::to_owned)
}

/// Minor version: the 95 of `rustc 1.95.0 (...)`.
fn minor(version: &str) -> Option<u32> {
    version
        .split_whitespace()
        .nth(1)?
        .split('.')
        .nth(1)?
        .parse()
        .ok()
}

/// `PATH` with the distribution's compilers before any other.
fn system_path_first() -> OsString {
    let mut folders = vec![PathBuf::from(SYSTEM_BIN)];
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    env::join_paths(folders).unwrap_or_else(|_| SYSTEM_BIN.into())
}

/// Whether the toolchain that runs this task has a target.
pub fn has(target: &str) -> bool {
    sysroot().is_some_and(|root| {
        let target = root.join("lib").join("rustlib").join(target);
        target.join("lib").is_dir()
    })
}

/// Installs by rustup those targets that the active toolchain lacks.
///
/// # Errors
///
/// If there is no rustup, or it cannot get them in time: its server may be out of reach.
pub fn add_rustup_targets(targets: &[&str], limit: Duration) -> Result<()> {
    let rustup = process::find_program("rustup").context("there is no rustup")?;
    let mut command = Command::new(rustup);
    command.args(["target", "add"]).args(targets);
    process::run(&mut command, limit).context("rustup could not add the targets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read_from_rustc_as_it_writes_it() {
        assert_eq!(
            minor("rustc 1.96.0 (abc 2026-05-25) (built from a source tarball)"),
            Some(96)
        );
        assert_eq!(minor("rustc 1.63.0"), Some(63));
        assert_eq!(minor("gcc (Debian) 12"), None);
    }

    #[test]
    fn the_debian_cargo_sees_no_outer_toolchain() {
        let toolchain = DeviceToolchain {
            way: Way::Debian {
                linker: "/opt/rust-lld".into(),
            },
            version: "rustc 1.96.0".into(),
        };
        let command = toolchain.cargo(&Repository::default(), "thumbv8m.main-none-eabihf");
        let variable = |name: &str| {
            command
                .get_envs()
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value.map(|value| value.to_string_lossy().into_owned()))
        };
        assert_eq!(variable("RUSTUP_TOOLCHAIN"), Some(None), "removed");
        assert_eq!(variable("CARGO"), Some(None), "removed: cargo test sets it");
        assert_eq!(variable("RUSTC"), Some(Some("/usr/bin/rustc".into())));
        assert_eq!(
            variable("CARGO_TARGET_THUMBV8M_MAIN_NONE_EABIHF_LINKER"),
            Some(Some("/opt/rust-lld".into()))
        );
    }
}
