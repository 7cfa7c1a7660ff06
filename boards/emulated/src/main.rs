//! The Cortex-M boards that QEMU emulates: starts the shared application.
//!
//! These boards have nothing to set up: QEMU starts each at its own speed with all memories ready, those with TrustZone in
//! Secure state, where the program stays. What differs is data: `board.toml` and `memory.x` in the board's folder, which
//! the build script turns into constants.

#![no_std]
#![no_main]

#[cfg(not(has_uart))]
use fewbit_firmware::board::NoSerial;
#[cfg(has_uart)]
use fewbit_firmware::cmsdk::CmsdkUart;
#[cfg(has_slots)]
use fewbit_firmware::ram_flash::RamFlash;
use fewbit_firmware::{
    board::{Board, NoPin},
    counter::InstructionCounter,
    emulated,
};

include!(concat!(env!("OUT_DIR"), "/board.rs"));

#[cfg_attr(
    any(has_uart, has_slots),
    allow(unsafe_code, reason = "only the board knows where its peripherals are")
)]
#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        emulated::fail()
    };
    let board = Board {
        counter: InstructionCounter::start(core.SYST),
        // SAFETY: board.toml says that a CMSDK UART is there, which nothing else uses.
        #[cfg(has_uart)]
        serial: unsafe { CmsdkUart::new(UART) },
        #[cfg(not(has_uart))]
        serial: NoSerial,
        led: NoPin,
        timing: NoPin,
    };
    #[cfg(not(has_slots))]
    emulated::run(board);
    // SAFETY: memory.x says that the memory is there, which is mapped where it is, and board.toml keeps the program out of
    // what the slots are in.
    #[cfg(has_slots)]
    unsafe {
        emulated::run_with_flash(board, RamFlash::new(FLASH, FLASH_BYTES), FLASH);
    }
}
