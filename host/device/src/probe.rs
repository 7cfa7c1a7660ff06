//! probe-rs, by its command line, for access to real boards.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{board::Board, process};

/// Program that communicates with debug probes.
pub const PROGRAM: &str = "probe-rs";

/// Time limit for it to find the probe, attach to the chip and listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Path of the program, if it is on the host.
pub fn program() -> Option<PathBuf> {
    process::find_program(PROGRAM)
}

/// Advice if it is missing.
pub fn missing() -> String {
    "probe-rs is not in PATH; get it with `cargo install probe-rs-tools --locked`, or as \
     https://probe.rs/docs/getting-started/installation says"
        .to_owned()
}

/// A debug server that runs until it is dropped.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a debug server for a real board, and connects to it.
///
/// # Errors
///
/// If probe-rs is missing, or ends, as it does without a probe.
pub fn debug_server(board: &Board) -> Result<(Server, TcpStream)> {
    let Some(probe) = &board.probe else {
        bail!("{} has no [probe] in its board.toml", board.name);
    };
    let Some(program) = program() else {
        bail!(
            "{}; or start another GDB server, and name it with --port HOST:PORT",
            missing()
        );
    };
    // Free now; should another program take it in between, probe-rs says so and ends.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .context("cannot find a free port on this machine")?
        .port();
    let mut command = Command::new(program);
    command
        .args(["gdb", "--chip", &probe.chip, "--non-interactive"])
        .args(["--gdb-connection-string", &format!("127.0.0.1:{port}")]);
    let shown = process::shown(&command);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut server = Server(child);
    let start = Instant::now();
    loop {
        if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            return Ok((server, stream));
        }
        if let Some(status) = server.0.try_wait().context("cannot wait for probe-rs")? {
            bail!(
                "`{shown}` ended ({status}); is the board connected? `probe-rs list` shows what it sees"
            );
        }
        if start.elapsed() > START_LIMIT {
            bail!("`{shown}` did not listen in {} s", START_LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}
