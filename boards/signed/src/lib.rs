//! What of a model update is signed, and whether a signature is right.
//!
#![doc = include_str!("../README.md")]
//!
//! The signature is Ed25519's (RFC 8032) over these bytes, one after the other; numbers are little-endian:
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
//! So a signature is good for one blob, one version and one product, and for nothing else that is signed with the same
//! key. The firmware holds the public key only. Nothing in a check is secret, so it need not take constant time.

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

/// What comes first, so that no other message can be mistaken for an update.
const TITLE: &[u8; 22] = b"fewbit model update 1\n";

/// Bytes of the longest message that is signed.
const MOST_BYTES: usize = TITLE.len() + 1 + MOST_PRODUCT_BYTES + 4 + 4 + DIGEST_BYTES;

/// An update, as it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The product that the firmware is of.
    pub product: &'a str,
    /// Higher than that of every update before.
    pub version: u32,
    /// Bytes of the blob.
    pub length: u32,
    /// [`digest`] of the blob.
    pub digest: &'a [u8; DIGEST_BYTES],
}

impl Update<'_> {
    /// Writes what is signed, and its length; none if the product's name is too long.
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

/// Whether `signature` is that of `update` by the secret half of `key`; whatever is wrong with any of them, it is not.
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

/// The signature of `update` by a secret key; none if the product's name is too long.
#[must_use]
pub fn sign(secret: &[u8; KEY_BYTES], update: &Update<'_>) -> Option<[u8; SIGNATURE_BYTES]> {
    let (bytes, length) = update.message()?;
    let pair = KeyPair::from_seed(Seed::new(*secret));
    Some(*pair.sk.sign(bytes.get(..length)?, None))
}

/// The public half of a secret key.
#[must_use]
pub fn public_key(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    *KeyPair::from_seed(Seed::new(*secret)).pk
}

#[cfg(test)]
mod tests;
