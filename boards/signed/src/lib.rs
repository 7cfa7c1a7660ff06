//! Signatures of model updates, and their check.
//!
#![doc = include_str!("../README.md")]
//!
//! The signature is Ed25519 (RFC 8032) over these bytes, one after the other; numbers are little-endian:
//!
//! | bytes | |
//! |---|---|
//! | 22 | `fewbit model update 1` and a line feed |
//! | 1 | bytes of the product's name, at most [`MOST_PRODUCT_BYTES`] |
//! | | the product's name, in UTF-8 |
//! | 4 | version of the update, at least 1 |
//! | 4 | bytes of the blob |
//! | 64 | SHA-512 of the blob |
//!
//! So a signature is valid for one blob, one version and one product, and for no other data signed with the same
//! key. The firmware contains the public key only. A check uses no secret, so it need not take constant time.

#![no_std]
#![forbid(unsafe_code)]

mod key;

pub use key::{KeyError, parse_public_key, parse_secret_key, show_public_key, show_secret_key};

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature, sha512::Hash};

/// Bytes of a key, public or secret.
pub const KEY_BYTES: usize = 32;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Bytes of a blob's digest.
pub const DIGEST_BYTES: usize = 64;

/// Bytes of the longest name of a product.
pub const MOST_PRODUCT_BYTES: usize = 64;

/// Start of a signed message, so that no other message can be mistaken for an update.
const TITLE: &[u8; 22] = b"fewbit model update 1\n";

/// Bytes of the longest signed message.
const MOST_BYTES: usize = TITLE.len() + 1 + MOST_PRODUCT_BYTES + 4 + 4 + DIGEST_BYTES;

/// Signed data of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// Product of the firmware, at most [`MOST_PRODUCT_BYTES`] bytes.
    pub product: &'a str,
    /// Version, at least 1: higher than that of every earlier update.
    pub version: u32,
    /// Bytes of the blob.
    pub length: u32,
    /// [`digest`] of the blob.
    pub digest: &'a [u8; DIGEST_BYTES],
}

impl Update<'_> {
    /// Writes the signed bytes, and returns their number; none if the product's name is too long.
    fn message(&self) -> Option<([u8; MOST_BYTES], usize)> {
        let product = self.product.as_bytes();
        if product.len() > MOST_PRODUCT_BYTES {
            return None;
        }
        let mut bytes = [0; MOST_BYTES];
        let mut end = 0;
        for part in [
            TITLE,
            &[u8::try_from(product.len()).ok()?][..],
            product,
            &self.version.to_le_bytes(),
            &self.length.to_le_bytes(),
            self.digest,
        ] {
            let place = bytes.get_mut(end..)?.get_mut(..part.len())?;
            place.copy_from_slice(part);
            end += part.len();
        }
        Some((bytes, end))
    }
}

/// SHA-512 of a blob.
#[must_use]
pub fn digest(blob: &[u8]) -> [u8; DIGEST_BYTES] {
    Hash::hash(blob)
}

/// Whether `signature` is that of `update` by the secret half of `key`; false if any of them is malformed.
#[must_use]
pub fn verify(key: &[u8; KEY_BYTES], update: &Update<'_>, signature: &[u8]) -> bool {
    let Some((bytes, length)) = update.message() else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    let message = bytes.get(..length).unwrap_or_default();
    PublicKey::new(*key).verify(message, &signature).is_ok()
}

/// Signs `update` with a secret key; none if the product's name is too long.
#[must_use]
pub fn sign(secret: &[u8; KEY_BYTES], update: &Update<'_>) -> Option<[u8; SIGNATURE_BYTES]> {
    let (bytes, length) = update.message()?;
    let pair = KeyPair::from_seed(Seed::new(*secret));
    Some(*pair.sk.sign(bytes.get(..length)?, None))
}

/// Public half of a secret key.
#[must_use]
pub fn public_key(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    *KeyPair::from_seed(Seed::new(*secret)).pk
}

#[cfg(test)]
mod tests;
