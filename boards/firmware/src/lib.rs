//! The application all boards share: run a model over inputs, report bytes.
//!
//! A board's `main` sets up its parts as a [`board::Board`] and hands it to `emulated::run` or `real::run`. These start
//! the application that the firmware was built with: a job of the host's ([`app`]), the serial protocol (`serve`), or
//! MLPerf Tiny's interface (`mlperf`). A job's results are lines of the log, in the words of [`fewbit_protocol::report`].

#![no_std]

pub mod app;
pub mod board;
#[cfg(target_arch = "arm")]
pub mod cmsdk;
pub mod counter;
#[cfg(feature = "rtt-link")]
pub mod debugger;
#[cfg(feature = "semihosting")]
pub mod emulated;
#[cfg(any(feature = "semihosting", feature = "rtt"))]
mod fault;
#[cfg(feature = "mlperf")]
pub mod mlperf;
pub mod model;
#[cfg(feature = "semihosting")]
pub mod ram_flash;
#[cfg(feature = "rtt")]
pub mod real;
#[cfg(any(feature = "serial", feature = "rtt"))]
pub mod serve;
#[cfg(feature = "slots")]
pub mod slots;
pub mod stack;
#[cfg(any(feature = "serial", feature = "rtt"))]
mod store;
#[cfg(feature = "slots")]
mod updates;

/// Name of the board, set by the build.
pub const BOARD_NAME: &str = env!("FEWBIT_BOARD_NAME", "FEWBIT_BOARD_NAME is the board's name");
