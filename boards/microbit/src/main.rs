//! BBC micro:bit (nRF51822, Cortex-M0): starts the shared application.
//!
//! The board has nothing to set up: QEMU starts it at 16 MHz with both memories ready.

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
