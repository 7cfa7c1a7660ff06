//! Authentication of updates: only the key's owner may store a model.
//!
//! Without the feature `authenticated-updates` anyone who has the line may, and nothing of this is linked.

use fewbit_protocol::message::{Refusal, Seal};
use fewbit_slots::Slot;

/// An update in progress, as its signature describes it.
#[cfg(feature = "authenticated-updates")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    version: u32,
    digest: [u8; fewbit_signed::DIGEST_BYTES],
}

#[cfg(feature = "authenticated-updates")]
include!(concat!(env!("OUT_DIR"), "/updates.rs"));

#[cfg(feature = "authenticated-updates")]
impl Begun {
    /// Takes an update of `length` bytes that is signed, and newer than what was there.
    #[inline(never)]
    pub(crate) fn new(
        length: u32,
        seal: Option<&Seal<'_>>,
        newest_version: u32,
    ) -> Result<Self, Refusal> {
        let seal = seal.ok_or(Refusal::NotSigned)?;
        let digest = seal.digest.try_into().map_err(|_| Refusal::BadSignature)?;
        let update = fewbit_signed::Update {
            product: UPDATE_PRODUCT,
            version: seal.version,
            length,
            digest,
        };
        if !fewbit_signed::verify(&UPDATE_KEY, &update, seal.signature) {
            return Err(Refusal::BadSignature);
        }
        // Each higher than the one before, and the first one than 0, which is that of models without a signature.
        if seal.version <= newest_version {
            return Err(Refusal::OldVersion);
        }
        Ok(Self {
            version: seal.version,
            digest: *digest,
        })
    }

    /// Whether a blob is the one that was signed.
    #[inline(never)]
    pub(crate) fn check(&self, blob: &[u8]) -> Result<(), Refusal> {
        if fewbit_signed::digest(blob) == self.digest {
            Ok(())
        } else {
            Err(Refusal::BadSignature)
        }
    }

    pub(crate) fn version(&self) -> u32 {
        self.version
    }
}

/// An update that was begun; anyone's.
#[cfg(not(feature = "authenticated-updates"))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun;

#[cfg(not(feature = "authenticated-updates"))]
impl Begun {
    /// Takes an update that is not signed: who signs one wants it to be checked, and here no one can.
    pub(crate) fn new(_: u32, seal: Option<&Seal<'_>>, _: u32) -> Result<Self, Refusal> {
        match seal {
            None => Ok(Self),
            Some(_) => Err(Refusal::NoKey),
        }
    }

    #[expect(clippy::unused_self, reason = "that of signed updates uses it")]
    pub(crate) fn check(&self, _: &[u8]) -> Result<(), Refusal> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "that of signed updates uses it")]
    pub(crate) fn version(&self) -> u32 {
        0
    }
}

/// Whether this firmware could have stored the model: firmware that requires signatures does not run a model that was
/// stored without one.
pub(crate) fn may_run(slot: &Slot<'_>) -> bool {
    let signed = slot.version != 0;
    if !signed && cfg!(feature = "authenticated-updates") {
        defmt::warn!("the stored model was stored without a signature");
        return false;
    }
    true
}
