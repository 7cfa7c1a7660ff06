//! Contents of a firmware's ELF file: flash and RAM, and panic functions.

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, elf};

/// Bytes of a linked firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes in flash: code, constants, the blob, and the initial values of variables.
    pub flash_bytes: u64,
    /// Bytes of variables, with the arena and without the stack.
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

/// Names in the symbols of all panic functions: `core::panicking`, the functions of slices, options and strings that end in one,
/// and the handler, without which nothing panics.
const PANIC_MARKS: [&str; 3] = ["panic", "rust_begin_unwind", "_fail"];

/// Panic functions of a firmware, by their symbols; empty if it cannot panic.
///
/// `part` is in the name of some function that must exist, so that a file without symbols is detected.
///
/// # Errors
///
/// If the file is not an ELF file, or has no symbol with `part` in it.
pub fn panic_symbols(bytes: &[u8], part: &str) -> Result<Vec<String>> {
    let file = object::File::parse(bytes).context("the firmware is not an ELF file")?;
    // What the linker has left out keeps no symbol.
    let names: Vec<&str> = file
        .symbols()
        .filter(|symbol| symbol.is_definition())
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    if !names.iter().any(|name| name.contains(part)) {
        bail!("the firmware has no symbol with {part:?} in it");
    }
    let mut found: Vec<String> = names
        .into_iter()
        .filter(|name| can_panic(name))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether a symbol is that of a panic function.
pub fn can_panic(symbol: &str) -> bool {
    PANIC_MARKS.iter().any(|mark| symbol.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_panics_are_known_by_their_symbols() {
        for symbol in [
            "_ZN4core9panicking11panic_const23panic_const_rem_by_zero17h2b4f2f6f0f4f0c39E",
            "_RNvNtCs5jYGTqKPcIr_4core9panicking18panic_bounds_check",
            "_RNvNtNtCs5jYGTqKPcIr_4core5slice5index16slice_index_fail",
            "_RNvNtCs5jYGTqKPcIr_4core6option13unwrap_failed",
            "_RNvCs9vEBGw6Rl5V_7___rustc17rust_begin_unwind",
        ] {
            assert!(can_panic(symbol), "{symbol}");
        }
        for symbol in [
            "main",
            "HardFault_",
            "fewbit_dsp_multiply_int8",
            "__aeabi_uidivmod",
        ] {
            assert!(!can_panic(symbol), "{symbol}");
        }
    }
}
