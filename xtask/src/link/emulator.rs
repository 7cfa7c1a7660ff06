//! A firmware in QEMU whose UART and monitor are connections to this process.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use defmt_decoder::Table;

use crate::{board::Board, process, qemu};

/// Time for QEMU to start and connect.
const START_LIMIT: Duration = Duration::from_secs(30);

/// An emulator that runs until it is dropped.
pub struct Emulator {
    child: Child,
    monitor: TcpStream,
    log: Option<thread::JoinHandle<String>>,
}

impl Emulator {
    /// Starts `elf` on the emulated `board`; the emulator, and the line to the firmware's UART.
    ///
    /// # Errors
    ///
    /// If the board has no UART in the emulator, or QEMU cannot be found or started.
    pub fn start(board: &Board, elf: &Path) -> Result<(Self, TcpStream)> {
        match &board.qemu {
            Some(emulation) if emulation.serial => {}
            Some(_) => bail!(
                "the firmware of {} does not use the emulator's UART; its board.toml has no `serial = true` in [qemu]",
                board.name
            ),
            None => bail!("board {} is not an emulated one", board.name),
        }
        let (uart, uart_argument) = listener()?;
        let (monitor, monitor_argument) = listener()?;
        let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = Table::parse(&bytes)
            .with_context(|| format!("{} has a broken defmt table", elf.display()))?
            .with_context(|| format!("{} has no defmt table", elf.display()))?;
        let mut command = qemu::command(board, elf, &monitor_argument, &uart_argument)?;
        let shown = process::shown(&command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start `{shown}`"))?;
        let pipe = child.stdout.take();
        // Read all the time, so that the child never waits for a full pipe; what it says is for a failure's message.
        let log = thread::spawn(move || match qemu::decode(&table, pipe, &|_| {}) {
            Ok(lines) => lines
                .last()
                .map_or_else(String::new, |line| line.text.clone()),
            Err(error) => format!("{error:#}"),
        });
        let streams =
            accept(&uart, &mut child).and_then(|line| Ok((line, accept(&monitor, &mut child)?)));
        let (line, monitor) = match streams {
            Ok(streams) => streams,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error.context(format!("`{shown}`")));
            }
        };
        let emulator = Self {
            child,
            monitor,
            log: Some(log),
        };
        Ok((emulator, line))
    }

    /// Resets the board, whatever it is doing.
    ///
    /// # Errors
    ///
    /// If the emulator has ended.
    pub fn reset(&mut self) -> Result<()> {
        self.monitor
            .write_all(b"system_reset\n")
            .context("the emulator's monitor")
    }

    /// Ends the emulator; the last message of the firmware, or an empty string.
    pub fn last_words(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        match self.log.take() {
            Some(log) => log.join().unwrap_or_default(),
            None => String::new(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that the system chooses, and the argument by which QEMU connects to it.
fn listener() -> Result<(TcpListener, String)> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on this machine")?;
    listener
        .set_nonblocking(true)
        .context("cannot configure a listener")?;
    let port = listener.local_addr().context("a listener's port")?.port();
    // QEMU sends byte by byte: without `nodelay` the rest of an answer waits for the first byte to be acknowledged.
    Ok((listener, format!("tcp:127.0.0.1:{port},nodelay=on")))
}

/// Waits for QEMU's connection.
fn accept(listener: &TcpListener, child: &mut Child) -> Result<TcpStream> {
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream
                    .set_nonblocking(false)
                    .and_then(|()| stream.set_nodelay(true))
                    .context("cannot configure a connection")?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot wait for a connection"),
        }
        if let Some(status) = child.try_wait().context("cannot wait for QEMU")? {
            bail!("QEMU ended ({status})");
        }
        if start.elapsed() > START_LIMIT {
            bail!("QEMU did not connect in {} s", START_LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
