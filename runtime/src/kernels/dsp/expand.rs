//! From int8 to pairs of int16, in the order of the loops.

#[cfg(not(fewbit_family = "dsp"))]
use super::super::cells::{int16, set_int16};
use core::cell::Cell;

/// Expands `words` words of four pixels into `to`, side by side; elements behind the end of `from` are not looked at.
///
/// `to` gets 32 bytes per word.
pub(super) fn expand4(to: &[Cell<i8>], from: [&[Cell<i8>]; 4], words: usize) {
    if words == 0 || to.len() < 32 * words || from.iter().any(|from| from.len() < 4 * words) {
        return;
    }
    #[cfg(fewbit_family = "dsp")]
    arm::expand4(to, from, words);
    #[cfg(not(fewbit_family = "dsp"))]
    for (pixel, from) in from.into_iter().enumerate() {
        for (place, x) in from.iter().take(4 * words).enumerate() {
            // Of four products: 0 and 2 in the first pair, 1 and 3 in the second.
            let at = place / 4 * 16 + place % 2 * 8 + pixel * 2 + place % 4 / 2;
            set_int16(to, at, x.get().into());
        }
    }
}

/// Copies `lines` lines of `length` bytes, `stride` bytes apart, behind each other.
pub(super) fn copy_lines(
    to: &[Cell<i8>],
    from: &[Cell<i8>],
    lines: usize,
    length: usize,
    stride: usize,
) {
    if lines == 0
        || length == 0
        || to.len() < lines * length
        || from.len() < (lines - 1) * stride + length
    {
        return;
    }
    #[cfg(fewbit_family = "dsp")]
    arm::copy_lines(to, from, lines, length, stride);
    #[cfg(not(fewbit_family = "dsp"))]
    for line in 0..lines {
        let from = from.get(line * stride..).unwrap_or_default();
        let to = to
            .get(line * length..line * length + length)
            .unwrap_or_default();
        to.iter()
            .zip(from)
            .for_each(|(to, from)| to.set(from.get()));
    }
}

/// Writes 8 times the sum of each of four expanded pixels as int32 to `sums`.
pub(super) fn sums(sums: &[Cell<i8>], expanded: &[Cell<i8>]) {
    if sums.len() < 16 || expanded.is_empty() || !expanded.len().is_multiple_of(32) {
        return;
    }
    #[cfg(fewbit_family = "dsp")]
    arm::sums(sums, expanded);
    #[cfg(not(fewbit_family = "dsp"))]
    for pixel in 0..4 {
        let pairs = (0..expanded.len() / 16).map(|pair| pair * 8 + pixel * 2);
        let sum: i32 = pairs
            .flat_map(|at| [at, at + 1])
            .map(|at| 8 * i32::from(int16(expanded, at)))
            .sum();
        for (cell, byte) in sums.iter().skip(4 * pixel).zip(sum.to_le_bytes()) {
            cell.set(byte.cast_signed());
        }
    }
}

/// Expands `words` words of one row into `to`, 8 bytes per word; returns 8 times the sum.
pub(super) fn expand(to: &[Cell<i8>], from: &[Cell<i8>], words: usize) -> i32 {
    if words == 0 || to.len() < 8 * words || from.len() < 4 * words {
        return 0;
    }
    #[cfg(fewbit_family = "dsp")]
    return arm::expand(to, from, words);
    #[cfg(not(fewbit_family = "dsp"))]
    {
        let row = from.iter().take(4 * words);
        let mut sum = 0;
        for (place, x) in row.enumerate() {
            let at = place / 4 * 4 + place % 2 * 2 + place % 4 / 2;
            set_int16(to, at, x.get().into());
            sum += 8 * i32::from(x.get());
        }
        sum
    }
}

#[cfg(fewbit_family = "dsp")]
#[allow(
    unsafe_code,
    reason = "calls of loops in assembly, each with what makes it sound"
)]
mod arm {
    use crate::kernels::cells::is_aligned;
    use core::cell::Cell;

    unsafe extern "C" {
        fn fewbit_dsp_expand4(to: *mut i8, from: *const [*const i8; 4], words: usize);
        fn fewbit_dsp_sums(from: *const i8, end: *const i8, sums: *mut i8);
        fn fewbit_dsp_copy_lines(
            to: *mut i8,
            from: *const i8,
            lines: usize,
            length: usize,
            stride: usize,
        );
        fn fewbit_dsp_expand(to: *mut i8, from: *const i8, words: usize) -> i32;
    }

    fn first(cells: &[Cell<i8>]) -> *mut i8 {
        cells.as_ptr().cast_mut().cast()
    }

    pub(super) fn expand4(to: &[Cell<i8>], from: [&[Cell<i8>]; 4], words: usize) {
        if !is_aligned(to) {
            return;
        }
        let from = from.map(|from| first(from).cast_const());
        // SAFETY: the caller has checked that `to` has 32 bytes and each of `from` 4 bytes per word, and `to` starts at a
        // multiple of 4; `from` may start anywhere, as single words are loaded. All are cells.
        unsafe {
            fewbit_dsp_expand4(first(to), &raw const from, words);
        }
    }

    pub(super) fn copy_lines(
        to: &[Cell<i8>],
        from: &[Cell<i8>],
        lines: usize,
        length: usize,
        stride: usize,
    ) {
        // SAFETY: the caller has checked that `to` holds `lines * length` bytes and `from` `length` bytes at each of `lines` places
        // `stride` bytes apart, neither number being 0. All are cells.
        unsafe {
            fewbit_dsp_copy_lines(first(to), first(from).cast_const(), lines, length, stride);
        }
    }

    pub(super) fn sums(sums: &[Cell<i8>], expanded: &[Cell<i8>]) {
        if !is_aligned(sums) || !is_aligned(expanded) {
            return;
        }
        let start = first(expanded).cast_const();
        // SAFETY: the caller has checked that `sums` has 16 bytes and `expanded` a multiple of 16, not 0; both start at a
        // multiple of 4.
        unsafe {
            fewbit_dsp_sums(start, start.wrapping_add(expanded.len()), first(sums));
        }
    }

    pub(super) fn expand(to: &[Cell<i8>], from: &[Cell<i8>], words: usize) -> i32 {
        if !is_aligned(to) {
            return 0;
        }
        // SAFETY: the caller has checked that `to` has 8 bytes and `from` 4 bytes per word; `to` starts at a multiple of 4.
        unsafe { fewbit_dsp_expand(first(to), first(from).cast_const(), words) }
    }
}
