//! Installs distribution packages, or tells the user how to.
//!
//! Nothing is installed silently: the packages to add and remove are listed first. If this task may not install
//! (no root and no password-free sudo, or not a Debian), the error contains the commands to type.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// Time limit of one call of apt-get, including downloads.
const APT_LIMIT: Duration = Duration::from_secs(900);

/// Installs Debian packages, without those that they only recommend.
///
/// # Errors
///
/// If this is not Debian, this user may not install, the user declines or apt-get fails. `elsewhere` is the instruction for
/// other systems, and becomes part of the message.
pub(crate) fn debian_packages(packages: &[&str], elsewhere: &str) -> Result<()> {
    let by_hand = format!(
        "sudo apt-get update\n  sudo apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !Path::new("/etc/debian_version").is_file() || process::find_program("apt-get").is_none() {
        bail!("this is not a Debian system, so it has to be installed by hand:\n  {elsewhere}");
    }
    let Some(privilege) = Privilege::of_this_process() else {
        bail!(
            "installing needs root, and sudo asks for a password here; run these commands, then try again:\n  {by_hand}"
        );
    };

    log::info!("setup: installing Debian packages: {}", packages.join(" "));
    log::info!("setup: apt-get update");
    process::run(
        privilege.apt_get().args(["update", "--quiet", "--quiet"]),
        APT_LIMIT,
    )
    .with_context(|| format!("the package lists could not be fetched; by hand:\n  {by_hand}"))?;
    let plan = Plan::of(packages).with_context(|| {
        format!(
            "apt-get cannot install these packages here ({}); otherwise:\n  {elsewhere}",
            packages.join(" ")
        )
    })?;
    plan.announce();
    if !plan.removed.is_empty() && std::io::stdin().is_terminal() && !confirmed()? {
        bail!("nothing was installed; by hand:\n  {by_hand}");
    }
    let mut install = privilege.apt_get();
    install.args([
        "install",
        "-y",
        "--no-install-recommends",
        "--quiet",
        "--quiet",
    ]);
    // The progress of dpkg would bury what comes after; its errors stay visible.
    install.args(packages).stdout(Stdio::null());
    process::run(&mut install, APT_LIMIT).with_context(|| format!("by hand:\n  {by_hand}"))
}

/// Privilege by which this process may call apt-get.
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    /// Root, or sudo if it works without a password; never one that would ask.
    fn of_this_process() -> Option<Self> {
        let short = Duration::from_secs(10);
        let id = process::output(Command::new("id").arg("-u"), short).ok()?;
        if id.trim() == "0" {
            return Some(Self::Root);
        }
        process::find_program("sudo")?;
        let mut probe = Command::new("sudo");
        probe
            .args(["-n", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        process::run(&mut probe, short).ok().map(|()| Self::Sudo)
    }

    fn apt_get(&self) -> Command {
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        // Through `env`, as sudo drops the caller's variables.
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    }
}

/// Changes that apt-get would make.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    installed: Vec<String>,
    removed: Vec<String>,
}

impl Plan {
    /// Simulates with apt-get, which changes nothing and needs no root for it.
    fn of(packages: &[&str]) -> Result<Self> {
        let mut command = Command::new("apt-get");
        command
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages);
        process::output(&mut command, APT_LIMIT).map(|text| Self::parse(&text))
    }

    /// Reads the lines `Inst NAME ...` and `Remv NAME ...` of a simulation.
    fn parse(simulation: &str) -> Self {
        let of_kind = |kind: &str| {
            simulation
                .lines()
                .filter_map(|line| line.strip_prefix(kind)?.split_whitespace().next())
                .map(str::to_owned)
                .collect()
        };
        Self {
            installed: of_kind("Inst "),
            removed: of_kind("Remv "),
        }
    }

    fn announce(&self) {
        log::info!(
            "setup: {} packages come: {}",
            self.installed.len(),
            self.installed.join(" ")
        );
        if !self.removed.is_empty() {
            log::info!(
                "setup: these conflict with them and go: {}",
                self.removed.join(" ")
            );
        }
    }
}

/// Asks on the terminal; only an explicit yes counts.
fn confirmed() -> Result<bool> {
    let mut terminal = std::io::stderr();
    write!(terminal, "setup: go on? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_is_read_by_its_first_words() {
        let text = "The following packages will be REMOVED:\n  qemu-utils\n\
                    Remv qemu-utils [1:10.0.2]\n\
                    Inst qemu-system-arm (1:7.2+dfsg-7 Debian:12.15/oldstable [amd64])\n\
                    Conf qemu-system-arm (1:7.2+dfsg-7 Debian:12.15/oldstable [amd64])\n";
        let plan = Plan {
            installed: vec!["qemu-system-arm".into()],
            removed: vec!["qemu-utils".into()],
        };
        assert_eq!(Plan::parse(text), plan);
    }
}
