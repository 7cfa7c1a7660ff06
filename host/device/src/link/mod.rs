//! Communication with running firmware, over a serial line.

pub mod client;
pub mod emulator;
pub mod gdb;
pub mod line;
pub mod rtt;

pub use client::{Client, Identity, Inference, LinkError, Patience};
