//! MPS3 AN547 (Cortex-M55): starts the shared application.
//!
//! The board has nothing to set up: QEMU starts it at 32 MHz with all memories ready, in Secure state, and there the program stays.

#![no_std]
#![no_main]

use fewbit_firmware::{counter::InstructionCounter, emulated};

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        emulated::fail()
    };
    emulated::run(InstructionCounter::start(core.SYST))
}
