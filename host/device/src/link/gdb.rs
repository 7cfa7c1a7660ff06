//! GDB's remote serial protocol, as far as access to memory needs it.
//!
//! Every debug server implements it: probe-rs, OpenOCD, J-Link's and QEMU. The packets are described in the GDB manual, appendix "Remote
//! Serial Protocol". A server halts the program on connection, and resumes it when the client detaches.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Time limit of the answer to a packet.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes of memory per packet, which takes two digits for each.
const CHUNK: usize = 256;

/// Longest accepted packet.
const PACKET_BYTES: usize = 1 << 16;

/// Byte that interrupts a running program; not a packet.
const INTERRUPT: u8 = 3;

/// A program under a debug server.
pub struct Gdb {
    stream: TcpStream,
    pending: Vec<u8>,
    /// Packet that resumes it.
    go_on: &'static str,
    running: bool,
}

impl Gdb {
    /// Takes control of the program at the other end, which halts.
    ///
    /// # Errors
    ///
    /// If the other end is not a debug server.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        Self::attach(stream).map_err(|error| {
            let what = format!("no GDB server answers there: {error}");
            io::Error::new(error.kind(), what)
        })
    }

    fn attach(stream: TcpStream) -> io::Result<Self> {
        let mut gdb = Self {
            stream,
            pending: Vec::new(),
            go_on: "c",
            running: false,
        };
        // Of one kind of server only the newer word is known, of another the older.
        let ways = gdb.ask("vCont?")?;
        if ways.split(|&byte| byte == b';').any(|way| way == b"c") {
            gdb.go_on = "vCont;c";
        }
        let state = gdb.ask("?")?;
        match state.first() {
            Some(b'S' | b'T') => Ok(gdb),
            _ => Err(unexpected(&state)),
        }
    }

    /// Halts the program, if it runs.
    ///
    /// # Errors
    ///
    /// If the connection is lost or the program does not halt.
    pub fn stop(&mut self) -> io::Result<()> {
        if !self.running {
            return Ok(());
        }
        self.stream.write_all(&[INTERRUPT])?;
        loop {
            let packet = self.packet()?;
            match packet.first() {
                // Console output of the program.
                Some(b'O') => {}
                Some(b'S' | b'T') => break,
                Some(b'W' | b'X') => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "the program has ended",
                    ));
                }
                _ => return Err(unexpected(&packet)),
            }
        }
        self.running = false;
        Ok(())
    }

    /// Resumes the program.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub fn go_on(&mut self) -> io::Result<()> {
        if !self.running {
            self.send(self.go_on)?;
            self.running = true;
        }
        Ok(())
    }

    /// Reads memory of the halted program.
    ///
    /// # Errors
    ///
    /// If the connection is lost or the server refuses the address.
    pub fn read(&mut self, address: u32, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let count = CHUNK.min(length - bytes.len());
            let at = u64::from(address) + bytes.len() as u64;
            let answer = self.ask(&format!("m{at:x},{count:x}"))?;
            let some = from_hex(&answer).ok_or_else(|| unexpected(&answer))?;
            // A server may give less than was asked for, but not nothing.
            if some.is_empty() || some.len() > count {
                return Err(unexpected(&answer));
            }
            bytes.extend(some);
        }
        Ok(bytes)
    }

    /// Writes memory of the halted program.
    ///
    /// # Errors
    ///
    /// If the connection is lost or the server refuses the address.
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> io::Result<()> {
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let at = u64::from(address) + (index * CHUNK) as u64;
            let digits: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let answer = self.ask(&format!("M{at:x},{:x}:{digits}", chunk.len()))?;
            if answer != b"OK" {
                return Err(unexpected(&answer));
            }
        }
        Ok(())
    }

    /// Sends a packet and returns the answer.
    fn ask(&mut self, data: &str) -> io::Result<Vec<u8>> {
        self.send(data)?;
        self.packet()
    }

    fn send(&mut self, data: &str) -> io::Result<()> {
        let sum = checksum(data.as_bytes());
        self.stream
            .write_all(format!("${data}#{sum:02x}").as_bytes())
    }

    /// The next packet, acknowledged.
    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let end = Instant::now() + LIMIT;
        loop {
            match take(&mut self.pending) {
                Taken::Packet(packet) => {
                    self.stream.write_all(b"+")?;
                    return Ok(packet);
                }
                Taken::Damaged => self.stream.write_all(b"-")?,
                Taken::Nothing => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() || self.pending.len() > PACKET_BYTES {
                        return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
                    }
                    self.stream.set_read_timeout(Some(left))?;
                    let mut bytes = [0; 4096];
                    match self.stream.read(&mut bytes) {
                        Ok(0) => {
                            return Err(io::Error::new(
                                ErrorKind::UnexpectedEof,
                                "the debug server has closed the connection",
                            ));
                        }
                        Ok(count) => self.pending.extend(&bytes[..count]),
                        Err(error)
                            if matches!(
                                error.kind(),
                                ErrorKind::WouldBlock
                                    | ErrorKind::TimedOut
                                    | ErrorKind::Interrupted
                            ) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

impl Drop for Gdb {
    /// Leaves the program running.
    fn drop(&mut self) {
        // Where the server is gone already, nothing is left to do.
        let _ = self.stop().and_then(|()| self.send("D"));
    }
}

/// The sum of all bytes, modulo 256.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// Result of [`take`].
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Packet(Vec<u8>),
    /// A packet with a wrong checksum.
    Damaged,
    /// No complete packet.
    Nothing,
}

/// Removes a packet from the received bytes, with everything before it: acknowledgements, notifications.
fn take(pending: &mut Vec<u8>) -> Taken {
    let Some(start) = pending.iter().position(|&byte| byte == b'$') else {
        pending.clear();
        return Taken::Nothing;
    };
    let Some(length) = pending[start..].iter().position(|&byte| byte == b'#') else {
        return Taken::Nothing;
    };
    let end = start + length;
    let Some(sum) = pending.get(end + 1..end + 3) else {
        return Taken::Nothing;
    };
    let data = &pending[start + 1..end];
    let sound = from_hex(sum).is_some_and(|sum| sum == [checksum(data)]);
    let taken = match expanded(data) {
        Some(data) if sound => Taken::Packet(data),
        _ => Taken::Damaged,
    };
    pending.drain(..end + 3);
    taken
}

/// The data of a packet without its escapes and runs; `None` for a run of nothing.
fn expanded(data: &[u8]) -> Option<Vec<u8>> {
    let mut expanded = Vec::with_capacity(data.len());
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'}' => expanded.push(bytes.next()? ^ 0x20),
            b'*' => {
                let count = bytes.next()?.checked_sub(29)?;
                let last = *expanded.last()?;
                expanded.extend(std::iter::repeat_n(last, count.into()));
            }
            byte => expanded.push(byte),
        }
    }
    Some(expanded)
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| {
            // Signs are numbers for the standard library, and none here.
            let pair = std::str::from_utf8(pair).ok().filter(|pair| {
                pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit())
            })?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

fn unexpected(answer: &[u8]) -> io::Error {
    let answer = String::from_utf8_lossy(answer);
    io::Error::new(
        ErrorKind::InvalidData,
        format!("the debug server answers `{answer}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (Taken, String) {
        let mut pending = text.as_bytes().to_vec();
        let taken = take(&mut pending);
        (taken, String::from_utf8(pending).expect("text"))
    }

    #[test]
    fn packets_are_taken_one_by_one() {
        // The example of GDB's manual for runs: `0* ` is four zeros.
        let (packet, rest) = taken("++$0* #7a$OK#9a");
        assert_eq!(packet, Taken::Packet(b"0000".to_vec()));
        assert_eq!(rest, "$OK#9a");
        assert_eq!(taken("$OK#9b").0, Taken::Damaged);
        assert_eq!(taken("$}\u{3}#80").0, Taken::Packet(b"#".to_vec()));
        for part in ["", "+", "$", "$O", "$OK#", "$OK#9"] {
            assert_eq!(taken(part).0, Taken::Nothing, "{part}");
        }
        // A run of nothing, and one that is cut off.
        assert_eq!(taken("$* #4a").0, Taken::Damaged);
        assert_eq!(taken("$0*#5a").0, Taken::Damaged);
    }

    #[test]
    fn digits_are_pairs() {
        assert_eq!(from_hex(b"00fFa5"), Some(vec![0, 255, 0xA5]));
        for wrong in ["0", "000", "+1", "g0", "E0x"] {
            assert_eq!(from_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
