//! A stream of bytes to a firmware.
//!
//! A serial port, a TCP connection, an emulated UART.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serial2::SerialPort;

/// Speed of the boards' UARTs.
pub const BAUD: u32 = 115_200;

/// Shortest wait to which a time limit may be rounded; the systems treat 0 as "for ever".
const SHORTEST: Duration = Duration::from_millis(1);

/// Transport of bytes. It may lose and change them; see [`super::client`].
pub trait Line: Send {
    /// Sends all bytes.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits for bytes, at most for `limit`; returns their number, 0 for none in time.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize>;
}

/// Result of a system call, for [`Line::receive`].
fn received(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the other end has closed the line",
        )),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(0)
        }
        other => other,
    }
}

impl Line for TcpStream {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(Some(limit.max(SHORTEST)))?;
        received(self.read(bytes))
    }
}

impl Line for SerialPort {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.set_read_timeout(limit.max(SHORTEST))?;
        received(SerialPort::read(self, bytes))
    }
}

/// Opens the port that `--port` names: a serial port of the host, or `HOST:PORT` of a server that forwards bytes.
///
/// # Errors
///
/// If it cannot be opened; the message lists the existing serial ports.
pub fn open(port: &str) -> Result<Box<dyn Line>> {
    if let Some((host, number)) = port.rsplit_once(':')
        && !host.contains('/')
        && let Ok(number) = number.parse::<u16>()
    {
        let stream = TcpStream::connect((host, number))
            .with_context(|| format!("cannot connect to {port}"))?;
        stream
            .set_nodelay(true)
            .with_context(|| format!("cannot configure {port}"))?;
        return Ok(Box::new(stream));
    }
    match SerialPort::open(port, BAUD) {
        Ok(serial) => {
            // What a firmware said before is no answer to what will be asked.
            let _ = serial.discard_input_buffer();
            Ok(Box::new(serial))
        }
        Err(error) => {
            let there = SerialPort::available_ports().unwrap_or_default();
            let there: Vec<String> = there
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let there = match there.as_slice() {
                [] => "this machine has none".to_owned(),
                some => format!("this machine has {}", some.join(", ")),
            };
            let way = match error.kind() {
                ErrorKind::PermissionDenied => {
                    "; your user may have to join the group of the port, often `dialout` or `uucp`"
                }
                _ => "",
            };
            bail!("cannot open the serial port {port}: {error}{way}; {there}")
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_serial_port_waits_no_longer_than_it_may() {
        let (mut here, mut there) = SerialPort::pair().expect("the system has terminals");
        let mut bytes = [0; 8];
        let none = Line::receive(&mut here, &mut bytes, Duration::from_millis(5));
        assert_eq!(none.expect("open"), 0);
        there.send(&[0, 255, 13]).expect("open");
        let mut came: Vec<u8> = Vec::new();
        while came.len() < 3 {
            let count = Line::receive(&mut here, &mut bytes, Duration::from_secs(5));
            came.extend(&bytes[..count.expect("open")]);
        }
        assert_eq!(came, [0, 255, 13]);
    }

    #[test]
    fn a_port_that_is_not_there_is_named() {
        let error = open("/dev/no-such-port").err().expect("absent").to_string();
        assert!(error.contains("/dev/no-such-port"), "{error}");
        assert!(error.contains("this machine has"), "{error}");
    }
}
