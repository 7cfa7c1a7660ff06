//! The stack's high-water mark.
//!
//! cortex-m-rt paints the whole free stack before `main` (feature `paint-stack`); the lowest word that lost its paint
//! shows how deep the stack ever was. A deeper frame that was reserved and never written is not seen.

use cortex_m_rt::STACK_PAINT_VALUE;

#[allow(
    unsafe_code,
    reason = "the linker script's symbols can only be named so"
)]
unsafe extern "C" {
    /// Lowest address that the stack may reach: the end of the static variables.
    static mut _stack_end: u32;
    /// Address just above the stack's first word.
    static mut _stack_start: u32;
}

/// Bytes of stack that were in use at the deepest moment since reset.
#[allow(
    unsafe_code,
    reason = "reads the stack's memory, which no Rust object covers"
)]
#[inline(never)]
pub fn used_bytes() -> usize {
    let bottom = (&raw const _stack_end).cast::<u32>();
    let top = (&raw const _stack_start).cast::<u32>();
    let words = (top.addr() - bottom.addr()) / size_of::<u32>();
    let free = (0..words)
        .take_while(|&index| {
            // SAFETY: `index < words` keeps the address inside the RAM between the two linker symbols, which is
            // always readable, 4-byte aligned (the linker script asserts it) and was painted at reset, so it is
            // initialized. The read is volatile, because the live part of the stack changes behind the compiler.
            unsafe { bottom.add(index).read_volatile() == STACK_PAINT_VALUE }
        })
        .count();
    (words - free) * size_of::<u32>()
}
