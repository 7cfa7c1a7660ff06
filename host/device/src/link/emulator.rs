//! Firmware in QEMU; its UART or debugger and its monitor are connected here.

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

/// Time limit for QEMU to start and connect.
const START_LIMIT: Duration = Duration::from_secs(30);

/// An emulator that runs until it is dropped.
pub struct Emulator {
    child: Child,
    monitor: TcpStream,
    log: Option<thread::JoinHandle<Vec<String>>>,
}

impl Emulator {
    /// Starts `elf` on the emulated `board`; returns the emulator, and the line to the firmware's UART.
    ///
    /// # Errors
    ///
    /// If the board has no UART in the emulator, or QEMU cannot be found or started.
    pub fn start(board: &Board, elf: &Path) -> Result<(Self, TcpStream)> {
        Self::start_with(board, elf, &[])
    }

    /// As [`Self::start`], with further arguments for QEMU.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(board: &Board, elf: &Path, more: &[String]) -> Result<(Self, TcpStream)> {
        match &board.qemu {
            Some(emulation) if emulation.serial => {}
            Some(_) => bail!(
                "the firmware of {} does not use the emulator's UART; its board.toml has no `serial = true` in [qemu]",
                board.name
            ),
            None => bail!("board {} is not an emulated one", board.name),
        }
        Self::launch(board, elf, Wire::Uart, more)
    }

    /// Starts `elf` on the emulated `board`, halted; returns the emulator, and its debug server.
    ///
    /// # Errors
    ///
    /// If QEMU cannot be found or started.
    pub fn debugged(board: &Board, elf: &Path) -> Result<(Self, TcpStream)> {
        Self::launch(board, elf, Wire::Debugger, &[])
    }

    fn launch(board: &Board, elf: &Path, wire: Wire, more: &[String]) -> Result<(Self, TcpStream)> {
        let (line, line_port) = listener()?;
        let (monitor, monitor_port) = listener()?;
        // QEMU sends byte by byte: without `nodelay` the rest of an answer waits for the first byte to be acknowledged.
        let tcp = |port: u16| format!("tcp:127.0.0.1:{port},nodelay=on");
        let uart = match wire {
            Wire::Uart => tcp(line_port),
            Wire::Debugger => "none".to_owned(),
        };
        let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = Table::parse(&bytes)
            .with_context(|| format!("{} has a broken defmt table", elf.display()))?
            .with_context(|| format!("{} has no defmt table", elf.display()))?;
        let mut command = qemu::command(board, elf, &tcp(monitor_port), &uart)?;
        if matches!(wire, Wire::Debugger) {
            let socket = format!("socket,id=debugger,host=127.0.0.1,port={line_port},nodelay=on");
            command.args(["-chardev", &socket, "-gdb", "chardev:debugger"]);
        }
        command.args(more);
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
            Ok(lines) => lines.into_iter().map(|line| line.text).collect(),
            Err(error) => vec![fewbit::error_text(&*error)],
        });
        let streams =
            accept(&line, &mut child).and_then(|line| Ok((line, accept(&monitor, &mut child)?)));
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

    /// Resets the board at any moment.
    ///
    /// # Errors
    ///
    /// If the emulator has ended.
    pub fn reset(&mut self) -> Result<()> {
        self.monitor
            .write_all(b"system_reset\n")
            .context("the emulator's monitor")
    }

    /// Ends the emulator; returns the last message of the firmware, or an empty string.
    pub fn last_words(self) -> String {
        self.log().pop().unwrap_or_default()
    }

    /// Ends the emulator; returns all messages of the firmware.
    pub fn log(mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        match self.log.take() {
            Some(log) => log.join().unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connection to a program.
#[derive(Clone, Copy)]
enum Wire {
    Uart,
    Debugger,
}

/// A port of this machine that the system chooses, to which QEMU connects.
fn listener() -> Result<(TcpListener, u16)> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on this machine")?;
    listener
        .set_nonblocking(true)
        .context("cannot configure a listener")?;
    let port = listener.local_addr().context("a listener's port")?.port();
    Ok((listener, port))
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
