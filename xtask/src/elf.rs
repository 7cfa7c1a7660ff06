//! Flash and RAM of a firmware, from the sections of its ELF file.

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, SectionFlags, elf};

/// Bytes of a linked firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Everything that lies in flash: code, constants, the blob, and the initial values of variables.
    pub flash_bytes: u64,
    /// Variables, the arena included; the stack is not part of it.
    pub static_ram_bytes: u64,
}

/// Adds up the sections that exist on the chip.
///
/// # Errors
///
/// If the file is not an ELF file.
pub fn sizes(bytes: &[u8]) -> Result<Sizes> {
    let file = object::File::parse(bytes).context("the firmware is not an ELF file")?;
    let mut sizes = Sizes {
        flash_bytes: 0,
        static_ram_bytes: 0,
    };
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        // Debug information and defmt's strings are in the file, not on the chip.
        if !sh_flags.contains(elf::SHF_ALLOC) {
            continue;
        }
        // What linker scripts of RISC-V make of the memory that is left, and addresses that esp-hal's keeps free.
        if matches!(section.name(), Ok(".stack" | ".heap" | ".rotext_dummy")) {
            continue;
        }
        let stored = section.file_range().map_or(0, |(_, size)| size);
        sizes.flash_bytes += stored;
        if sh_flags.contains(elf::SHF_WRITE) || stored == 0 {
            sizes.static_ram_bytes += section.size();
        }
    }
    Ok(sizes)
}
