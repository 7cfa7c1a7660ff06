//! Real boards: logs by RTT, a host over the UART.
//!
//! A debugger reads the log from memory while the program runs. After an error, a panic or a fault the program stands
//! still, and the log's last message says why.

use core::{hint::spin_loop, panic::PanicInfo};

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

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    halt()
}

#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
#[allow(
    unsafe_code,
    reason = "cortex-m-rt asks for it: the handler may have been entered at any point"
)]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!(
        "hard fault at pc={=u32:#010x} lr={=u32:#010x}",
        frame.pc(),
        frame.lr()
    );
    halt()
}
