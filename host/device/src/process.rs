//! Child processes with a time limit, and the environment they get.
//!
//! `cargo xtask` passes its own toolchain on in environment variables. A cargo of another toolchain must not see
//! them, or it calls the outer rustc.

use std::{
    env,
    io::Read as _,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Interval at which a running child is checked.
const POLL: Duration = Duration::from_millis(10);

/// Waits for the child to end, and kills it when the time is over.
///
/// # Errors
///
/// If the time limit was reached; the child has been killed and reaped then.
pub fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child
            .try_wait()
            .context("cannot wait for a child process")?
        {
            return Ok(status);
        }
        if start.elapsed() >= limit {
            // It may have ended by itself in between; either way it is gone after `wait`.
            let _ = child.kill();
            let _ = child.wait();
            bail!("no end after {} s, stopped", limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Runs the command with its output on the caller's terminal and no input.
///
/// # Errors
///
/// If the program cannot be started, fails or takes longer than `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let status = wait(&mut child, limit).with_context(|| format!("`{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs the command and returns what it wrote to its standard output; its errors go to the terminal.
///
/// # Errors
///
/// If the program cannot be started, fails, takes longer than `limit` or does not write UTF-8.
pub fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    // Read in a thread: a child that fills the pipe would otherwise wait for us while we wait for it.
    let mut pipe = child
        .stdout
        .take()
        .context("the child's output is not piped")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text)
    });
    let status = wait(&mut child, limit).with_context(|| format!("`{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    match reader.join() {
        Ok(text) => text.with_context(|| format!("the output of `{shown}` is not text")),
        Err(_) => bail!("the reader of `{shown}` ended early"),
    }
}

/// Program and arguments as a user would type them, for messages.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first file of that name in `PATH`.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Removes variables that the outer cargo and its caller have set for host builds.
///
/// Variables that a user sets for every cargo stay: its home, its network settings and its terminal output.
/// `RUSTFLAGS` is removed, since flags for the host's processor break a build for another one.
pub fn clean_cargo_environment(command: &mut Command) {
    const KEPT: [&str; 6] = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_TERM_",
        "CARGO_BUILD_JOBS",
    ];
    const REMOVED: [&str; 7] = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ];
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let of_cargo =
            name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
        if of_cargo || REMOVED.contains(&name) {
            command.env_remove(name);
        }
    }
}
