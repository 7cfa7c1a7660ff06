//! The newest model in two slots of the flash, or the built-in one.
//!
//! A host stores another one over the line; it is in use from then on, after a reset too.

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use fewbit_protocol::message::{Refusal, Seal};
use fewbit_runtime::{LoadError, Model};
use fewbit_slots::{Idle, Slots, UpdateError};

use crate::{
    app::{self, RunError},
    board::Board,
    counter::Counter,
    model::{BLOB, Kernels, MOST_OPERATIONS, OPS, SLOT_BYTES, SLOTS_OFFSET, TENSORS},
    serve,
    store::Store,
    updates::{Begun, may_run},
};

/// Answers requests for ever.
///
/// The slots are at the place that the build has set in `flash`, whose first byte is mapped at `mapped_at`.
///
/// # Errors
///
/// [`RunError`] if the slots cannot be there, the built-in model cannot be loaded, or the line has come to an end.
///
/// # Safety
///
/// Memory from `mapped_at` on is the flash, and changes through `flash` only.
#[allow(unsafe_code, reason = "only the board knows where its flash is")]
pub unsafe fn run<F: NorFlash>(
    mut board: Board<impl Counter, impl Read + Write, impl OutputPin, impl OutputPin>,
    flash: F,
    mapped_at: usize,
) -> Result<(), RunError> {
    let base = core::ptr::with_exposed_provenance(mapped_at + SLOTS_OFFSET);
    let (offset, slot_bytes) = (length(SLOTS_OFFSET), length(SLOT_BYTES));
    // SAFETY: the caller's promise; the slots are part of the flash, as `new` checks.
    let mut slots =
        unsafe { Slots::new(flash, offset, base, slot_bytes) }.map_err(|_| RunError::Slots)?;
    let arena = app::arena()?;
    loop {
        let (active, idle) =
            slots.open(|slot| may_run(slot) && runs(slot.blob, arena.len()).is_ok());
        let blob = active.map_or(&BLOB.0, |slot| slot.blob);
        defmt::info!(
            "model of {=usize} bytes, generation {=u32}",
            blob.len(),
            active.map_or(0, |slot| slot.generation)
        );
        let mut store = Stored {
            idle,
            begun: None,
            arena_bytes: arena.len(),
        };
        serve::session(&mut board, blob, arena, &mut store)?;
    }
}

/// Whether this firmware can run a blob: its format, its kernels, its tables, its arena and its operations.
#[inline(never)]
fn runs(blob: &[u8], arena_bytes: usize) -> Result<(), Refusal> {
    match Model::<TENSORS, OPS, Kernels>::with_work_limit(blob, MOST_OPERATIONS) {
        Ok(model) if model.arena_bytes() <= arena_bytes => return Ok(()),
        Ok(model) => defmt::warn!(
            "the stored model asks for an arena of {=usize} bytes, there are {=usize}",
            model.arena_bytes(),
            arena_bytes
        ),
        Err(error) => {
            defmt::warn!("the stored model does not load: {}", error);
            if let LoadError::Work { .. } = error {
                return Err(Refusal::TooSlow);
            }
        }
    }
    Err(Refusal::NotAModel)
}

/// The slot that is not in use.
struct Stored<'s, F> {
    idle: Idle<'s, F>,
    /// Update in progress.
    begun: Option<Begun>,
    arena_bytes: usize,
}

impl<F: NorFlash> Store for Stored<'_, F> {
    fn begin(&mut self, length: u32, seal: Option<&Seal<'_>>) -> Result<(), Refusal> {
        if length > self.idle.room() {
            return Err(Refusal::OutOfRange);
        }
        // Before anything is erased: what may not be stored takes nothing away, not even the slot that is not in use.
        let begun = Begun::new(length, seal, self.idle.newest_version())?;
        // Asked again, as erasing took longer than the host waits.
        if self.begun == Some(begun)
            && self.idle.length() == Some(length)
            && self.idle.written() == Some(0)
        {
            return Ok(());
        }
        self.begun = None;
        self.idle.begin(length).map_err(refusal)?;
        self.begun = Some(begun);
        Ok(())
    }

    fn has_begun(&self) -> bool {
        self.idle.written().is_some()
    }

    fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Refusal> {
        let written = self.idle.written().ok_or(Refusal::OutOfOrder)?;
        let end = offset.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if end <= written {
            return Ok(());
        }
        if offset != written {
            return Err(Refusal::OutOfOrder);
        }
        self.idle.write(bytes).map_err(refusal)
    }

    fn commit(&mut self, crc: u32) -> Result<(), Refusal> {
        let blob = self.idle.blob().map_err(refusal)?;
        let begun = self.begun.ok_or(Refusal::OutOfOrder)?;
        begun.check(blob)?;
        runs(blob, self.arena_bytes)?;
        let version = begun.version();
        self.idle.commit_version(crc, version).map_err(refusal)
    }
}

fn refusal<E>(error: UpdateError<E>) -> Refusal {
    match error {
        UpdateError::Room { .. } => Refusal::OutOfRange,
        UpdateError::Length { .. } => Refusal::OutOfOrder,
        UpdateError::Checksum { .. } => Refusal::InputDiffers,
        UpdateError::Flash(_) => Refusal::FlashFailed,
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
