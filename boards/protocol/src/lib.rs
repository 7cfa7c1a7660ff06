//! The framed serial protocol between a host and a firmware.
//!
//! `docs/serial-protocol.md` is the specification. The host asks, the firmware answers; [`message`] holds what is said,
//! [`frame`] how it travels over a line that loses, flips and repeats bytes.

#![no_std]
#![forbid(unsafe_code)]

pub mod frame;
pub mod message;

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// The usual CRC-32 (zlib's), which frames, inputs and outputs carry.
pub const CRC32: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);
