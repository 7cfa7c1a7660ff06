//! Finds, or installs, the programs for device builds and the emulator.
//!
//! Every task that needs them calls [`ensure`] or [`ensure_qemu`], so that nobody has to run `setup` first. Installed
//! programs are found by looking at files, in far less than a second; only missing ones cost time and network.
//! rustup's settings stay as they are.

use std::{env, fs::File, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{
    install, process,
    toolchain::{self, DeviceToolchain, TARGET_32_BITS, TARGETS},
};

/// Variable that forces one way to a toolchain, `rustup` or `debian`, for comparisons.
pub const TOOLCHAIN_VARIABLE: &str = "FEWBIT_DEVICE_TOOLCHAIN";

/// Programs of QEMU, each for the processors of one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// Cortex-M.
    Arm,
    /// 32-bit RISC-V.
    Riscv32,
    /// Programs of Linux on x86-64, on other processors than the host's.
    X86,
    /// Programs of Linux on AArch64.
    Aarch64,
}

impl Emulator {
    /// All that boards need.
    pub const BOARDS: [Self; 2] = [Self::Arm, Self::Riscv32];

    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Arm => "qemu-system-arm",
            Self::Riscv32 => "qemu-system-riscv32",
            Self::X86 => "qemu-x86_64",
            Self::Aarch64 => "qemu-aarch64",
        }
    }

    /// Debian package that contains it.
    fn package(self) -> &'static str {
        match self {
            Self::Arm => "qemu-system-arm",
            Self::Riscv32 => "qemu-system-misc",
            Self::X86 | Self::Aarch64 => "qemu-user",
        }
    }
}

/// Time limit for rustup to fetch all targets, some 40 MB; it is known to hang if its server cannot be reached.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Packages of the Debian way; clippy is for `cargo xtask ci`.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-clippy",
    "libstd-rust-web-dev",
];

/// A toolchain for all device targets; installs one if there is none.
///
/// The order is: the active rustup toolchain has the targets; Debian's packages are installed; rustup fetches the
/// targets; Debian's packages are installed.
///
/// # Errors
///
/// If there is no way on this machine; the message contains the commands for the user.
pub fn ensure() -> Result<DeviceToolchain> {
    let (rustup, debian) = match env::var(TOOLCHAIN_VARIABLE).as_deref() {
        Err(_) => (true, true),
        Ok("rustup") => (true, false),
        Ok("debian") => (false, true),
        Ok(other) => {
            bail!("{TOOLCHAIN_VARIABLE} is {other:?}, and may be \"rustup\" or \"debian\"")
        }
    };
    let find = || {
        let found = if rustup {
            DeviceToolchain::rustup()
        } else {
            None
        };
        found.or_else(|| {
            if debian {
                DeviceToolchain::debian()
            } else {
                None
            }
        })
    };
    if let Some(found) = find() {
        return Ok(found);
    }

    let _lock = lock()?;
    // Another process may have installed it while this one waited.
    if let Some(found) = find() {
        return Ok(found);
    }
    let mut failures = Vec::new();
    if rustup {
        log::info!("setup: rustup target add {}", TARGETS.join(" "));
        match toolchain::add_rustup_targets(&TARGETS, RUSTUP_LIMIT) {
            Ok(()) => {
                if let Some(found) = DeviceToolchain::rustup() {
                    return Ok(found);
                }
                failures.push(
                    "rustup added the targets to another toolchain than the active one".to_owned(),
                );
            }
            Err(error) => failures.push(fewbit::error_text(&*error)),
        }
        log::info!("setup: no targets from rustup: {}", failures.join("; "));
    }
    if debian {
        let mut packages = DEBIAN_PACKAGES.to_vec();
        if toolchain::lacks_linker() {
            packages.push("lld");
        }
        match install::debian_packages(&packages, &by_rustup()) {
            Ok(()) => match DeviceToolchain::debian() {
                Some(found) => return Ok(found),
                None => failures
                    .push("Debian's packages are there, but too old or incomplete".to_owned()),
            },
            Err(error) => failures.push(fewbit::error_text(&*error)),
        }
    }
    bail!(
        "there is no toolchain for {}:\n- {}",
        TARGETS.join(", "),
        failures.join("\n- ")
    )
}

/// The 32-bit target of this host, for tests; installs it if it is missing.
///
/// # Errors
///
/// If this host does not run its programs, or rustup cannot get it.
pub fn ensure_32_bits() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!("programs for {TARGET_32_BITS} run on Linux on x86-64 only");
    }
    ensure_target(TARGET_32_BITS)
}

/// A target of Linux, for tests; installs it if it is missing.
///
/// # Errors
///
/// If rustup cannot get it.
pub fn ensure_target(target: &str) -> Result<()> {
    if toolchain::has(target) {
        return Ok(());
    }
    let _lock = lock()?;
    if toolchain::has(target) {
        return Ok(());
    }
    log::info!("setup: rustup target add {target}");
    toolchain::add_rustup_targets(&[target], RUSTUP_LIMIT)?;
    if !toolchain::has(target) {
        bail!("rustup added {target} to another toolchain than the active one");
    }
    Ok(())
}

/// All emulators' programs; installs what is missing.
///
/// # Errors
///
/// As [`ensure_qemu`].
pub fn ensure_emulators() -> Result<()> {
    for emulator in Emulator::BOARDS {
        ensure_qemu(emulator)?;
    }
    Ok(())
}

/// An emulator's program; installs it if it is missing.
///
/// # Errors
///
/// If it is missing and cannot be installed; the message contains the command for the user.
pub fn ensure_qemu(emulator: Emulator) -> Result<PathBuf> {
    let program = emulator.program();
    if let Some(found) = process::find_program(program) {
        return Ok(found);
    }
    let _lock = lock()?;
    if let Some(found) = process::find_program(program) {
        return Ok(found);
    }
    install::debian_packages(&[emulator.package()], &qemu_elsewhere(emulator))
        .with_context(|| format!("{program} is missing"))?;
    process::find_program(program)
        .with_context(|| format!("{program} was installed, but is not in PATH"))
}

/// Lets one process at a time install; the others wait and find it done.
fn lock() -> Result<File> {
    // Of the machine, as what is installed is; another user's file can be read, and that is enough for a lock.
    let path = env::temp_dir().join("fewbit-setup.lock");
    let file = (File::options().create(true).append(true).open(&path))
        .or_else(|_| File::open(&path))
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Command for a user whose machine can reach rustup's server.
fn by_rustup() -> String {
    format!("rustup target add {}", TARGETS.join(" "))
}

/// Instruction for a user of a system other than Debian.
fn qemu_elsewhere(emulator: Emulator) -> String {
    const BY_PROGRAM: [(&str, [&str; 2]); 6] = [
        ("brew", ["brew install qemu"; 2]),
        ("port", ["sudo port install qemu"; 2]),
        (
            "dnf",
            [
                "sudo dnf install qemu-system-arm",
                "sudo dnf install qemu-system-riscv",
            ],
        ),
        (
            "pacman",
            [
                "sudo pacman -S qemu-system-arm",
                "sudo pacman -S qemu-system-riscv",
            ],
        ),
        (
            "zypper",
            [
                "sudo zypper install qemu-arm",
                "sudo zypper install qemu-extra",
            ],
        ),
        (
            "apk",
            [
                "sudo apk add qemu-system-arm",
                "sudo apk add qemu-system-riscv32",
            ],
        ),
    ];
    let found = BY_PROGRAM
        .iter()
        .find(|(program, _)| process::find_program(program).is_some());
    match (found, emulator) {
        (Some((_, [arm, _])), Emulator::Arm) => (*arm).to_owned(),
        (Some((_, [_, riscv32])), Emulator::Riscv32) => (*riscv32).to_owned(),
        (_, Emulator::X86 | Emulator::Aarch64) | (None, _) => format!(
            "install QEMU (https://www.qemu.org/download), so that {} is in PATH",
            emulator.program()
        ),
    }
}

/// Path of the disassembler; installs it if it is missing.
///
/// # Errors
///
/// If it is missing and cannot be installed; the message contains the command for the user.
pub fn ensure_disassembler() -> Result<PathBuf> {
    if let Some(found) = toolchain::disassembler() {
        return Ok(found);
    }
    let _lock = lock()?;
    if let Some(found) = toolchain::disassembler() {
        return Ok(found);
    }
    install::debian_packages(
        &["llvm"],
        "rustup component add llvm-tools (or install LLVM, so that llvm-objdump is in PATH)",
    )
    .context("llvm-objdump is missing")?;
    toolchain::disassembler().context("llvm-objdump was installed, but is not in PATH")
}
