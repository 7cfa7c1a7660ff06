//! Raspberry Pi Pico: starts the shared application.
//!
//! The core runs at 125 MHz. UART0 on GP0 and GP1 is where a debug probe's serial cable goes. The LED is the board's; the
//! timing pin is GP2.

#![no_std]
#![no_main]

use embassy_rp::{
    gpio::{Level, Output},
    uart::{self, Blocking, Uart},
};
use embedded_io::{ErrorType, Read, Write};
use fewbit_firmware::{
    board::{Board, LineError},
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
    real::run(Board {
        counter: CycleCounter::start(core.SYST),
        serial: Serial(uart),
        led: Output::new(chip.PIN_25, Level::Low),
        timing: Output::new(chip.PIN_2, Level::Low),
    })
}

/// The UART, byte by byte as the host's requests come.
struct Serial(Uart<'static, Blocking>);

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
        match self.0.blocking_write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(LineError),
        }
    }

    fn flush(&mut self) -> Result<(), LineError> {
        self.0.blocking_flush().map_err(|_| LineError)
    }
}
