//! Slots in a simulated flash that enforces its rules, and whose power can fail.

use std::alloc::{Layout, alloc, dealloc};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use super::*;

const SLOT: u32 = 1024;
const CAPACITY: usize = 4096;
const OFFSET: u32 = 512;

/// Memory that a raw pointer reads.
struct Mapped(*mut u8);

impl Mapped {
    fn layout() -> Layout {
        Layout::from_size_align(CAPACITY, 16).expect("a layout")
    }

    fn new(fill: u8) -> Self {
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc(Self::layout()) };
        assert!(!memory.is_null());
        // SAFETY: as many bytes were allocated.
        unsafe { memory.write_bytes(fill, CAPACITY) };
        Self(memory)
    }

    fn flash(&self, power: usize) -> Nor {
        Nor {
            memory: self.0,
            power,
        }
    }

    fn slots(&self, power: usize) -> Slots<Nor> {
        let base = self.0.wrapping_add(OFFSET as usize).cast_const();
        // SAFETY: the memory lives as long as the test, and only this flash writes it.
        unsafe { Slots::new(self.flash(power), OFFSET, base, SLOT) }.expect("a layout")
    }

    fn flip(&self, at: u32, bit: u32) {
        // SAFETY: inside the allocation, of which no test holds a reference here.
        unsafe { *self.0.add(at as usize) ^= 1 << bit };
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: from `alloc` with the same layout.
        unsafe { dealloc(self.0, Self::layout()) }
    }
}

/// Erases to ones, clears bits only, writes units of 8; ends in the middle of an operation when the power is used up.
struct Nor {
    memory: *mut u8,
    power: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct PowerFailed;

impl NorFlashError for PowerFailed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Nor {
    type Error = PowerFailed;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerFailed> {
        for (at, byte) in (offset as usize..).zip(bytes) {
            // SAFETY: tests read inside the allocation.
            *byte = unsafe { self.memory.add(at).read() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl Nor {
    fn change(&mut self, at: u32, to: impl Fn(u8) -> u8) -> Result<(), PowerFailed> {
        self.power = self.power.checked_sub(1).ok_or(PowerFailed)?;
        assert!((at as usize) < CAPACITY);
        // SAFETY: inside the allocation, as was asserted.
        unsafe {
            let place = self.memory.add(at as usize);
            place.write(to(place.read()));
        }
        Ok(())
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 256;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerFailed> {
        assert!(from.is_multiple_of(256) && to.is_multiple_of(256));
        (from..to).try_for_each(|at| self.change(at, |_| 0xFF))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerFailed> {
        assert!(offset.is_multiple_of(8) && bytes.len().is_multiple_of(8));
        for (at, &byte) in (offset..).zip(bytes) {
            self.change(at, |old| {
                assert_eq!(old, 0xFF, "a byte is written twice without erasing");
                byte
            })?;
        }
        Ok(())
    }
}

fn blob(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| seed.wrapping_mul(31).wrapping_add(at as u8))
        .collect()
}

/// Writes a blob in pieces of 7 bytes.
fn store(slots: &mut Slots<Nor>, blob: &[u8]) -> Result<(), UpdateError<PowerFailed>> {
    let (_, mut idle) = slots.open(|_| true);
    idle.begin(blob.len() as u32)?;
    for part in blob.chunks(7) {
        idle.write(part)?;
    }
    idle.commit(CRC32.checksum(blob))
}

fn newest(slots: &mut Slots<Nor>) -> Option<(u32, Vec<u8>)> {
    let (slot, _) = slots.open(|_| true);
    slot.map(|slot| (slot.generation, slot.blob.to_vec()))
}

#[test]
fn models_take_turns() {
    for fill in [0, 0xFF, 0x5A] {
        let memory = Mapped::new(fill);
        let mut slots = memory.slots(usize::MAX);
        assert_eq!(newest(&mut slots), None);
        for turn in 1..6_u8 {
            let blob = blob(turn, 100 * usize::from(turn) + usize::from(turn));
            store(&mut slots, &blob).expect("power");
            assert_eq!(newest(&mut slots), Some((turn.into(), blob)));
        }
        let largest = blob(9, (SLOT - HEADER_BYTES) as usize);
        store(&mut slots, &largest).expect("fits");
        assert_eq!(newest(&mut slots), Some((6, largest)));
        let room = SLOT - HEADER_BYTES;
        assert_eq!(
            store(&mut slots, &blob(9, room as usize + 1)),
            Err(UpdateError::Room { room })
        );
        store(&mut slots, &[]).expect("fits");
        assert_eq!(newest(&mut slots), Some((7, vec![])));
    }
}

/// Whenever the power fails, what is found next is the old model, or the new one when all of it was written.
#[test]
fn power_may_fail_at_any_byte() {
    let (old, new) = (blob(1, 333), blob(2, 205));
    let mut power = 0;
    let mut done = false;
    while !done {
        let memory = Mapped::new(0xFF);
        store(&mut memory.slots(usize::MAX), &blob(7, 50)).expect("power");
        store(&mut memory.slots(usize::MAX), &old).expect("power");
        done = store(&mut memory.slots(power), &new).is_ok();
        let expected = if done { (3, &new) } else { (2, &old) };
        let mut slots = memory.slots(usize::MAX);
        let found = newest(&mut slots).expect("a model");
        assert_eq!((found.0, &found.1), expected, "power for {power} bytes");
        // And the next update works.
        store(&mut slots, &new).expect("power");
        assert_eq!(newest(&mut slots).expect("a model").1, new);
        power += 1;
    }
    assert!(power as u32 > SLOT, "erased and written");
}

/// Every flipped bit of the newer slot brings the older model back.
#[test]
fn damage_is_seen() {
    let memory = Mapped::new(0xFF);
    let (old, new) = (blob(1, 40), blob(2, 60));
    store(&mut memory.slots(usize::MAX), &old).expect("power");
    store(&mut memory.slots(usize::MAX), &new).expect("power");
    for at in 0..(HEADER_BYTES + 60) {
        for bit in 0..8 {
            let at = OFFSET + SLOT + at;
            memory.flip(at, bit);
            let found = newest(&mut memory.slots(usize::MAX)).expect("the older one");
            assert_eq!(found, (1, old.clone()), "byte {at}, bit {bit}");
            memory.flip(at, bit);
        }
    }
    assert_eq!(newest(&mut memory.slots(usize::MAX)), Some((2, new)));
}

#[test]
fn a_model_that_is_not_accepted_is_passed_over_and_overwritten() {
    let memory = Mapped::new(0xFF);
    let mut slots = memory.slots(usize::MAX);
    for seed in 1..3 {
        store(&mut slots, &blob(seed, 20)).expect("power");
    }
    let refused = blob(2, 20);
    let (slot, idle) = slots.open(|slot| slot.blob != refused);
    assert_eq!(slot.map(|slot| slot.generation), Some(1));
    assert_eq!(idle.start, OFFSET + SLOT);
    assert_eq!(idle.generation, 3);
    let (slot, idle) = slots.open(|_| false);
    assert_eq!((slot, idle.start), (None, OFFSET));
}

/// Versions are kept, and known of models that are damaged or not accepted as long as their headers are sound.
#[test]
fn the_newest_version_outlives_its_model() {
    let memory = Mapped::new(0xFF);
    let mut slots = memory.slots(usize::MAX);
    let commit = |slots: &mut Slots<Nor>, version: u32| {
        let blob = blob(version as u8, 30);
        let (_, mut idle) = slots.open(|_| true);
        idle.begin(30).expect("power");
        idle.write(&blob).expect("power");
        let crc = CRC32.checksum(&blob);
        idle.commit_version(crc, version).expect("power");
    };
    let state = |slots: &mut Slots<Nor>| {
        let (slot, idle) = slots.open(|_| true);
        (slot.map(|slot| slot.version), idle.newest_version())
    };
    assert_eq!(state(&mut slots), (None, 0));
    commit(&mut slots, 0x0102_0304);
    assert_eq!(state(&mut slots), (Some(0x0102_0304), 0x0102_0304));
    // In the second slot; then its blob breaks, and its header.
    commit(&mut slots, u32::MAX);
    assert_eq!(state(&mut slots), (Some(u32::MAX), u32::MAX));
    memory.flip(OFFSET + SLOT + HEADER_BYTES, 0);
    assert_eq!(state(&mut slots), (Some(0x0102_0304), u32::MAX));
    let (slot, idle) = slots.open(|_| false);
    assert_eq!((slot, idle.newest_version()), (None, u32::MAX));
    memory.flip(OFFSET + SLOT + 20, 3);
    assert_eq!(state(&mut slots), (Some(0x0102_0304), 0x0102_0304));
    // One without a version comes after all the same.
    store(&mut slots, &blob(9, 10)).expect("power");
    assert_eq!(state(&mut slots), (Some(0), 0x0102_0304));
}

#[test]
fn what_is_not_whole_is_not_committed() {
    let memory = Mapped::new(0xFF);
    let mut slots = memory.slots(usize::MAX);
    let (_, mut idle) = slots.open(|_| true);
    assert_eq!(idle.commit(0), Err(UpdateError::Length { written: 0 }));
    assert_eq!(idle.write(&[1]), Err(UpdateError::Length { written: 0 }));
    idle.begin(10).expect("power");
    idle.write(&[1; 9]).expect("power");
    assert_eq!(idle.written(), Some(9));
    assert_eq!(idle.commit(0), Err(UpdateError::Length { written: 9 }));
    assert_eq!(idle.write(&[1; 2]), Err(UpdateError::Length { written: 9 }));
    idle.begin(2).expect("power");
    idle.write(&[1, 2]).expect("power");
    let crc = CRC32.checksum(&[1, 2]);
    assert_eq!(idle.commit(!crc), Err(UpdateError::Checksum { found: crc }));
    assert_eq!(idle.blob(), Ok(&[1, 2][..]));
    idle.commit(crc).expect("power");
}

#[test]
fn slots_lie_where_the_flash_allows() {
    let memory = Mapped::new(0xFF);
    let new = |offset: u32, base: usize, bytes: u32| {
        let base = memory.0.wrapping_add(base).cast_const();
        // SAFETY: nothing is read.
        unsafe { Slots::new(memory.flash(0), offset, base, bytes) }.err()
    };
    assert_eq!(new(0, 0, 256), None);
    assert_eq!(new(8, 0, 256), Some(LayoutError::Erase));
    assert_eq!(new(0, 0, 300), Some(LayoutError::Erase));
    assert_eq!(new(0, 0, 0), Some(LayoutError::Erase));
    assert_eq!(new(0, 8, 256), Some(LayoutError::Alignment));
    assert_eq!(new(0, 0, 4096), Some(LayoutError::Capacity));
}
