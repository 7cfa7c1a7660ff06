//! MPS3 AN547 (Cortex-M55): starts the shared application.
//!
//! The board has nothing to set up: QEMU starts it at 32 MHz with all memories ready, in Secure state, and there the program stays.

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
        // SAFETY: UART0 of the AN547, by its Secure address, which nothing else uses.
        serial: unsafe { CmsdkUart::new(0x5930_3000) },
        led: NoPin,
        timing: NoPin,
    })
}
