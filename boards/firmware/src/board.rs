//! Parts of a board that the shared application needs.

use core::{convert::Infallible, fmt};

use embedded_hal::digital::{ErrorType as PinErrorType, OutputPin};
use embedded_io::{ErrorType, Read, Write};

use crate::counter::Counter;

/// Parts of a board, set up by its `main`.
pub struct Board<C, S, L, T> {
    /// Counter of an inference's cost.
    pub counter: C,
    /// Line to the host.
    pub serial: S,
    /// Lit while the model runs.
    pub led: L,
    /// High while the model runs, for a logic analyser or a power monitor.
    pub timing: T,
}

impl<C: Counter, S: Read + Write, L: OutputPin, T: OutputPin> Board<C, S, L, T> {
    /// Does `work` and returns its cost, in the counter's unit.
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

/// The line over a UART whose HAL has no traits for it, from its two halves as functions.
///
/// Bytes are read one at a time, as the host's requests come. `receive` waits for one, `send` for all of them to be
/// taken; both say whether that went well.
pub struct Polled<R, T> {
    receive: R,
    send: T,
}

impl<R: FnMut(&mut [u8; 1]) -> bool, T: FnMut(&[u8]) -> bool> Polled<R, T> {
    /// A line of these two.
    pub fn new(receive: R, send: T) -> Self {
        Self { receive, send }
    }
}

impl<R, T> ErrorType for Polled<R, T> {
    type Error = LineError;
}

impl<R: FnMut(&mut [u8; 1]) -> bool, T> Read for Polled<R, T> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, LineError> {
        let Some(first) = bytes.first_chunk_mut() else {
            return Ok(0);
        };
        if (self.receive)(first) {
            Ok(1)
        } else {
            Err(LineError)
        }
    }
}

impl<R, T: FnMut(&[u8]) -> bool> Write for Polled<R, T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, LineError> {
        if (self.send)(bytes) {
            Ok(bytes.len())
        } else {
            Err(LineError)
        }
    }

    fn flush(&mut self) -> Result<(), LineError> {
        // `send` returns when the UART has them.
        Ok(())
    }
}

/// A byte that the line lost or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError;

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
