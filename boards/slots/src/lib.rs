//! Two slots for models in flash.
//!
#![doc = include_str!("../README.md")]
//!
//! A model is written into the slot that is not in use. Its header, which is written last, brings it into use: after a
//! reset or a loss of power at any moment before, the old model remains. Models run in place, so the flash must be mapped
//! into memory: a chip's own, or external flash behind an XIP controller.
//!
//! Layout of a slot, little-endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | `FBSL` |
//! | 4 | 4 | version of this layout: 1 |
//! | 8 | 4 | generation, one more than the other slot's at the time; the higher one is the newer |
//! | 12 | 4 | bytes of the blob |
//! | 16 | 4 | CRC-32 of the blob |
//! | 20 | 4 | version of the model: 0, or that of a signed update |
//! | 24 | 4 | zeros |
//! | 28 | 4 | CRC-32 of the 28 bytes before |
//! | 32 | | the blob |
//!
//! Checksums are CRC-32 as zlib computes it. This crate does not decide which formats of blobs a firmware can run: the caller
//! of [`Slots::open`] tries each valid one. It does not compare versions either: [`Idle::newest_version`] returns the newest.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(unsafe_code, reason = "a flash in memory"))]

use core::{
    fmt,
    sync::atomic::{Ordering, compiler_fence},
};

use crc::{CRC_32_ISO_HDLC, Crc};
use embedded_storage::nor_flash::NorFlash;

/// Bytes before the blob: whole units of writing of any flash.
pub const HEADER_BYTES: u32 = 32;

const MAGIC: [u8; 4] = *b"FBSL";
const LAYOUT: u32 = 1;
const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Reason why two slots cannot be at a place in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// Start or size is not a multiple of the flash's erase size, or a slot has no room for a header.
    Erase,
    /// The flash's write size exceeds [`HEADER_BYTES`], or does not divide it.
    Write,
    /// A slot does not start at a multiple of 16 in memory, as blobs must.
    Alignment,
    /// The slots exceed the flash.
    Capacity,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Erase => "slots are not whole units of erasing",
            Self::Write => "the flash's unit of writing does not divide a header of 32 bytes",
            Self::Alignment => "slots are not mapped at multiples of 16",
            Self::Capacity => "the flash has no room for the slots",
        })
    }
}

impl core::error::Error for LayoutError {}

/// Reason why a model was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError<E> {
    /// The slot is too small.
    Room {
        /// Bytes of the largest blob that fits.
        room: u32,
    },
    /// No blob was begun, or more or fewer bytes were written than announced.
    Length {
        /// Bytes written so far.
        written: u32,
    },
    /// The bytes in flash differ from those that were sent.
    Checksum {
        /// CRC-32 of the bytes in flash.
        found: u32,
    },
    /// The flash failed.
    Flash(E),
}

/// A valid model in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'s> {
    /// Generation; the higher one is the newer.
    pub generation: u32,
    /// Version that it was committed with: 0 by [`Idle::commit`].
    pub version: u32,
    /// The blob, in place.
    pub blob: &'s [u8],
}

/// Two consecutive slots in flash.
pub struct Slots<F> {
    flash: F,
    /// Offset of the first slot in the flash.
    offset: u32,
    /// Address of the first slot in memory.
    base: *const u8,
    slot_bytes: u32,
}

impl<F: NorFlash> Slots<F> {
    /// Creates slots of `slot_bytes` bytes each from `offset` of the flash on, which is mapped to memory from `base` on.
    ///
    /// # Errors
    ///
    /// [`LayoutError`].
    ///
    /// # Safety
    ///
    /// `2 * slot_bytes` bytes from `base` on can be read as long as this value lives, are the contents of the flash from `offset` on,
    /// and change through this `flash` only.
    #[allow(
        unsafe_code,
        reason = "only the caller knows where the flash is in memory"
    )]
    pub unsafe fn new(
        flash: F,
        offset: u32,
        base: *const u8,
        slot_bytes: u32,
    ) -> Result<Self, LayoutError> {
        let erase = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        if !offset.is_multiple_of(erase)
            || !slot_bytes.is_multiple_of(erase)
            || slot_bytes <= HEADER_BYTES
        {
            return Err(LayoutError::Erase);
        }
        if F::WRITE_SIZE == 0 || !(HEADER_BYTES as usize).is_multiple_of(F::WRITE_SIZE) {
            return Err(LayoutError::Write);
        }
        if !base.addr().is_multiple_of(16) || !slot_bytes.is_multiple_of(16) {
            return Err(LayoutError::Alignment);
        }
        let end = u64::from(offset) + 2 * u64::from(slot_bytes);
        if end > flash.capacity() as u64 {
            return Err(LayoutError::Capacity);
        }
        Ok(Self {
            flash,
            offset,
            base,
            slot_bytes,
        })
    }

    /// Returns the newest valid model that `accepts` accepts, and the other slot, for writing.
    ///
    /// Without one, the second slot counts as in use, and the first one is written.
    pub fn open(
        &mut self,
        mut accepts: impl FnMut(&Slot<'_>) -> bool,
    ) -> (Option<Slot<'_>>, Idle<'_, F>) {
        let memory = |index: u32| Memory {
            base: self
                .base
                .wrapping_add(index as usize * self.slot_bytes as usize),
            bytes: self.slot_bytes,
        };
        let headers = [0, 1].map(|index| Header::read(memory(index).bytes()));
        let versions = headers.iter().flatten().map(|header| header.version);
        let newest_version = versions.max().unwrap_or(0);
        let found = [0, 1].map(|index| slot(memory(index).bytes()));
        let newest = found.iter().flatten().map(|slot| slot.generation).max();
        let mut order = [0, 1];
        if found[1].map(|slot| slot.generation) > found[0].map(|slot| slot.generation) {
            order = [1, 0];
        }
        let active = order
            .into_iter()
            .find(|&index| found[index].is_some_and(|slot| accepts(&slot)));
        let idle: u32 = if active == Some(0) { 1 } else { 0 };
        let idle = Idle {
            flash: &mut self.flash,
            start: self.offset + idle * self.slot_bytes,
            memory: memory(idle),
            generation: newest.map_or(1, |newest| newest.saturating_add(1)),
            newest_version,
            progress: None,
        };
        (active.and_then(|index| found[index]), idle)
    }
}

/// A slot in memory.
#[derive(Clone, Copy)]
struct Memory {
    base: *const u8,
    bytes: u32,
}

impl Memory {
    /// Contents of the slot. The caller ensures the lifetime: nothing may write the slot as long.
    #[allow(unsafe_code, reason = "memory at an address")]
    fn bytes<'s>(self) -> &'s [u8] {
        // What was written to the flash before is to be seen.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: `Slots::new` was promised that the slots can be read and change by their flash only. `Slots::open` borrows
        // the slots for as long as the slice of the active one lives, and an `Idle` writes the other one; its own slice
        // borrows it in turn.
        unsafe { core::slice::from_raw_parts(self.base, self.bytes as usize) }
    }
}

/// Contents of a valid header.
struct Header {
    generation: u32,
    length: u32,
    crc: u32,
    version: u32,
}

impl Header {
    /// Reads the header of a slot; none if it is not valid.
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES as usize)?;
        let word = |at: usize| {
            let word = header.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*word))
        };
        let sound = header.starts_with(&MAGIC)
            && word(4)? == LAYOUT
            && word(28)? == CRC32.checksum(header.get(..28)?);
        if !sound {
            return None;
        }
        Some(Self {
            generation: word(8)?,
            length: word(12)?,
            crc: word(16)?,
            version: word(20)?,
        })
    }
}

/// Reads the model in a slot, if header and blob are valid.
fn slot(bytes: &[u8]) -> Option<Slot<'_>> {
    let header = Header::read(bytes)?;
    let rest = bytes.get(HEADER_BYTES as usize..)?;
    let blob = rest.get(..header.length as usize)?;
    (CRC32.checksum(blob) == header.crc).then_some(Slot {
        generation: header.generation,
        version: header.version,
        blob,
    })
}

/// The slot that is not in use.
pub struct Idle<'s, F> {
    flash: &'s mut F,
    /// Offset in the flash.
    start: u32,
    memory: Memory,
    /// Generation of the model that is written next.
    generation: u32,
    /// Highest version of all valid headers.
    newest_version: u32,
    progress: Option<Progress>,
}

/// A blob that is being written.
struct Progress {
    length: u32,
    written: u32,
    /// Last bytes that were written, fewer than a write unit.
    pending: [u8; HEADER_BYTES as usize],
}

impl<F: NorFlash> Idle<'_, F> {
    /// Bytes of the largest blob that fits in the slot.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.memory.bytes - HEADER_BYTES
    }

    /// Highest version in a valid header, including models that are damaged or not accepted; 0 if there is none.
    #[must_use]
    pub fn newest_version(&self) -> u32 {
        self.newest_version
    }

    /// Erases the slot for a blob of `length` bytes.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Room`] and [`UpdateError::Flash`].
    pub fn begin(&mut self, length: u32) -> Result<(), UpdateError<F::Error>> {
        self.progress = None;
        if length > self.room() {
            return Err(UpdateError::Room { room: self.room() });
        }
        self.flash
            .erase(self.start, self.start + self.memory.bytes)
            .map_err(UpdateError::Flash)?;
        self.progress = Some(Progress {
            length,
            written: 0,
            pending: [0xFF; HEADER_BYTES as usize],
        });
        Ok(())
    }

    /// Bytes written so far; `None` before [`Idle::begin`].
    #[must_use]
    pub fn written(&self) -> Option<u32> {
        self.progress.as_ref().map(|progress| progress.written)
    }

    /// Bytes of the blob that was begun; `None` before [`Idle::begin`].
    #[must_use]
    pub fn length(&self) -> Option<u32> {
        self.progress.as_ref().map(|progress| progress.length)
    }

    /// Writes the next bytes of the blob.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Length`] and [`UpdateError::Flash`], after which the slot must be begun again.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UpdateError<F::Error>> {
        let Some(mut progress) = self.progress.take() else {
            return Err(UpdateError::Length { written: 0 });
        };
        let written = progress.written;
        if bytes.len() > (progress.length - written) as usize {
            return Err(UpdateError::Length { written });
        }
        // Whole units, one at a time: the bytes need not lie at any boundary.
        for &byte in bytes {
            let at = progress.written as usize % F::WRITE_SIZE;
            progress.pending[at] = byte;
            progress.written += 1;
            if at + 1 == F::WRITE_SIZE {
                self.unit(&mut progress)?;
            }
        }
        if progress.written == progress.length
            && !(progress.written as usize).is_multiple_of(F::WRITE_SIZE)
        {
            self.unit(&mut progress)?;
        }
        self.progress = Some(progress);
        Ok(())
    }

    /// Writes the unit that ends with, or after, the last byte.
    fn unit(&mut self, progress: &mut Progress) -> Result<(), UpdateError<F::Error>> {
        let last = progress.written - 1;
        let at = self.start + HEADER_BYTES + (last - last % F::WRITE_SIZE as u32);
        let unit = progress.pending.get(..F::WRITE_SIZE).unwrap_or_default();
        self.flash.write(at, unit).map_err(UpdateError::Flash)?;
        progress.pending.fill(0xFF);
        Ok(())
    }

    /// Returns the blob as it is in flash now, once all of it is written.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Length`].
    pub fn blob(&self) -> Result<&[u8], UpdateError<F::Error>> {
        let whole = |progress: &&Progress| progress.written == progress.length;
        let Some(progress) = self.progress.as_ref().filter(whole) else {
            let written = self.written().unwrap_or(0);
            return Err(UpdateError::Length { written });
        };
        let end = (HEADER_BYTES + progress.length) as usize;
        Ok(self
            .memory
            .bytes()
            .get(HEADER_BYTES as usize..end)
            .unwrap_or_default())
    }

    /// Makes the written blob the newest one, for the next [`Slots::open`].
    ///
    /// `crc` is the CRC-32 of the bytes that were sent; the flash is read again for it.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]; the slot stays idle then.
    pub fn commit(&mut self, crc: u32) -> Result<(), UpdateError<F::Error>> {
        self.commit_version(crc, 0)
    }

    /// As [`Idle::commit`], for a model that has a version.
    ///
    /// # Errors
    ///
    /// As [`Idle::commit`].
    pub fn commit_version(&mut self, crc: u32, version: u32) -> Result<(), UpdateError<F::Error>> {
        let blob = self.blob()?;
        let found = CRC32.checksum(blob);
        if found != crc {
            return Err(UpdateError::Checksum { found });
        }
        let length = u32::try_from(blob.len()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES as usize];
        let words = [LAYOUT, self.generation, length, crc, version];
        header[..4].copy_from_slice(&MAGIC);
        for (place, word) in header[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let sum = CRC32.checksum(&header[..28]);
        header[28..].copy_from_slice(&sum.to_le_bytes());
        self.progress = None;
        self.flash
            .write(self.start, &header)
            .map_err(UpdateError::Flash)
    }
}

#[cfg(test)]
mod tests;
