//! The board's memories, and where it has what the program uses.
//!
//! `FEWBIT_BOARD` is the folder of the board. `FEWBIT_UART` is the address of its UART, if it has one, and with
//! `FEWBIT_SLOTS`, an offset and the bytes of one of two slots, its flash keeps models.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_uart)");
    println!("cargo::rustc-check-cfg=cfg(has_slots)");
    if let Err(message) = write() {
        println!("cargo::error={message}");
    }
}

/// Tells the linker the memories, and writes `board.rs`.
fn write() -> Result<(), String> {
    let board = set("FEWBIT_BOARD").ok_or(
        "FEWBIT_BOARD is not set: it names the folder of an emulated board, such as boards/mps2-an386. \
         `cargo xtask verify` and its like set it, with what else a build needs",
    )?;
    let map = Path::new(&board).join("memory.x");
    println!("cargo::rerun-if-changed={}", map.display());
    let text = fs::read_to_string(&map).map_err(|error| {
        format!(
            "cannot read {}: {error}; FEWBIT_BOARD is to name a board's folder",
            map.display()
        )
    })?;
    println!("cargo::rustc-link-search={board}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");

    let mut source = String::new();
    if let Some(address) = set("FEWBIT_UART") {
        let address: usize = address
            .parse()
            .map_err(|_| format!("FEWBIT_UART={address} is not an address in decimal digits"))?;
        println!("cargo::rustc-cfg=has_uart");
        source += &format!("/// Where the UART is.\nconst UART: usize = {address:#x};\n");
    }
    if let Some(slots) = set("FEWBIT_SLOTS") {
        let end = slots_end(&slots)
            .ok_or_else(|| format!("FEWBIT_SLOTS={slots} is to be OFFSET,BYTES"))?;
        let origin = flash_origin(&text)
            .ok_or_else(|| format!("{}: FLASH has no ORIGIN in digits", map.display()))?;
        println!("cargo::rustc-cfg=has_slots");
        source += &format!(
            "/// Where the flash is, and its bytes up to the end of the slots.\n\
             const FLASH: usize = {origin:#x};\nconst FLASH_BYTES: usize = {end};\n"
        );
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?);
    fs::write(out.join("board.rs"), source).map_err(|error| format!("OUT_DIR: {error}"))
}

/// A variable whose change causes another build.
fn set(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// End of the second slot, from the start of flash.
fn slots_end(slots: &str) -> Option<usize> {
    let (offset, bytes) = slots.split_once(',')?;
    let both = bytes.parse::<usize>().ok()?.checked_mul(2)?;
    offset.parse::<usize>().ok()?.checked_add(both)
}

/// The number in `FLASH : ORIGIN = 0x10000000, LENGTH = 4M`.
fn flash_origin(map: &str) -> Option<usize> {
    let flash = |line: &&str| {
        let rest = line.strip_prefix("FLASH");
        rest.is_some_and(|rest| rest.trim_start().starts_with([':', '(']))
    };
    let line = map.lines().map(str::trim_start).find(flash)?;
    let origin = line.split_once("ORIGIN")?.1.split(',').next()?;
    let origin = origin.trim_start().strip_prefix('=')?.trim();
    match origin.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => origin.parse().ok(),
    }
}
