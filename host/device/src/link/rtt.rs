//! A line to firmware through its memory: SEGGER's RTT, over a debug server.
//!
//! The firmware has a control block in RAM, found by its symbol: an id, the numbers of channels up (from the firmware) and down, and
//! one descriptor per channel with the addresses of its name and its ring, the ring's size, and the positions of its writer and its reader.
//! Each access halts the program, which a core's own counters of cycles do not see.

use std::{
    io::{self, ErrorKind},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::{gdb::Gdb, line::Line};

/// Symbol of the control block.
pub const SYMBOL: &str = "_SEGGER_RTT";

/// Name of the firmware's two channels.
const CHANNEL: &[u8] = b"fewbit\0";

/// Bytes of the control block before the channels, and of each channel.
const HEADER_BYTES: usize = 24;
const CHANNEL_BYTES: usize = 24;

/// First bytes of an initialized control block.
const ID: &[u8] = b"SEGGER RTT\0";

/// Largest number of channels of each kind that are read.
const CHANNELS: usize = 8;

/// Largest plausible ring, in bytes.
const RING_BYTES: u32 = 1 << 20;

/// Time between two accesses.
const PAUSE: Duration = Duration::from_millis(5);

/// Longest time that a ring may stay full.
const FULL: Duration = Duration::from_secs(2);

/// The two channels of a firmware.
pub struct RttLine {
    gdb: Gdb,
    /// Address of the control block.
    block: u32,
}

/// A ring in the firmware's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ring {
    /// Address of the channel's descriptor.
    descriptor: u32,
    buffer: u32,
    size: u32,
    write: u32,
    read: u32,
}

impl RttLine {
    /// A line to the program behind a debug server, whose control block is at `block`.
    ///
    /// # Errors
    ///
    /// If there is no debug server.
    pub fn new(stream: TcpStream, block: u32) -> io::Result<Self> {
        let mut gdb = Gdb::new(stream)?;
        gdb.go_on()?;
        Ok(Self { gdb, block })
    }

    /// The rings up and down of the halted program; `None` before it has initialized them.
    fn rings(&mut self) -> io::Result<Option<(Ring, Ring)>> {
        let header = self.gdb.read(self.block, HEADER_BYTES)?;
        if !header.starts_with(ID) {
            return Ok(None);
        }
        let counts = [16, 20].map(|at| word(&header, at) as usize);
        if counts.iter().any(|count| !(1..=CHANNELS).contains(count)) {
            return Ok(None);
        }
        let start = self.block + HEADER_BYTES as u32;
        let channels = self
            .gdb
            .read(start, (counts[0] + counts[1]) * CHANNEL_BYTES)?;
        let mut found = [None, None];
        for (index, channel) in channels.chunks_exact(CHANNEL_BYTES).enumerate() {
            let [name, buffer, size, write, read] = [0, 4, 8, 12, 16].map(|at| word(channel, at));
            // What is not yet set up, or no more: zeros, or places outside the ring.
            if name == 0 || buffer == 0 || size > RING_BYTES || write >= size || read >= size {
                continue;
            }
            if self.gdb.read(name, CHANNEL.len())? == CHANNEL {
                let kind = usize::from(index >= counts[0]);
                found[kind] = Some(Ring {
                    descriptor: start + (index * CHANNEL_BYTES) as u32,
                    buffer,
                    size,
                    write,
                    read,
                });
            }
        }
        Ok(found[0].zip(found[1]))
    }

    /// Takes all bytes out of the ring up.
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.gdb.stop()?;
        let mut count = 0;
        if let Some((up, _)) = self.rings()? {
            let (from, length) = up.filled();
            let room = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let length = length.min(room);
            if length > 0 {
                let some = self.gdb.read(up.buffer + from, length as usize)?;
                bytes[..some.len()].copy_from_slice(&some);
                let read = (from + length) % up.size;
                self.gdb.write(up.descriptor + 16, &read.to_le_bytes())?;
                count = some.len();
            }
        }
        self.gdb.go_on()?;
        Ok(count)
    }

    /// Writes as many bytes into the ring down as it has room for.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gdb.stop()?;
        let mut count = 0;
        if let Some((_, mut down)) = self.rings()? {
            loop {
                let (to, room) = down.free();
                let rest = &bytes[count..];
                let length = rest.len().min(room as usize);
                if length == 0 {
                    break;
                }
                self.gdb.write(down.buffer + to, &rest[..length])?;
                down.write = (to + length as u32) % down.size;
                count += length;
            }
            self.gdb
                .write(down.descriptor + 12, &down.write.to_le_bytes())?;
        }
        self.gdb.go_on()?;
        Ok(count)
    }
}

impl Ring {
    /// Position of the reader, and the number of bytes that can be read from there in one piece.
    fn filled(&self) -> (u32, u32) {
        let end = if self.write >= self.read {
            self.write
        } else {
            self.size
        };
        (self.read, end - self.read)
    }

    /// Position of the writer, and the number of bytes that can be written from there in one piece; one byte always stays free.
    fn free(&self) -> (u32, u32) {
        let end = if self.read > self.write {
            self.read - 1
        } else if self.read == 0 {
            self.size - 1
        } else {
            self.size
        };
        (self.write, end - self.write)
    }
}

impl Line for RttLine {
    /// Drops bytes for which the firmware has no room within two seconds: it is starting, or has halted.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = Instant::now() + FULL;
        let mut rest = bytes;
        loop {
            rest = &rest[self.put(rest)?..];
            if rest.is_empty() || Instant::now() >= end {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        let end = Instant::now() + limit;
        loop {
            let count = self.take(bytes)?;
            let left = end.saturating_duration_since(Instant::now());
            if count > 0 || left.is_zero() {
                return Ok(count);
            }
            thread::sleep(PAUSE.min(left));
        }
    }
}

/// The address of the control block of a firmware.
///
/// # Errors
///
/// If the file is not an ELF file, or has no control block.
pub fn block_of(elf: &[u8]) -> io::Result<u32> {
    use object::{Object as _, ObjectSymbol as _};
    let wrong = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let file = object::File::parse(elf).map_err(|_| wrong("the firmware is not an ELF file"))?;
    file.symbols()
        .find(|symbol| symbol.name() == Ok(SYMBOL))
        .and_then(|symbol| u32::try_from(symbol.address()).ok())
        .ok_or_else(|| wrong("the firmware has no RTT control block"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    u32::from_le_bytes(word.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(write: u32, read: u32) -> Ring {
        Ring {
            descriptor: 0,
            buffer: 0,
            size: 8,
            write,
            read,
        }
    }

    #[test]
    fn a_ring_never_gets_full() {
        for write in 0..8 {
            for read in 0..8 {
                let filled = (write + 8 - read) % 8;
                let mut down = ring(write, read);
                let mut room = 0;
                loop {
                    let (to, count) = down.free();
                    assert!(to + count <= 8);
                    if count == 0 {
                        break;
                    }
                    room += count;
                    down.write = (to + count) % 8;
                }
                assert_eq!(room, 7 - filled, "{write} {read}");
                let (from, count) = ring(write, read).filled();
                assert!(from + count <= 8 && count <= filled, "{write} {read}");
                assert_eq!(count == 0, filled == 0, "{write} {read}");
            }
        }
    }
}
