//! `cargo xtask deny`: licences, sources and versions of all dependencies.
//!
//! The rules are in `deny.toml` (host crates) and `boards/deny.toml` (what ends up on a chip, and stricter), written in
//! cargo-deny's format. This task needs neither that program nor a network: the list of denied versions stands in for
//! the advisory database, which cannot be fetched offline. Where cargo-deny is installed it is run too, and its word counts.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use semver::{Version, VersionReq};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use fewbit_device::process;

use crate::{repository, root};

/// The one registry that dependencies may come from, as cargo's metadata names it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Time for `cargo metadata`; it may have to download crates.
const METADATA_LIMIT: Duration = Duration::from_secs(600);

/// The parts of a cargo-deny configuration that this task checks.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    #[serde(default)]
    advisories: Advisories,
    #[serde(default)]
    bans: Bans,
}

#[derive(Debug, Default, Deserialize)]
struct Advisories {
    #[serde(default)]
    ignore: Vec<Ignored>,
}

/// An advisory that is known and taken.
#[derive(Debug, Deserialize)]
struct Ignored {
    id: String,
    /// Starts with the crate's name and a colon.
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<LicenseException>,
}

#[derive(Debug, Deserialize)]
struct LicenseException {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Bans {
    #[serde(default)]
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    /// `name`, or `name@requirement`.
    #[serde(rename = "crate")]
    spec: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: Version,
    license: Option<String>,
    source: Option<String>,
}

/// Checks both workspaces.
///
/// # Errors
///
/// If a dependency breaks a rule (all of them are listed), or the rules or cargo's metadata cannot be read.
pub fn task() -> Result<()> {
    let (mut packages, mut problems) = (0, Vec::new());
    for folder in [root(), &repository().boards()] {
        let (count, found) = check(folder)?;
        packages += count;
        problems.extend(found);
    }
    if !problems.is_empty() {
        bail!(
            "{} dependencies break the rules:\n- {}",
            problems.len(),
            problems.join("\n- ")
        );
    }
    for (name, folder) in [("host", root()), ("boards", &repository().boards())] {
        say!("{}", cargo_deny(name, folder)?)?;
    }
    say!("{packages} packages of two workspaces keep the rules")
}

/// Note for the case that only the lists of this repository were checked.
const BY_HAND: &str = "advisories are those of the lists in deny.toml";

/// Runs cargo-deny in a workspace, where it is installed and its database can be reached; what was done, in words.
///
/// # Errors
///
/// If it finds something.
fn cargo_deny(name: &str, folder: &Path) -> Result<String> {
    let mut version = Command::new("cargo-deny");
    version.arg("--version");
    let Ok(version) = process::output(&mut version, METADATA_LIMIT) else {
        return Ok(format!("{name}: cargo-deny is not installed; {BY_HAND}"));
    };
    let mut cargo = Command::new("cargo-deny");
    cargo
        .current_dir(folder)
        .args(["--color", "never", "check"]);
    let output = cargo.output().context("cannot start cargo-deny")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    judge(name, version.trim(), output.status.success(), &said)
}

/// Meaning of cargo-deny's exit.
fn judge(folder: &str, version: &str, success: bool, said: &str) -> Result<String> {
    if success {
        return Ok(format!("{folder}: {version} finds nothing"));
    }
    if said.contains("advisory database") && !said.contains("error[") {
        return Ok(format!(
            "{folder}: {version} cannot reach the advisory database; {BY_HAND}"
        ));
    }
    bail!("{version} in {folder}:\n{}", said.trim_end())
}

/// Checks the workspace in `folder` against the `deny.toml` there, and returns how many packages it has and what breaks the rules.
fn check(folder: &Path) -> Result<(usize, Vec<String>)> {
    let path = folder.join("deny.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rules: Rules = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(folder)
        .args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Metadata = serde_json::from_str(&process::output(&mut cargo, METADATA_LIMIT)?)
        .with_context(|| format!("the metadata of {}", folder.display()))?;
    let problems =
        problems(&rules, &metadata.packages).with_context(|| format!("in {}", path.display()))?;
    Ok((metadata.packages.len(), problems))
}

/// Violations of the rules, one sentence each.
fn problems(rules: &Rules, packages: &[Package]) -> Result<Vec<String>> {
    let allowed = licensees(&rules.licenses.allow)?;
    let exceptions = rules
        .licenses
        .exceptions
        .iter()
        .map(|exception| Ok((exception.name.as_str(), licensees(&exception.allow)?)))
        .collect::<Result<Vec<_>>>()?;
    let bans = rules
        .bans
        .deny
        .iter()
        .map(parse_ban)
        .collect::<Result<Vec<_>>>()?;

    let mut problems = Vec::new();
    for package in packages {
        let shown = format!("{} {}", package.name, package.version);
        if let Some(source) = package
            .source
            .as_deref()
            .filter(|source| *source != CRATES_IO)
        {
            problems.push(format!(
                "{shown} comes from {source}; only crates.io is allowed"
            ));
        }
        for (name, requirement, reason) in &bans {
            if *name == package.name && requirement.matches(&package.version) {
                problems.push(format!("{shown} is denied: {reason}"));
            }
        }
        let excepted = exceptions.iter().filter(|(name, _)| *name == package.name);
        let allowed: Vec<&Licensee> = allowed
            .iter()
            .chain(excepted.flat_map(|(_, allowed)| allowed))
            .collect();
        match &package.license {
            None => problems.push(format!("{shown} names no licence")),
            Some(license) => match Expression::parse_mode(license, ParseMode::LAX) {
                Err(error) => {
                    problems.push(format!("{shown}: licence {license:?}: {}", error.reason))
                }
                Ok(expression) => {
                    if !expression
                        .evaluate(|wanted| allowed.iter().any(|have| have.satisfies(wanted)))
                    {
                        problems.push(format!("{shown}: licence {license:?} is not allowed"));
                    }
                }
            },
        }
    }
    for ignored in &rules.advisories.ignore {
        let name = ignored.reason.split_once(':').map(|(name, _)| name);
        if !packages.iter().any(|package| Some(&*package.name) == name) {
            problems.push(format!(
                "{} is ignored for {:?}, and no crate of this name is there: the reason is to start with the crate's name and a colon",
                ignored.id,
                name.unwrap_or(&ignored.reason)
            ));
        }
    }
    Ok(problems)
}

/// Licences as the rules name them.
fn licensees(names: &[String]) -> Result<Vec<Licensee>> {
    names
        .iter()
        .map(|name| match Licensee::parse(name) {
            Ok(licensee) => Ok(licensee),
            Err(error) => bail!("{name:?} is not an SPDX licence: {}", error.reason),
        })
        .collect()
}

/// Splits `name@requirement`; a name alone means every version.
fn parse_ban(ban: &Ban) -> Result<(&str, VersionReq, &str)> {
    let (name, requirement) = match ban.spec.split_once('@') {
        Some((name, requirement)) => {
            let parsed = VersionReq::parse(requirement);
            (
                name,
                parsed.with_context(|| format!("the denied crate {:?}", ban.spec))?,
            )
        }
        None => (ban.spec.as_str(), VersionReq::STAR),
    };
    Ok((name, requirement, &ban.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        toml::from_str(
            r#"
            [licenses]
            allow = ["MIT", "Apache-2.0 WITH LLVM-exception"]
            exceptions = [{ crate = "mozilla", allow = ["MPL-2.0"] }]
            [advisories]
            ignore = [{ id = "RUSTSEC-2000-0001", reason = "own: it is known" }]
            [bans]
            deny = [
                { crate = "old@<1.2.3", reason = "it corrupts memory" },
                { crate = "never", reason = "no one keeps it" },
            ]
            "#,
        )
        .expect("well formed")
    }

    #[test]
    fn cargo_deny_is_believed_unless_it_could_not_look() {
        let judged = |success, said| judge("boards", "cargo-deny 0.18.4", success, said);
        let nothing = judged(true, "advisories ok, bans ok\n").expect("fine");
        assert_eq!(nothing, "boards: cargo-deny 0.18.4 finds nothing");
        let offline = "[ERROR] failed to fetch advisory database https://example.org/db\n";
        let by_hand = judged(false, offline).expect("not its fault");
        assert!(by_hand.contains("cannot reach"), "{by_hand}");
        let found = "error[vulnerability]: use after free\nadvisories FAILED\n";
        let error = judged(false, found).expect_err("found").to_string();
        assert!(error.contains("use after free"), "{error}");
        let both = format!("{offline}error[rejected]: failed to satisfy license requirements\n");
        assert!(judged(false, &both).is_err());
        assert!(judged(false, "error: unknown key\n").is_err());
    }

    fn package(name: &str, version: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.into(),
            version: version.parse().expect("a version"),
            license: license.map(Into::into),
            source: source.map(Into::into),
        }
    }

    #[test]
    fn what_the_rules_allow_passes() {
        let packages = [
            package("own", "0.1.0", Some("MIT"), None),
            package("choice", "1.0.0", Some("MIT OR GPL-3.0"), Some(CRATES_IO)),
            package("slash", "1.0.0", Some("MIT/Apache-2.0"), Some(CRATES_IO)),
            package(
                "llvm",
                "1.0.0",
                Some("Apache-2.0 WITH LLVM-exception"),
                Some(CRATES_IO),
            ),
            package("mozilla", "1.0.0", Some("MPL-2.0"), Some(CRATES_IO)),
            package("old", "1.2.3", Some("MIT"), Some(CRATES_IO)),
        ];
        assert_eq!(
            problems(&rules(), &packages).expect("valid rules"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_rule_is_found_broken() {
        let packages = [
            package("copyleft", "1.0.0", Some("GPL-3.0-only"), Some(CRATES_IO)),
            package(
                "both",
                "1.0.0",
                Some("MIT AND GPL-3.0-only"),
                Some(CRATES_IO),
            ),
            package("other", "1.0.0", Some("MPL-2.0"), Some(CRATES_IO)),
            package("plain-apache", "1.0.0", Some("Apache-2.0"), Some(CRATES_IO)),
            package("unnamed", "1.0.0", None, Some(CRATES_IO)),
            package(
                "git",
                "1.0.0",
                Some("MIT"),
                Some("git+https://example.org/git"),
            ),
            package("old", "1.2.2", Some("MIT"), Some(CRATES_IO)),
            package("never", "9.0.0", Some("MIT"), Some(CRATES_IO)),
        ];
        let found = problems(&rules(), &packages).expect("valid rules");
        assert_eq!(found.len(), packages.len() + 1, "{found:#?}");
        // What is ignored for a crate that is not there.
        assert!(found[packages.len()].starts_with("RUSTSEC-2000-0001"));
        for (problem, package) in found.iter().zip(&packages) {
            assert!(problem.starts_with(&package.name), "{problem}");
        }
    }
}
