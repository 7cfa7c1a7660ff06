//! Real boards: logs by RTT, a host over the UART.
//!
//! A debugger reads the log from memory while the program runs. After an error, a panic or a fault the program stands
//! still, and the log's last message says why.

use core::hint::spin_loop;

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use rtt_target::{ChannelMode::NoBlockSkip, rtt_init, set_defmt_channel};

#[cfg(feature = "mlperf")]
use crate::mlperf::run as application;
#[cfg(not(feature = "mlperf"))]
use crate::serve::run as application;
use crate::{board::Board, counter::Counter};

/// Starts the log. Once; what is logged before is lost.
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
}

/// Starts the log and answers a host for ever.
pub fn run(board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>) -> ! {
    start_log();
    defmt::info!("fewbit on {=str}", crate::BOARD_NAME);
    match application(board) {
        Ok(()) => defmt::info!("the line has ended"),
        Err(error) => defmt::error!("run ended: {}", error),
    }
    halt()
}

/// Stands still.
pub fn halt() -> ! {
    loop {
        spin_loop();
    }
}
