//! Boards, as their `board.toml` files describe them.
//!
//! The file is data only. Its memories must agree with the `memory.x` beside it, which the linker reads;
//! `cargo xtask tidy` checks that.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use fewbit_runtime::format::family::Family;
use serde::Deserialize;

use crate::{repository::Repository, setup::Emulator, toolchain::TARGETS};

/// QEMU's emulation of a board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulation {
    /// Argument of `-machine`.
    pub machine: String,
    /// Further arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whether the firmware answers on the machine's first UART.
    #[serde(default)]
    pub serial: bool,
    /// Address of that UART, for firmware that boards share.
    pub uart: Option<u32>,
}

/// Debug probe of a real board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Chip, as probe-rs names it.
    pub chip: String,
}

/// Place of two slots for models in a board's flash, one after the other; bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// Offset of the first slot in the flash, after the firmware.
    pub offset: u64,
    /// Size of one slot.
    pub slot_bytes: u64,
}

/// One folder of `boards/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Name of the folder and of the command line option.
    pub name: String,
    /// Package of its firmware, if it does not have the board's name.
    pub package: Option<String>,
    /// Features of the package that the board needs.
    #[serde(default)]
    pub features: Vec<String>,
    /// Chip or image, for readers.
    pub chip: String,
    /// Processor core in the compiler's spelling, such as `cortex-m4`.
    pub cpu: String,
    /// Target triple.
    pub target: String,
    /// Core that the project's own crates are compiled for; none for the target's minimum.
    pub target_cpu: Option<String>,
    /// Kernel family.
    pub isa: Family,
    /// Whether the memory map is that of the chip's HAL, so that there is no `memory.x`.
    #[serde(default)]
    pub memory_of_hal: bool,
    /// Bytes of the memory that holds code and blob.
    pub flash_bytes: u64,
    /// Bytes of the memory that holds arena, variables and stack.
    pub ram_bytes: u64,
    /// Frequency of the counter in Hz: SysTick of Cortex-M, which runs at the core's clock, `minstret` of RISC-V.
    pub clock_hz: u64,
    /// Set if the firmware can store models beside its own.
    pub slots: Option<Slots>,
    /// Set for a board that QEMU emulates.
    pub qemu: Option<Emulation>,
    /// Set for a real board.
    pub probe: Option<Probe>,
    /// Repository with its folder and the sources of its firmware.
    #[serde(skip)]
    pub repository: Repository,
}

impl Board {
    /// Reads `boards/NAME/board.toml`.
    ///
    /// # Errors
    ///
    /// If there is no such board (the message lists the existing ones), or the file lacks a required field.
    pub fn load(repository: &Repository, name: &str) -> Result<Self> {
        let known = names(repository)?;
        if !known.iter().any(|known| known == name) {
            bail!("there is no board {name:?}; boards: {}", known.join(", "));
        }
        let path = repository.boards().join(name).join("board.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut board: Self =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        if board.name != name {
            bail!(
                "{} says the board's name is {:?}; it must be the folder's",
                path.display(),
                board.name
            );
        }
        if !TARGETS.contains(&board.target.as_str()) {
            bail!(
                "{}: target {:?} is not one of {}",
                path.display(),
                board.target,
                TARGETS.join(", ")
            );
        }
        if let Some(slots) = board.slots
            && slots
                .offset
                .saturating_add(slots.slot_bytes.saturating_mul(2))
                > board.flash_bytes
        {
            bail!("{}: the slots end after the flash", path.display());
        }
        if board.qemu.is_some() == board.probe.is_some() {
            bail!(
                "{}: a board is emulated and has [qemu], or real and has [probe]",
                path.display()
            );
        }
        if board.clock_hz == 0 {
            bail!("{}: clock_hz is 0", path.display());
        }
        board.repository = repository.clone();
        Ok(board)
    }

    /// Whole instructions that an emulated board executes in one tick of its counter, rounded up.
    pub fn instructions_per_tick(&self) -> u64 {
        1_000_000_000_u64.div_ceil(self.clock_hz)
    }

    /// The program of QEMU that emulates the board's processor.
    pub fn emulator(&self) -> Emulator {
        if self.target.starts_with("riscv32") {
            Emulator::Riscv32
        } else {
            Emulator::Arm
        }
    }

    /// The package of the board's firmware, and of the program in it.
    pub fn package(&self) -> &str {
        self.package.as_deref().unwrap_or(&self.name)
    }

    /// The board's folder.
    pub fn folder(&self) -> PathBuf {
        self.repository.boards().join(&self.name)
    }
}

/// All boards, sorted by name.
///
/// # Errors
///
/// If the folder or one of the files cannot be read.
pub fn all(repository: &Repository) -> Result<Vec<Board>> {
    let names = names(repository)?;
    names
        .iter()
        .map(|name| Board::load(repository, name))
        .collect()
}

/// Names of the folders that hold a `board.toml`, sorted.
fn names(repository: &Repository) -> Result<Vec<String>> {
    let folder = repository.boards();
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.path().join("board.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        Repository::of_cargo().expect("tests run in the repository")
    }

    #[test]
    fn every_board_file_is_complete() {
        let boards = all(&repository()).expect("the committed board files are well formed");
        assert!(
            boards.iter().any(|board| board.qemu.is_some()),
            "there is an emulated board"
        );
    }

    #[test]
    fn an_unknown_board_is_answered_with_the_known_ones() {
        let message = format!(
            "{:#}",
            Board::load(&repository(), "no-such-board").expect_err("there is none")
        );
        assert!(message.contains("mps2-an386"), "{message}");
        // Names become paths: one that leaves the folder is none of the known ones.
        assert!(Board::load(&repository(), "../boards/mps2-an386").is_err());
    }
}
