//! `minstret` of RISC-V: the instructions that the processor has executed.

use core::sync::atomic::{Ordering, compiler_fence};

use fewbit_protocol::message::Unit;
use riscv::register::minstret;

use super::Counter;

/// Instructions executed. Nothing has to be started: the register counts from reset.
pub struct InstructionCounter;

impl Counter for InstructionCounter {
    fn unit(&self) -> Unit {
        Unit::Instructions
    }

    fn now(&mut self) -> u64 {
        // Reading a register orders nothing by itself: what is measured must not drift across the reading.
        compiler_fence(Ordering::SeqCst);
        let count = minstret::read64();
        compiler_fence(Ordering::SeqCst);
        count
    }

    fn cost_since(&mut self, start: u64) -> u64 {
        self.now() - start
    }
}
