//! `fewbit update-key`: a key for signed updates of models.
//!
//! The secret half signs, and stays with the maker of updates; the public half is built into firmware.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use fewbit_signed::{
    KEY_BYTES, parse_public_key, parse_secret_key, public_key, show_public_key, show_secret_key,
};

use crate::Environment;

/// Arguments of `update-key`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// File of the secret key; the public key is written to FILE.pub
    pub file: PathBuf,
}

/// Makes both files; neither may exist.
///
/// # Errors
///
/// If one exists, or cannot be written.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let public_file = public_file(&args.file);
    if public_file.exists() {
        bail!(
            "{} already exists; keys are never overwritten",
            public_file.display()
        );
    }
    let mut secret = [0; KEY_BYTES];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow!("cannot get random numbers from the system: {error}"))?;
    write_new(&args.file, &show_secret_key(&secret).to_string(), true)?;
    let public = show_public_key(&public_key(&secret)).to_string();
    write_new(&public_file, &public, false)?;
    let (secret, public) = (args.file.display(), public_file.display());
    say!("made    {secret}, the secret key: keep it, and a copy where no one else reads it")?;
    say!("made    {public}, the public key")?;
    let program = environment.program;
    say!("next    {program} flash MODEL --board BOARD --slots --update-key {public}")?;
    say!(
        "        {program} update MODEL --board BOARD --port PORT --key {secret} --model-version 1"
    )
}

/// Path of the public half of a key.
fn public_file(secret: &Path) -> PathBuf {
    let mut name = secret.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Writes a new file; a secret one is readable by its owner only, from its creation on.
fn write_new(path: &Path, text: &str, secret: bool) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(path).map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            anyhow!(
                "{} already exists; keys are never overwritten",
                path.display()
            )
        } else {
            anyhow!(error).context(format!("cannot write {}", path.display()))
        }
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a public key.
///
/// # Errors
///
/// If the file cannot be read or is not a public key.
pub fn read_public(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let text = fs::read_to_string(path).with_context(|| shown(path))?;
    parse_public_key(&text).with_context(|| shown(path))
}

/// Reads a secret key.
///
/// # Errors
///
/// If the file cannot be read or is not a secret key.
pub fn read_secret(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let text = fs::read_to_string(path).with_context(|| shown(path))?;
    parse_secret_key(&text).with_context(|| shown(path))
}

fn shown(path: &Path) -> String {
    format!("cannot use the key {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = |name: &str| Args {
            file: folder.path().join(name),
        };
        let environment = Environment::new(None);
        task(&args("key"), &environment).expect("makes it");
        let secret = read_secret(&args("key").file).expect("a key");
        let public = read_public(&folder.path().join("key.pub")).expect("a key");
        assert_eq!(public_key(&secret), public);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let facts = fs::metadata(args("key").file).expect("there");
            assert_eq!(facts.permissions().mode() & 0o777, 0o600);
        }
        // Neither half is overwritten.
        let before = fs::read(args("key").file).expect("there");
        let error = task(&args("key"), &environment)
            .expect_err("there")
            .to_string();
        assert!(error.contains("keys are never overwritten"), "{error}");
        fs::remove_file(folder.path().join("key.pub")).expect("there");
        let error = task(&args("key"), &environment)
            .expect_err("there")
            .to_string();
        assert!(error.contains("keys are never overwritten"), "{error}");
        assert_eq!(fs::read(args("key").file).expect("there"), before);
        assert!(!folder.path().join("key.pub").exists());
        // Another one is another one.
        task(&args("other"), &environment).expect("makes it");
        assert_ne!(read_secret(&args("other").file).expect("a key"), secret);
        // The halves are told apart.
        let error = format!(
            "{:#}",
            read_public(&args("other").file).expect_err("secret")
        );
        assert!(error.contains("this is the secret key"), "{error}");
        let public = folder.path().join("other.pub");
        let error = format!("{:#}", read_secret(&public).expect_err("public"));
        assert!(error.contains("this is the public key"), "{error}");
    }
}
