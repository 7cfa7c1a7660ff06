//! Storage for another model than the one that firmware was built with.

use fewbit_protocol::message::{Refusal, Seal};

/// A place for a model that a host sends.
pub(crate) trait Store {
    /// Makes room for a blob of `length` bytes, if whoever signed it may.
    fn begin(&mut self, length: u32, seal: Option<&Seal<'_>>) -> Result<(), Refusal>;

    /// Whether a blob was begun and not committed.
    fn has_begun(&self) -> bool;

    /// Bytes of the blob from `offset` on; those that are there already are passed over.
    fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Refusal>;

    /// Makes the blob the one that runs next, if it is the one with this CRC-32 and this firmware can run it.
    fn commit(&mut self, crc: u32) -> Result<(), Refusal>;
}

/// None.
pub(crate) struct NoStore;

impl Store for NoStore {
    fn begin(&mut self, _: u32, _: Option<&Seal<'_>>) -> Result<(), Refusal> {
        Err(Refusal::NoSlots)
    }

    fn has_begun(&self) -> bool {
        false
    }

    fn put(&mut self, _: u32, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::NoSlots)
    }

    fn commit(&mut self, _: u32) -> Result<(), Refusal> {
        Err(Refusal::NoSlots)
    }
}
