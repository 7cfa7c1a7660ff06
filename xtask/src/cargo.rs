//! Cargo, as tasks run it.

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use crate::root;

/// Time for one check, and for one test program.
pub(crate) const LIMIT: Duration = Duration::from_secs(1800);

/// Turns on the suites that need an emulator, which plain `cargo test` leaves out.
pub(crate) const DEVICE_SUITES: &str = "fewbit-tests/device";

/// A copy of this program, as cargo may replace its file while the checks run.
pub(crate) fn own_program(folder: &Path) -> Result<std::path::PathBuf> {
    let own = env::current_exe().context("cannot find this program's file")?;
    let copy = folder.join(format!("xtask{}", env::consts::EXE_SUFFIX));
    fs::copy(&own, &copy).with_context(|| format!("cannot copy {}", own.display()))?;
    Ok(copy)
}

/// The cargo that runs this task, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
