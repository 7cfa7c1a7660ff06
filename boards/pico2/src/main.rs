//! Raspberry Pi Pico 2: starts the shared application.
//!
//! The core runs at 150 MHz. UART0 on GP0 and GP1 connects to a debug probe's serial cable. The LED is the board's; the
//! timing pin is GP2.

#![no_std]
#![no_main]

use embassy_rp::{
    gpio::{Level, Output},
    uart::{self, Uart},
};
use fewbit_firmware::{
    board::{Board, Polled},
    counter::CycleCounter,
    real,
};

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        real::halt()
    };
    let chip = embassy_rp::init(Default::default());
    let uart = Uart::new_blocking(chip.UART0, chip.PIN_0, chip.PIN_1, uart::Config::default());
    let (mut send, mut receive) = uart.split();
    real::run(Board {
        counter: CycleCounter::start(core.SYST),
        serial: Polled::new(
            move |byte| receive.blocking_read(byte).is_ok(),
            move |bytes| send.blocking_write(bytes).is_ok(),
        ),
        led: Output::new(chip.PIN_25, Level::Low),
        timing: Output::new(chip.PIN_2, Level::Low),
    })
}
