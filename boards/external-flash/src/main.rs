//! A model in another memory than the program's.
//!
//! The memory is external flash that a controller maps (QSPI, XIP); on the emulated board of this example, it is a RAM chip
//! that the emulator fills. The program contains the address and the room for a model, but no model:
//! the contents are checked at every start, and another model needs no other program. Inputs are in `samples.bin` in the
//! emulator's working directory, as quantized int8 values, one after the other. A line of the output has the model's
//! result for each class.

#![no_std]
#![no_main]

use core::{fmt::Display, ptr, slice};

use fewbit_runtime::{Aligned, Engine, Model};
use semihosting::{fs::File, io::Read as _, println, process};
use static_cell::ConstStaticCell;

/// Address of the external memory: the PSRAM of the board MPS2 with AN386.
const ADDRESS: usize = 0x2100_0000;

/// Bytes of it that are reserved for the model. The blob's header gives the length of the blob.
const BYTES: usize = 1 << 20;

/// Capacity of the tables: no model was there to count its tensors and operators when the program was built.
const TENSORS: usize = 64;
const OPS: usize = 48;

/// Bytes for activations and scratch.
const ARENA_BYTES: usize = 64 * 1024;

static ARENA: ConstStaticCell<Aligned<[i8; ARENA_BYTES]>> =
    ConstStaticCell::new(Aligned([0; ARENA_BYTES]));

#[cortex_m_rt::entry]
fn main() -> ! {
    // A chip's own set-up comes here: the controller of its external flash is told to map it into memory.
    let model = match Model::<TENSORS, OPS>::from_bytes(external_memory()) {
        Ok(model) => model,
        Err(error) => fail(&error),
    };
    let Some(arena) = ARENA.try_take() else {
        fail(&"the arena is taken")
    };
    let mut engine = match Engine::new(&model, &mut arena.0) {
        Ok(engine) => engine,
        Err(error) => fail(&error),
    };
    let Ok(mut samples) = File::open(c"samples.bin") else {
        fail(&"cannot open samples.bin")
    };
    while samples
        .read_exact(bytemuck::cast_slice_mut(engine.input_mut(0)))
        .is_ok()
    {
        engine.run();
        println!("{:?}", engine.output(0));
    }
    process::exit(0)
}

/// Memory of the model.
#[allow(
    unsafe_code,
    reason = "the compiler knows of no memory that is not the program's"
)]
fn external_memory() -> &'static [u8] {
    // SAFETY: the board has so much memory there, mapped before this is called. memory.x gives none of it to the program, and
    // nothing writes it while the program runs, so it can be lent for ever. Any bytes are a `u8`.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(ADDRESS), BYTES) }
}

fn fail(why: &dyn Display) -> ! {
    println!("{why}");
    process::exit(1)
}
