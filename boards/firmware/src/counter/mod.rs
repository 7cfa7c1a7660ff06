//! Counting what an inference costs.
//!
//! A real board counts cycles, or microseconds. On an emulated board the figure is instructions: QEMU with `-icount shift=0` lets 1 ns of virtual time pass an
//! instruction, which each architecture reads in its own way. The application proves the count at start with a loop of
//! known length, see [`crate::app::run`].

use core::arch::asm;

pub use fewbit_protocol::message::Unit;

#[cfg(all(target_arch = "riscv32", feature = "semihosting"))]
mod minstret;
#[cfg(target_arch = "arm")]
mod systick;

#[cfg(all(target_arch = "riscv32", feature = "semihosting"))]
pub use minstret::InstructionCounter;
#[cfg(target_arch = "arm")]
pub use systick::{CycleCounter, InstructionCounter};

/// A free-running count of what running code costs.
pub trait Counter {
    /// Unit of the counter.
    fn unit(&self) -> Unit;

    /// The count now, in steps of the counter's own; it never goes backwards.
    fn now(&mut self) -> u64;

    /// Cost since `now` returned `start`, in the counter's unit.
    fn cost_since(&mut self, start: u64) -> u64;
}

/// Executes exactly `2 * rounds` instructions, plus fewer than ten around them; `rounds` must not be 0.
#[allow(unsafe_code, reason = "only assembly has a known instruction count")]
#[inline(never)]
pub fn spin(rounds: u32) {
    // SAFETY: the loop touches the one register that it is given and the flags, and no memory. It ends for every
    // value of `rounds`, as the register counts down through all values to 0.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!(
            "2:",
            "subs {rounds}, #1",
            "bne 2b",
            rounds = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
    // SAFETY: as above; there are no flags here.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        asm!(
            "2:",
            "addi {rounds}, {rounds}, -1",
            "bnez {rounds}, 2b",
            rounds = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
}
