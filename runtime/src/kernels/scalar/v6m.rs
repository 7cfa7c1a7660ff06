//! Dot products for ARMv6-M, in assembly.
//!
//! It has eight registers for most instructions, which compilers run out of.
#![allow(
    unsafe_code,
    reason = "a call of a loop in assembly, with what makes it sound"
)]

use core::cell::Cell;

core::arch::global_asm!(include_str!("dots.s"));

unsafe extern "C" {
    fn fewbit_v6m_dots4(
        sums: *mut [i32; 4],
        x: *const i8,
        weights: *const i8,
        length: usize,
        stride: usize,
    );
}

/// Sums of the products of `x` with four rows of as many weights, which lie behind each other; 0 if they are not there.
pub(super) fn dots4(weights: &[i8], x: &[Cell<i8>]) -> [i32; 4] {
    let mut sums = [0; 4];
    if !x.is_empty() && weights.len() >= 4 * x.len() {
        // SAFETY: the loop reads `x.len()` bytes of `x` and of each of four rows that many bytes apart, which are there by the
        // check above, and writes four sums.
        unsafe {
            fewbit_v6m_dots4(
                &raw mut sums,
                x.as_ptr().cast(),
                weights.as_ptr(),
                x.len(),
                x.len(),
            );
        }
    }
    sums
}
