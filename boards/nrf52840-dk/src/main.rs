//! nRF52840-DK: starts the shared application.
//!
//! The core runs at 64 MHz from reset. UARTE0 on P0.06 and P0.08 goes to the debugger's virtual serial port.
//! LED 1 is lit by a low level; the timing pin is P1.01, D0 of the Arduino header.

#![no_std]
#![no_main]

use embassy_nrf::{
    bind_interrupts,
    gpio::{Level, Output, OutputDrive},
    peripherals,
    uarte::{self, Baudrate, Uarte},
};
use embedded_io::{ErrorType, Read, Write};
use fewbit_firmware::{
    board::{ActiveLow, Board, LineError},
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
    let uart = Uarte::new(chip.UARTE0, chip.P0_08, chip.P0_06, Interrupts, config);
    real::run(Board {
        counter: CycleCounter::start(core.SYST),
        serial: Serial(uart),
        led: ActiveLow(Output::new(chip.P0_13, Level::High, OutputDrive::Standard)),
        timing: Output::new(chip.P1_01, Level::Low, OutputDrive::Standard),
    })
}

/// The UART, byte by byte as the host's requests come.
struct Serial(Uarte<'static>);

impl ErrorType for Serial {
    type Error = LineError;
}

impl Read for Serial {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, LineError> {
        let Some(first) = bytes.first_mut() else {
            return Ok(0);
        };
        match self.0.blocking_read(core::slice::from_mut(first)) {
            Ok(()) => Ok(1),
            Err(_) => Err(LineError),
        }
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, LineError> {
        // The HAL copies what lies in flash, which its DMA cannot read, into a buffer of this size.
        const MOST: usize = 255;
        let bytes = bytes.get(..MOST).unwrap_or(bytes);
        match self.0.blocking_write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(LineError),
        }
    }

    fn flush(&mut self) -> Result<(), LineError> {
        // A write returns when its bytes are out.
        Ok(())
    }
}
