//! BBC micro:bit v2: starts the shared application.
//!
//! The core runs at 64 MHz from reset. UARTE0 on P0.06 and P1.08 goes to the debugger's virtual serial port.
//! The LED is the matrix's first: its row is high when lit, its column stays low. The timing pin is ring 0, P0.02.

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
    board::{Board, LineError},
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
    let uart = Uarte::new(chip.UARTE0, chip.P1_08, chip.P0_06, Interrupts, config);
    // Dropped, it would let go of the column.
    let _column = Output::new(chip.P0_28, Level::Low, OutputDrive::Standard);
    real::run(Board {
        counter: CycleCounter::start(core.SYST),
        serial: Serial(uart),
        led: Output::new(chip.P0_21, Level::Low, OutputDrive::Standard),
        timing: Output::new(chip.P0_02, Level::Low, OutputDrive::Standard),
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
