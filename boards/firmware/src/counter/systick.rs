//! SysTick of Cortex-M, as a count of instructions or of cycles.
//!
//! It runs at the core's clock, on every Cortex-M, and never ends: its exception counts the periods. In the emulator a
//! tick is a fixed number of instructions, exactly 40 at the 25 MHz of most MPS2 boards. A difference of two readings is
//! right to one tick, whatever it measures.

use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use fewbit_protocol::message::Unit;

use super::Counter;

/// Frequency of the board's clock in Hz, which SysTick counts; the build sets it from `board.toml`.
const CLOCK_HZ: u64 = match u64::from_str_radix(
    env!("FEWBIT_CLOCK_HZ", "FEWBIT_CLOCK_HZ is the board's clock_hz"),
    10,
) {
    Ok(hz) if hz > 0 => hz,
    _ => panic!("FEWBIT_CLOCK_HZ is not a frequency in Hz"),
};

/// Instructions that QEMU executes in a second of virtual time, at 1 ns an instruction.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;

/// Instructions in [`TICKS`] ticks: a tick of a 32 MHz clock is 31.25 instructions, so four are 125.
const INSTRUCTIONS: u64 =
    INSTRUCTIONS_PER_SECOND / common_divisor(INSTRUCTIONS_PER_SECOND, CLOCK_HZ);

/// The ticks that [`INSTRUCTIONS`] are a whole number for.
const TICKS: u64 = CLOCK_HZ / common_divisor(INSTRUCTIONS_PER_SECOND, CLOCK_HZ);

/// The greatest one, by Euclid.
const fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// SysTick counts down from here; the period is one tick longer.
const RELOAD: u32 = 0x00FF_FFFF;

/// Periods of SysTick that have passed; its exception counts them.
static WRAPS: AtomicU32 = AtomicU32::new(0);

/// SysTick, running.
struct Ticks {
    /// Owned, so that nothing else reprograms the timer.
    _systick: SYST,
}

impl Ticks {
    /// Starts SysTick on the core clock with its longest period, about 671 million instructions at 25 MHz.
    fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(RELOAD);
        systick.clear_current();
        systick.enable_interrupt();
        systick.enable_counter();
        Self { _systick: systick }
    }

    /// The ticks so far.
    fn now(&self) -> u64 {
        // Reading a register orders nothing by itself: what is measured must not drift across the reading.
        compiler_fence(Ordering::SeqCst);
        let ticks = self.read();
        compiler_fence(Ordering::SeqCst);
        ticks
    }

    /// The ticks so far, consistent even if a period ends in between.
    fn read(&self) -> u64 {
        loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let current = SYST::get_current();
            if wraps == WRAPS.load(Ordering::Relaxed) {
                // The exception comes with the step to 0, so a period starts there and not at the reload value.
                let into_period = (RELOAD + 1 - current) & RELOAD;
                return u64::from(wraps) * u64::from(RELOAD + 1) + u64::from(into_period);
            }
        }
    }
}

/// Instructions executed, from SysTick under QEMU's `-icount shift=0`. Granularity: a tick.
pub struct InstructionCounter(Ticks);

impl InstructionCounter {
    /// Starts counting.
    pub fn start(systick: SYST) -> Self {
        Self(Ticks::start(systick))
    }
}

impl Counter for InstructionCounter {
    fn unit(&self) -> Unit {
        Unit::Instructions
    }

    fn now(&mut self) -> u64 {
        self.0.now()
    }

    fn cost_since(&mut self, start: u64) -> u64 {
        // Converted after the second reading: a 64-bit product takes a small core many instructions.
        (self.now() - start) * INSTRUCTIONS / TICKS
    }
}

/// Cycles of the core, from SysTick of a chip.
///
/// The debug unit's cycle counter would do too, but not on every core, and it ends after 32 bits.
pub struct CycleCounter(Ticks);

impl CycleCounter {
    /// Starts counting; the core runs at the clock in the board's file.
    pub fn start(systick: SYST) -> Self {
        Self(Ticks::start(systick))
    }
}

impl Counter for CycleCounter {
    fn unit(&self) -> Unit {
        Unit::Cycles {
            // A frequency of a microcontroller fits.
            clock_hz: CLOCK_HZ as u32,
        }
    }

    fn now(&mut self) -> u64 {
        self.0.now()
    }

    fn cost_since(&mut self, start: u64) -> u64 {
        self.now() - start
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
