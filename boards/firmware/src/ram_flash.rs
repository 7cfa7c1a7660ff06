//! A flash in the memory that an emulated board loads its code to.
//!
//! It keeps to the rules of NOR flash: erasing sets a whole sector to ones, writing only clears bits. It keeps its bytes
//! over a reset, as the emulator loads no more than the program again.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Bytes that are erased at a time.
const SECTOR_BYTES: usize = 4096;

/// The memory.
pub struct RamFlash {
    base: *mut u8,
    bytes: usize,
}

/// An access beside the memory, or not of whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongAccess(NorFlashErrorKind);

impl NorFlashError for WrongAccess {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl RamFlash {
    /// `bytes` bytes at an address.
    ///
    /// # Safety
    ///
    /// They can be read and written, hold no part of the program, and nothing else writes them.
    #[allow(unsafe_code, reason = "only the board knows where its memory is")]
    pub unsafe fn new(base: usize, bytes: usize) -> Self {
        Self {
            base: core::ptr::with_exposed_provenance_mut(base),
            bytes,
        }
    }

    /// The place of some bytes.
    fn place(&self, offset: u32, length: usize, unit: usize) -> Result<*mut u8, WrongAccess> {
        let start = offset as usize;
        if !start.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(WrongAccess(NorFlashErrorKind::NotAligned));
        }
        match start.checked_add(length) {
            Some(end) if end <= self.bytes => Ok(self.base.wrapping_add(start)),
            _ => Err(WrongAccess(NorFlashErrorKind::OutOfBounds)),
        }
    }
}

impl ErrorType for RamFlash {
    type Error = WrongAccess;
}

impl ReadNorFlash for RamFlash {
    const READ_SIZE: usize = 1;

    #[allow(unsafe_code, reason = "memory at an address")]
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), WrongAccess> {
        let place = self.place(offset, bytes.len(), 1)?;
        for (at, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: `new` was promised the memory, and `place` that the bytes are in it.
            *byte = unsafe { place.add(at).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for RamFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_BYTES;

    #[allow(unsafe_code, reason = "memory at an address")]
    fn erase(&mut self, from: u32, to: u32) -> Result<(), WrongAccess> {
        let length = to.saturating_sub(from) as usize;
        let place = self.place(from, length, SECTOR_BYTES)?;
        for at in 0..length {
            // SAFETY: as in `read`; nothing else writes.
            unsafe { place.add(at).write_volatile(0xFF) };
        }
        Ok(())
    }

    #[allow(unsafe_code, reason = "memory at an address")]
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), WrongAccess> {
        let place = self.place(offset, bytes.len(), Self::WRITE_SIZE)?;
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: as in `read`; nothing else writes.
            unsafe {
                let place = place.add(at);
                place.write_volatile(place.read_volatile() & byte);
            }
        }
        Ok(())
    }
}
