//! Boards that QEMU emulates: job file, logs and exit code by semihosting.
//!
//! With the feature `serial` or `mlperf` the board answers over its UART instead of running a job file, with `rtt-link` through
//! memory. The job is
//! `fewbit_protocol::job::JOB_FILE` in QEMU's working directory. The program ends with exit code 0 after a complete run and 1 after any
//! error, panic or fault, always with a defmt message that gives the reason.

use defmt_semihosting as _;
use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use semihosting::process;

#[cfg(not(any(feature = "serial", feature = "mlperf")))]
use fewbit_protocol::job::JOB_FILE;

#[cfg(not(any(feature = "serial", feature = "mlperf")))]
use crate::app;
use crate::{app::RunError, board::Board, counter::Counter};

/// A job in a file of the host.
#[cfg(not(any(feature = "serial", feature = "mlperf")))]
struct FileSource(semihosting::fs::File);

#[cfg(not(any(feature = "serial", feature = "mlperf")))]
impl app::Source for FileSource {
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), app::SourceError> {
        semihosting::io::Read::read_exact(&mut self.0, bytes).map_err(|_| app::SourceError)
    }
}

/// Runs the application that this firmware was built with, and ends the emulation.
pub fn run(board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>) -> ! {
    #[cfg(feature = "rtt-link")]
    let board = {
        let channels = rtt_target::rtt_init! {
            up: {
                0: {
                    size: crate::debugger::RING_BYTES,
                    mode: rtt_target::ChannelMode::NoBlockTrim,
                    name: "fewbit"
                }
            }
            down: {
                0: {
                    size: crate::debugger::RING_BYTES,
                    mode: rtt_target::ChannelMode::NoBlockTrim,
                    name: "fewbit"
                }
            }
        };
        crate::debugger::over_channels(board, channels.up.0, channels.down.0)
    };
    end(application(board))
}

/// Ends the emulation with the code for the result.
fn end(result: Result<(), RunError>) -> ! {
    match result {
        Ok(()) => process::exit(0),
        Err(error) => {
            defmt::error!("run ended: {}", error);
            fail()
        }
    }
}

/// As [`run`], on a board whose flash has slots for models: with the feature `slots` the newest one runs.
///
/// # Safety
///
/// Memory from `mapped_at` on shows the flash, and nothing but `flash` changes it.
#[allow(unsafe_code, reason = "only the board knows where its flash is")]
pub unsafe fn run_with_flash(
    board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    flash: impl NorFlash,
    mapped_at: usize,
) -> ! {
    #[cfg(feature = "slots")]
    {
        // SAFETY: the caller's promise.
        end(unsafe { crate::slots::run(board, flash, mapped_at) })
    }
    #[cfg(not(feature = "slots"))]
    {
        let _ = (flash, mapped_at);
        run(board)
    }
}

/// The job in [`JOB_FILE`].
#[cfg(not(any(feature = "serial", feature = "mlperf")))]
fn application(
    mut board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
) -> Result<(), RunError> {
    let Ok(file) = semihosting::fs::File::open(JOB_FILE) else {
        defmt::error!("cannot open job.bin in the emulator's working directory");
        return Err(app::SourceError.into());
    };
    app::run(&mut FileSource(file), &mut board.counter)
}

/// Answers the benchmark's runner over the UART.
#[cfg(feature = "mlperf")]
use crate::mlperf::run as application;
/// Answers a host over the UART.
#[cfg(all(feature = "serial", not(feature = "mlperf")))]
use crate::serve::run as application;

/// Ends the emulation with the exit code for failure.
pub fn fail() -> ! {
    process::exit(1)
}
