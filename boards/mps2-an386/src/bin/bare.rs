//! The least firmware that runs a model.
//!
//! What it takes of flash, without its blob, is what the runtime costs.
//!
//! It is built for its size and is not run: nothing feeds it, and no one reads its output.

#![no_std]
#![no_main]

use core::hint::black_box;
use fewbit_firmware::model::{ARENA_BYTES, BLOB, KERNELS, OPS, TENSORS};
use fewbit_runtime::{Aligned, Engine, Model};
use static_cell::ConstStaticCell;

static ARENA: ConstStaticCell<Aligned<[i8; ARENA_BYTES]>> =
    ConstStaticCell::new(Aligned([0; ARENA_BYTES]));

#[cortex_m_rt::entry]
fn main() -> ! {
    if let Some(arena) = ARENA.try_take()
        && let Ok(model) = Model::<TENSORS, OPS, KERNELS>::with_kernels(&BLOB.0)
        && let Ok(mut engine) = Engine::new(&model, &mut arena.0)
    {
        loop {
            black_box(engine.input_mut(0));
            engine.run();
            black_box(engine.output(0));
        }
    }
    loop {
        cortex_m::asm::wfi();
    }
}
