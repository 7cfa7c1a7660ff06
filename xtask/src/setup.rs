//! `cargo xtask setup`: programs for device builds and emulated boards.

use anyhow::Result;
use fewbit_device::{
    setup::{Emulator, ensure, ensure_disassembler, ensure_qemu},
    toolchain::{TARGETS, Way},
};

/// Installs everything that is missing, and prints what was found.
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
    say!("device builds: {} ({way})", toolchain.version())?;
    say!("targets: {}", TARGETS.join(" "))?;
    for emulator in Emulator::BOARDS {
        say!("emulator: {}", ensure_qemu(emulator)?.display())?;
    }
    say!("disassembler: {}", ensure_disassembler()?.display())
}
