//! Real boards: logs by RTT, a host over the UART.
//!
//! A debugger reads the log from memory while the program runs. After an error, a panic or a fault the program
//! halts, and the log's last message gives the reason.

use core::hint::spin_loop;

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use rtt_target::{ChannelMode::NoBlockSkip, rtt_init, set_defmt_channel};
#[cfg(feature = "rtt-link")]
use rtt_target::{ChannelMode::NoBlockTrim, DownChannel, UpChannel};

#[cfg(feature = "mlperf")]
use crate::mlperf::run as application;
#[cfg(not(feature = "mlperf"))]
use crate::serve::run as application;
use crate::{app::RunError, board::Board, counter::Counter};

/// Starts the log. Call it once; messages before it are lost.
#[cfg(not(feature = "rtt-link"))]
pub fn start_log() {
    // A message that no one reads is skipped: the program must not wait for a debugger.
    let channels = rtt_init! {
        up: {
            0: {
                size: 512,
                mode: NoBlockSkip,
                name: "defmt"
            }
        }
    };
    set_defmt_channel(channels.up.0);
    greet();
}

/// The log's first message.
fn greet() {
    defmt::info!("fewbit on {=str}", crate::BOARD_NAME);
}

/// Starts the log, and the line to a host by the same way.
#[cfg(feature = "rtt-link")]
fn start_log_and_line() -> (UpChannel, DownChannel) {
    let channels = rtt_init! {
        up: {
            0: {
                size: 512,
                mode: NoBlockSkip,
                name: "defmt"
            }
            1: {
                size: crate::debugger::RING_BYTES,
                mode: NoBlockTrim,
                name: "fewbit"
            }
        }
        down: {
            0: {
                size: crate::debugger::RING_BYTES,
                mode: NoBlockTrim,
                name: "fewbit"
            }
        }
    };
    set_defmt_channel(channels.up.0);
    greet();
    (channels.up.1, channels.down.0)
}

/// Starts the log and answers a host for ever.
pub fn run(board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>) -> ! {
    #[cfg(not(feature = "rtt-link"))]
    start_log();
    #[cfg(feature = "rtt-link")]
    let board = {
        let (up, down) = start_log_and_line();
        crate::debugger::over_channels(board, up, down)
    };
    end(application(board))
}

/// Logs the result of a run, and halts.
fn end(result: Result<(), RunError>) -> ! {
    match result {
        Ok(()) => defmt::info!("the line has ended"),
        Err(error) => defmt::error!("run ended: {}", error),
    }
    halt()
}

/// As [`run`], on a board whose flash has slots for models: with the feature `slots` the newest one is used.
///
/// # Safety
///
/// Memory from `mapped_at` on is the flash, and changes through `flash` only.
#[allow(unsafe_code, reason = "only the board knows where its flash is")]
pub unsafe fn run_with_flash(
    board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    flash: impl NorFlash,
    mapped_at: usize,
) -> ! {
    #[cfg(feature = "slots")]
    {
        start_log();
        // SAFETY: the caller's promise.
        end(unsafe { crate::slots::run(board, flash, mapped_at) })
    }
    #[cfg(not(feature = "slots"))]
    {
        let _ = (flash, mapped_at);
        run(board)
    }
}

/// Halts.
pub fn halt() -> ! {
    loop {
        spin_loop();
    }
}
