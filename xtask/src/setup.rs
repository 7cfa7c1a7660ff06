//! Finding, or installing, what device builds and the emulator need.
//!
//! Every task that needs them calls [`ensure`] or [`ensure_qemu`], so that no one has to run `setup` first. What is
//! there is found by looking at files, in far less than a second; only what is missing costs time and network.
//! rustup's settings stay as they are.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    device_dir, install, process,
    toolchain::{self, DeviceToolchain, TARGETS, Way},
};

/// Forces one way to a toolchain, `rustup` or `debian`, for those who want to compare them.
pub const TOOLCHAIN_VARIABLE: &str = "FEWBIT_DEVICE_TOOLCHAIN";

/// The emulator's program.
const QEMU: &str = "qemu-system-arm";

/// Time for rustup to fetch all targets, some 40 MB; it is known to hang where its server is out of reach.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// What the Debian way installs; clippy serves `cargo xtask ci`.
const DEBIAN_PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-clippy",
    "libstd-rust-web-dev",
];

/// `cargo xtask setup`: makes everything ready and says what was found.
///
/// # Errors
///
/// If something is missing and cannot be installed; the message holds the commands for the user.
pub fn task() -> Result<()> {
    let toolchain = ensure()?;
    let way = match toolchain.way() {
        Way::Rustup => "the active toolchain".to_owned(),
        Way::Debian { linker } => format!("Debian's packages, linking with {}", linker.display()),
    };
    println!("device builds: {} ({way})", toolchain.version());
    println!("targets: {}", TARGETS.join(" "));
    println!("emulator: {}", ensure_qemu()?.display());
    Ok(())
}

/// A toolchain for all device targets; installs one if there is none.
///
/// In this order: the active rustup toolchain has the targets; Debian's packages are there; rustup fetches the
/// targets; Debian's packages are installed.
///
/// # Errors
///
/// If there is no way on this machine; the message holds the commands for the user.
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
        eprintln!("setup: rustup target add {}", TARGETS.join(" "));
        match toolchain::add_rustup_targets(RUSTUP_LIMIT) {
            Ok(()) => {
                if let Some(found) = DeviceToolchain::rustup() {
                    return Ok(found);
                }
                failures.push(
                    "rustup added the targets to another toolchain than the active one".to_owned(),
                );
            }
            Err(error) => failures.push(format!("{error:#}")),
        }
        eprintln!("setup: no targets from rustup: {}", failures.join("; "));
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
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    bail!(
        "there is no toolchain for {}:\n- {}",
        TARGETS.join(", "),
        failures.join("\n- ")
    )
}

/// The emulator's program; installs it if it is missing.
///
/// # Errors
///
/// If it is missing and cannot be installed; the message holds the command for the user.
pub fn ensure_qemu() -> Result<PathBuf> {
    if let Some(found) = process::find_program(QEMU) {
        return Ok(found);
    }
    let _lock = lock()?;
    if let Some(found) = process::find_program(QEMU) {
        return Ok(found);
    }
    install::debian_packages(&[QEMU], qemu_elsewhere())
        .with_context(|| format!("{QEMU} is missing"))?;
    process::find_program(QEMU).with_context(|| format!("{QEMU} was installed, but is not in PATH"))
}

/// Lets one process at a time install; the others wait and find it done.
fn lock() -> Result<File> {
    let path = device_dir().join("setup.lock");
    fs::create_dir_all(device_dir())
        .with_context(|| format!("cannot create {}", device_dir().display()))?;
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// What a user types where rustup's server can be reached.
fn by_rustup() -> String {
    format!("rustup target add {}", TARGETS.join(" "))
}

/// What a user types on a system that is no Debian.
fn qemu_elsewhere() -> &'static str {
    const BY_PROGRAM: [(&str, &str); 6] = [
        ("brew", "brew install qemu"),
        ("port", "sudo port install qemu"),
        ("dnf", "sudo dnf install qemu-system-arm"),
        ("pacman", "sudo pacman -S qemu-system-arm"),
        ("zypper", "sudo zypper install qemu-arm"),
        ("apk", "sudo apk add qemu-system-arm"),
    ];
    let found = BY_PROGRAM
        .iter()
        .find(|(program, _)| process::find_program(program).is_some());
    found.map_or(
        "install QEMU with its Arm system emulator (https://www.qemu.org/download), so that qemu-system-arm is in PATH",
        |(_, command)| command,
    )
}
