//! MPS2 AN505 (Cortex-M33): starts the shared application.
//!
//! The board has nothing to set up: QEMU starts it at 20 MHz with both memories ready, in Secure state, and there the program stays.

#![no_std]
#![no_main]

use fewbit_firmware::{
    board::{Board, NoPin},
    cmsdk::CmsdkUart,
    counter::InstructionCounter,
    emulated,
};

#[allow(unsafe_code, reason = "only the board knows where its peripherals are")]
#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        emulated::fail()
    };
    emulated::run(Board {
        counter: InstructionCounter::start(core.SYST),
        // SAFETY: UART0 of the AN505, by its Secure address, which nothing else uses.
        serial: unsafe { CmsdkUart::new(0x5020_0000) },
        led: NoPin,
        timing: NoPin,
    })
}
