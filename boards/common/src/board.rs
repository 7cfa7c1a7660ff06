//! What the shared application needs of a board.

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType as PinErrorType, OutputPin};
use embedded_io::{ErrorType, Read, Write};

use crate::counter::Counter;

/// The parts of a board, as its `main` has set them up.
pub struct Board<C, S, L, T> {
    /// What an inference costs.
    pub counter: C,
    /// The line to the host.
    pub serial: S,
    /// Lit while the model runs.
    pub led: L,
    /// High while the model runs, for a logic analyser or a power monitor.
    pub timing: T,
}

impl<C: Counter, S: Read + Write, L: OutputPin, T: OutputPin> Board<C, S, L, T> {
    /// Does `work`, which is to be measured; what it cost, in the counter's unit.
    pub fn measured(&mut self, work: impl FnOnce()) -> u64 {
        // A pin that cannot be set takes nothing from the result.
        let _ = self.led.set_high();
        let _ = self.timing.set_high();
        let start = self.counter.now();
        work();
        let cost = self.counter.cost_since(start);
        let _ = self.timing.set_low();
        let _ = self.led.set_low();
        cost
    }
}

/// A byte that the line lost or damaged, for HALs whose errors are not embedded-io's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError;

impl core::fmt::Display for LineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the line lost or damaged a byte")
    }
}

impl core::error::Error for LineError {}

impl embedded_io::Error for LineError {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::InvalidData
    }
}

/// A pin that a board does not have.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPin;

impl PinErrorType for NoPin {
    type Error = Infallible;
}

impl OutputPin for NoPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// An LED that a low level lights.
#[derive(Clone, Copy, Debug)]
pub struct ActiveLow<P>(pub P);

impl<P: OutputPin> PinErrorType for ActiveLow<P> {
    type Error = P::Error;
}

impl<P: OutputPin> OutputPin for ActiveLow<P> {
    fn set_low(&mut self) -> Result<(), P::Error> {
        self.0.set_high()
    }

    fn set_high(&mut self) -> Result<(), P::Error> {
        self.0.set_low()
    }
}

/// A line that a board does not have: it is always at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSerial;

impl ErrorType for NoSerial {
    type Error = Infallible;
}

impl Read for NoSerial {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, Infallible> {
        Ok(0)
    }
}

impl Write for NoSerial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
