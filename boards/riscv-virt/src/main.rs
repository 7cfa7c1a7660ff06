//! QEMU's RISC-V board `virt`: starts the shared application.
//!
//! The board has nothing to set up but the paint on the stack.

#![no_std]
#![no_main]

use fewbit_firmware::{counter::InstructionCounter, emulated, stack};

#[riscv_rt::entry]
fn main() -> ! {
    stack::paint();
    emulated::run(InstructionCounter)
}
