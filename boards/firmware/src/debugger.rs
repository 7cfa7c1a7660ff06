//! The line to the host through memory: RTT, which a debugger reads and writes.
//!
//! One channel in each direction, both named `fewbit`; the host finds them by that name. Only the reading of a request
//! waits for a debugger.

use core::hint::spin_loop;

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use rtt_target::{DownChannel, UpChannel};

use crate::board::{Board, Polled};

/// Bytes of each channel's ring: more than a frame.
pub const RING_BYTES: usize = 512;

/// Rounds without room for an answer after which the rest of it is dropped; the host repeats the request.
const PATIENCE: u32 = 10_000_000;

/// The board, with a line through these channels instead of its UART.
pub fn over_channels<C, S, L, T>(
    board: Board<C, S, L, T>,
    mut up: UpChannel,
    mut down: DownChannel,
) -> Board<C, impl Read + Write, L, T>
where
    L: OutputPin,
    T: OutputPin,
{
    Board {
        counter: board.counter,
        serial: Polled::new(
            move |byte| {
                while down.read(byte) == 0 {
                    spin_loop();
                }
                true
            },
            move |mut bytes| {
                let mut rounds = 0;
                while !bytes.is_empty() {
                    bytes = &bytes[up.write(bytes)..];
                    rounds += 1;
                    if rounds == PATIENCE {
                        return false;
                    }
                }
                true
            },
        ),
        led: board.led,
        timing: board.timing,
    }
}
