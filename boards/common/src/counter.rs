//! Counting what an inference costs.
//!
//! On an emulated board the figure is instructions. QEMU with `-icount shift=0` lets 1 ns of virtual time pass an
//! instruction, and SysTick of the MPS2 boards runs at 25 MHz, so one tick is exactly 40 instructions: a difference of
//! two readings is right to +-40 instructions, whatever it measures. The application proves the factor at start with
//! a loop of known length, see [`crate::app::run`].

use core::{
    arch::asm,
    sync::atomic::{AtomicU32, Ordering, compiler_fence},
};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;

/// A free-running count of what running code costs.
pub trait Counter {
    /// The count now. The unit and the granularity are the counter's; it never goes backwards.
    fn now(&mut self) -> u64;
}

/// Instructions that QEMU executes in one SysTick period: 40 ns at 1 ns an instruction.
pub const INSTRUCTIONS_PER_TICK: u64 = 40;

/// SysTick counts down from here; the period is one tick longer.
const RELOAD: u32 = 0x00FF_FFFF;

/// Periods of SysTick that have passed; its exception counts them.
static WRAPS: AtomicU32 = AtomicU32::new(0);

/// Instructions executed, from SysTick under QEMU's `-icount shift=0`. Granularity: 40 instructions.
pub struct InstructionCounter {
    /// Owned, so that nothing else reprograms the timer.
    _systick: SYST,
}

impl InstructionCounter {
    /// Starts SysTick on the core clock with its longest period, about 671 million instructions.
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(RELOAD);
        systick.clear_current();
        systick.enable_interrupt();
        systick.enable_counter();
        Self { _systick: systick }
    }
}

impl Counter for InstructionCounter {
    fn now(&mut self) -> u64 {
        // Reading a register orders nothing by itself: what is measured must not drift across the reading.
        compiler_fence(Ordering::SeqCst);
        let count = self.read();
        compiler_fence(Ordering::SeqCst);
        count
    }
}

impl InstructionCounter {
    /// The count, consistent even if a period ends in between.
    fn read(&self) -> u64 {
        loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let current = SYST::get_current();
            if wraps == WRAPS.load(Ordering::Relaxed) {
                // The exception comes with the step to 0, so a period starts there and not at the reload value.
                let into_period = (RELOAD + 1 - current) & RELOAD;
                let ticks = u64::from(wraps) * u64::from(RELOAD + 1) + u64::from(into_period);
                return ticks * INSTRUCTIONS_PER_TICK;
            }
        }
    }
}

#[exception]
fn SysTick() {
    // The only writer, and Cortex-M0 has no read-modify-write atomics: load and store do.
    WRAPS.store(
        WRAPS.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// Executes exactly `2 * rounds` instructions, plus fewer than ten around them; `rounds` must not be 0.
#[allow(unsafe_code, reason = "only assembly has a known instruction count")]
#[inline(never)]
pub fn spin(rounds: u32) {
    // SAFETY: the loop touches the one register that it is given and the flags, and no memory. It ends for every
    // value of `rounds`, as the register counts down through all values to 0.
    unsafe {
        asm!(
            "2:",
            "subs {rounds}, #1",
            "bne 2b",
            rounds = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
}
