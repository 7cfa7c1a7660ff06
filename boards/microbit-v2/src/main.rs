//! BBC micro:bit v2: starts the shared application.
//!
//! The core runs at 64 MHz from reset. UARTE0 on P0.06 and P1.08 goes to the debugger's virtual serial port.
//! The LED is the first of the matrix: its row is high when lit, its column stays low. The timing pin is ring 0, P0.02.

#![no_std]
#![no_main]

use embassy_nrf::{
    bind_interrupts,
    gpio::{Level, Output, OutputDrive},
    peripherals,
    uarte::{self, Baudrate, Uarte},
};
use fewbit_firmware::{
    board::{Board, Polled},
    counter::CycleCounter,
    real,
};

bind_interrupts!(struct Interrupts {
    UARTE0 => uarte::InterruptHandler<peripherals::UARTE0>;
});

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        real::halt()
    };
    let chip = embassy_nrf::init(Default::default());
    let mut config = uarte::Config::default();
    config.baudrate = Baudrate::Baud115200;
    let (mut send, mut receive) =
        Uarte::new(chip.UARTE0, chip.P1_08, chip.P0_06, Interrupts, config).split();
    // Dropped, it would let go of the column.
    let _column = Output::new(chip.P0_28, Level::Low, OutputDrive::Standard);
    real::run(Board {
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
        led: Output::new(chip.P0_21, Level::Low, OutputDrive::Standard),
        timing: Output::new(chip.P0_02, Level::Low, OutputDrive::Standard),
    })
}
