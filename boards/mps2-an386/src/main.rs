//! MPS2 AN386 (Cortex-M4): starts the shared application.
//!
//! The board has nothing to set up: QEMU starts it at 25 MHz with both memories ready.

#![no_std]
#![no_main]

use fewbit_firmware::{
    board::{Board, NoPin},
    cmsdk::CmsdkUart,
    counter::InstructionCounter,
    emulated,
    ram_flash::RamFlash,
};

#[allow(unsafe_code, reason = "only the board knows where its peripherals are")]
#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        emulated::fail()
    };
    let board = Board {
        counter: InstructionCounter::start(core.SYST),
        // SAFETY: UART0 of the AN386, which nothing else uses.
        serial: unsafe { CmsdkUart::new(0x4000_4000) },
        led: NoPin,
        timing: NoPin,
    };
    // SAFETY: SSRAM1, of which board.toml keeps the program out of what the slots are in; it is mapped where it is.
    unsafe { emulated::run_with_flash(board, RamFlash::new(0, 4 << 20), 0) }
}
