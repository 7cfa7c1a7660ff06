//! The stack's high-water mark.
//!
//! The whole free stack is filled with a pattern ("painted") before the application starts; the lowest overwritten word shows the depth of the
//! stack. A deeper frame that was reserved and never written is not seen. On Cortex-M cortex-m-rt paints
//! (feature `paint-stack`), on RISC-V `main` does, with [`paint`]. The symbols are cortex-m-rt's and esp-hal's; riscv-rt
//! has other names for them.

#[cfg(target_arch = "arm")]
use cortex_m_rt::STACK_PAINT_VALUE;

/// Same pattern as cortex-m-rt's: not an address of the stack, and not a small number.
#[cfg(target_arch = "riscv32")]
const STACK_PAINT_VALUE: u32 = 0xCCCC_CCCC;

#[allow(
    unsafe_code,
    reason = "the linker script's symbols can only be named so"
)]
unsafe extern "C" {
    /// Lowest address that the stack may reach: the end of the static variables.
    #[cfg_attr(
        all(target_arch = "riscv32", feature = "semihosting"),
        link_name = "__estack"
    )]
    static mut _stack_end: u32;
    /// Address just above the stack's first word.
    #[cfg_attr(
        all(target_arch = "riscv32", feature = "semihosting"),
        link_name = "__sstack"
    )]
    static mut _stack_start: u32;
}

/// Paints the stack below the caller's frame.
#[cfg(target_arch = "riscv32")]
#[allow(
    unsafe_code,
    reason = "writes the stack's memory, which no Rust object covers"
)]
#[inline(never)]
pub fn paint() {
    /// Room for this function's own frame below the address of one of its variables.
    const OWN_FRAME: usize = 128;
    let here = 0_u8;
    let bottom = (&raw const _stack_end).cast::<u32>().cast_mut();
    let words = ((&raw const here).addr() - OWN_FRAME - bottom.addr()) / size_of::<u32>();
    for index in 0..words {
        // SAFETY: the words lie between the end of the static variables and 128 bytes below a variable of this frame,
        // which is the lowest in use: nothing else is there. The linker script aligns the bottom to a word.
        unsafe { bottom.add(index).write_volatile(STACK_PAINT_VALUE) }
    }
}

/// Bytes of the deepest stack since reset.
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
