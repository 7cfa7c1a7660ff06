//! Key files: a line that names the kind of key, and 64 hexadecimal digits.

use core::fmt;

use ed25519_compact::PublicKey;

use crate::KEY_BYTES;

const PUBLIC: &str = "fewbit public update key";
const SECRET: &str = "fewbit secret update key";

/// Reason why a text is not the expected key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The first line is wrong.
    NoKey {
        /// Expected first line.
        expected: &'static str,
    },
    /// Secret half in place of the public one.
    Secret,
    /// Public half in place of the secret one.
    Public,
    /// The second line is not 64 hexadecimal digits, or there are more lines.
    Digits,
    /// The digits are not a valid public key.
    Weak,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { expected } => {
                write!(f, "this is not a key: the first line must be `{expected}`")
            }
            Self::Secret => f.write_str(
                "this is the secret key, which never leaves the signer's machine; the public one is in the file with `.pub` behind its name",
            ),
            Self::Public => {
                f.write_str("this is the public key; signing takes the secret one")
            }
            Self::Digits => {
                f.write_str("the second and last line of a key is to be 64 hexadecimal digits")
            }
            Self::Weak => f.write_str("no signature could be trusted with this public key"),
        }
    }
}

impl core::error::Error for KeyError {}

/// Reads the text of a public key's file.
///
/// # Errors
///
/// [`KeyError`].
pub fn parse_public_key(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    let key = parse(text, PUBLIC).map_err(|error| match error {
        KeyError::NoKey { .. } if text.starts_with(SECRET) => KeyError::Secret,
        other => other,
    })?;
    match PublicKey::new(key).validate() {
        Ok(()) => Ok(key),
        Err(_) => Err(KeyError::Weak),
    }
}

/// Reads the text of a secret key's file.
///
/// # Errors
///
/// [`KeyError`].
pub fn parse_secret_key(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    parse(text, SECRET).map_err(|error| match error {
        KeyError::NoKey { .. } if text.starts_with(PUBLIC) => KeyError::Public,
        other => other,
    })
}

/// The text of a public key's file.
#[must_use]
pub fn show_public_key(key: &[u8; KEY_BYTES]) -> impl fmt::Display {
    Shown(PUBLIC, *key)
}

/// The text of a secret key's file.
#[must_use]
pub fn show_secret_key(key: &[u8; KEY_BYTES]) -> impl fmt::Display {
    Shown(SECRET, *key)
}

struct Shown(&'static str, [u8; KEY_BYTES]);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)?;
        for byte in self.1 {
            write!(f, "{byte:02x}")?;
        }
        writeln!(f)
    }
}

fn parse(text: &str, expected: &'static str) -> Result<[u8; KEY_BYTES], KeyError> {
    let mut lines = text.lines();
    if lines.next() != Some(expected) {
        return Err(KeyError::NoKey { expected });
    }
    let digits = lines.next().unwrap_or_default();
    let mut key = [0; KEY_BYTES];
    let mut rest = digits.bytes();
    for byte in &mut key {
        let mut digit = || {
            let digit = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        *byte = match (digit(), digit()) {
            (Some(high), Some(low)) => 16 * high + low,
            _ => return Err(KeyError::Digits),
        };
    }
    if rest.next().is_some() || lines.next().is_some() {
        return Err(KeyError::Digits);
    }
    Ok(key)
}
