//! nRF52840-DK: starts the shared application.
//!
//! The core runs at 64 MHz from reset. UARTE0 on P0.06 and P0.08 goes to the debugger's virtual serial port.
//! LED 1 is lit by a low level; the timing pin is P1.01, D0 of the Arduino header.

#![no_std]
#![no_main]

use embassy_nrf::{
    bind_interrupts,
    gpio::{Level, Output, OutputDrive},
    nvmc::Nvmc,
    peripherals,
    uarte::{self, Baudrate, Uarte},
};
use fewbit_firmware::{
    board::{ActiveLow, Board, Polled},
    counter::CycleCounter,
    real,
};

bind_interrupts!(struct Interrupts {
    UARTE0 => uarte::InterruptHandler<peripherals::UARTE0>;
});

#[allow(unsafe_code, reason = "only the board knows where its flash is")]
#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        real::halt()
    };
    let chip = embassy_nrf::init(Default::default());
    let mut config = uarte::Config::default();
    config.baudrate = Baudrate::Baud115200;
    let (mut send, mut receive) =
        Uarte::new(chip.UARTE0, chip.P0_08, chip.P0_06, Interrupts, config).split();
    let board = Board {
        counter: CycleCounter::start(core.SYST),
        serial: Polled::new(
            move |byte| receive.blocking_read(byte).is_ok(),
            // What lies in flash the HAL copies into a buffer of 512 bytes, as its DMA cannot read it.
            move |bytes| {
                bytes
                    .chunks(512)
                    .all(|bytes| send.blocking_write(bytes).is_ok())
            },
        ),
        led: ActiveLow(Output::new(chip.P0_13, Level::High, OutputDrive::Standard)),
        timing: Output::new(chip.P1_01, Level::Low, OutputDrive::Standard),
    };
    // SAFETY: the chip's flash starts at address 0, and its controller is the only way to change it.
    unsafe { real::run_with_flash(board, Nvmc::new(chip.NVMC), 0) }
}
