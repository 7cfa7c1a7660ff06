//! Bytes of the arena, as more than single bytes.

use core::cell::Cell;

/// Reads the int16 at place `index` of a row of them.
#[inline]
pub(super) fn int16(cells: &[Cell<i8>], index: usize) -> i16 {
    match cells.get(2 * index..2 * index + 2) {
        Some([low, high]) => {
            i16::from_le_bytes([low.get().cast_unsigned(), high.get().cast_unsigned()])
        }
        _ => 0,
    }
}

/// Writes the int16 at place `index` of a row of them.
#[inline]
pub(super) fn set_int16(cells: &[Cell<i8>], index: usize, value: i16) {
    if let Some([low, high]) = cells.get(2 * index..2 * index + 2) {
        let [a, b] = value.to_le_bytes();
        low.set(a.cast_signed());
        high.set(b.cast_signed());
    }
}

/// Whether `cells` starts at a multiple of 4, as loops in assembly need it where they load words two or more at a time.
#[cfg(fewbit_family = "dsp")]
pub(super) fn is_aligned(cells: &[Cell<i8>]) -> bool {
    cells.as_ptr().addr().is_multiple_of(4)
}

/// Whether two parts of the arena share bytes.
pub(super) fn overlap(a: &[Cell<i8>], b: &[Cell<i8>]) -> bool {
    let range = |cells: &[Cell<i8>]| (cells.as_ptr().addr(), cells.as_ptr().addr() + cells.len());
    let ((a, a_end), (b, b_end)) = (range(a), range(b));
    a < b_end && b < a_end
}
