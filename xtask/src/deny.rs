//! `cargo xtask deny`: licences, sources and versions of all dependencies.
//!
//! The rules are in `deny.toml` (host crates) and `boards/deny.toml` (what ends up on a chip, and stricter), written in
//! cargo-deny's format so that `cargo deny check` reads them as well. This task needs neither that program nor a
//! network: the advisory database cannot be fetched offline, so the list of denied versions stands in for it.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use semver::{Version, VersionReq};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::{board, process, repository};

/// The one registry that dependencies may come from, as cargo's metadata names it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Time for `cargo metadata`; it may have to download crates.
const METADATA_LIMIT: Duration = Duration::from_secs(600);

/// The parts of a cargo-deny configuration that this task checks.
#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    #[serde(default)]
    bans: Bans,
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
    for folder in [repository(), board::folder()] {
        let (count, found) = check(&folder)?;
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
    say!("{packages} packages of two workspaces keep the rules")
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

/// What breaks the rules, a sentence each.
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
            [bans]
            deny = [
                { crate = "old@<1.2.3", reason = "it corrupts memory" },
                { crate = "never", reason = "no one keeps it" },
            ]
            "#,
        )
        .expect("well formed")
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
        assert_eq!(found.len(), packages.len(), "{found:#?}");
        for (problem, package) in found.iter().zip(&packages) {
            assert!(problem.starts_with(&package.name), "{problem}");
        }
    }
}
