//! Netduino Plus 2 (STM32F405, Cortex-M4): starts the shared application.
//!
//! The board has nothing to set up: QEMU starts it at 168 MHz with both memories ready.

#![no_std]
#![no_main]

use fewbit_firmware::{
    board::{Board, NoPin, NoSerial},
    counter::InstructionCounter,
    emulated,
};

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        emulated::fail()
    };
    emulated::run(Board {
        counter: InstructionCounter::start(core.SYST),
        serial: NoSerial,
        led: NoPin,
        timing: NoPin,
    })
}
