//! QEMU's RISC-V board `virt`: starts the shared application.
//!
//! The board needs no initialization except the paint on the stack.

#![no_std]
#![no_main]

use core::ptr::NonNull;

use fewbit_firmware::{
    board::{Board, NoPin},
    counter::InstructionCounter,
    emulated, stack,
};
use riscv as _;
use uart_16550::{Config, Uart16550};

/// Address of the machine's 16550 UART, and the distance of its registers.
const UART: NonNull<u8> = match NonNull::new(core::ptr::without_provenance_mut(0x1000_0000)) {
    Some(base) => base,
    None => panic!("the address is not 0"),
};
const STRIDE: u8 = 1;

/// Sets the board up and starts the application.
#[allow(unsafe_code, reason = "only the board knows where its peripherals are")]
#[riscv_rt::entry]
fn main() -> ! {
    stack::paint();
    // SAFETY: QEMU's `virt` has a 16550 there, which nothing else uses.
    let Ok(mut serial) = (unsafe { Uart16550::new_mmio(UART, STRIDE) }) else {
        emulated::fail()
    };
    if serial.init(Config::default()).is_err() {
        emulated::fail()
    }
    emulated::run(Board {
        counter: InstructionCounter,
        serial,
        led: NoPin,
        timing: NoPin,
    })
}
