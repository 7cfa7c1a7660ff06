//! The smallest firmware that runs a model.
//!
//! Its flash, without its blob, is the cost of the runtime. It is built for its size and is not run: nothing
//! fills its input or reads its output. It contains no panic function, does not recurse and has a
//! bounded stack, which `cargo xtask bounds` proves of its machine code.

#![no_std]
#![no_main]

use core::{
    hint::{black_box, spin_loop},
    panic::PanicInfo,
};

#[cfg(target_arch = "arm")]
use cortex_m as _;
#[cfg(target_arch = "arm")]
use cortex_m_rt::entry;
use fewbit_runtime::{Aligned, Engine, Model};
#[cfg(target_arch = "riscv32")]
use riscv as _;
#[cfg(target_arch = "riscv32")]
use riscv_rt::entry;
use static_cell::ConstStaticCell;

include!(concat!(env!("OUT_DIR"), "/model.rs"));

static ARENA: ConstStaticCell<Aligned<[i8; ARENA_BYTES]>> =
    ConstStaticCell::new(Aligned([0; ARENA_BYTES]));

/// Loads the model and runs it for ever.
#[entry]
fn main() -> ! {
    if let Some(arena) = ARENA.try_take()
        && let Ok(model) = Model::<TENSORS, OPS, Kernels>::with_kernels(&BLOB.0)
        && let Ok(mut engine) = Engine::new(&model, &mut arena.0)
    {
        loop {
            black_box(engine.input_mut(0));
            engine.run();
            black_box(engine.output(0));
        }
    }
    loop {
        spin_loop();
    }
}

/// Linked only if something can panic. It differs from every other function, so that the compiler then keeps its name.
#[panic_handler]
#[inline(never)]
fn panic(info: &PanicInfo<'_>) -> ! {
    black_box(info);
    loop {
        spin_loop();
    }
}
