//! Messages between a host and firmware.
//!
#![doc = include_str!("../README.md")]
//!
//! `docs/serial-protocol.md` is the specification of the serial protocol. The host asks, the firmware answers; [`message`]
//! holds what is said, [`frame`] how it travels over a line that loses, flips and repeats bytes. Where the firmware reads
//! files of the host, one file contains all requests: a [`job`]; and the log has the results: one [`report`](mod@report) each.

#![no_std]
#![forbid(unsafe_code)]

pub mod frame;
pub mod job;
pub mod message;
pub mod report;

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// CRC-32 as zlib computes it, of frames, inputs and outputs.
pub const CRC32: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);
