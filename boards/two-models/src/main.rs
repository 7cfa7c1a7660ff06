//! Two models in one program, which share an arena.
//!
//! The first, which should be small and fast, runs on every input; the second only if the two best classes of the first
//! are close. Inputs are in `samples.bin` in the emulator's working directory, as int8 values for both models, one after the
//! other. A line of the output has a model's result for each class.

#![no_std]
#![no_main]

use core::fmt::Display;

use fewbit_runtime::{Aligned, Engine, Model};
use semihosting::{fs::File, io::Read as _, println, process};
use static_cell::ConstStaticCell;

// The modules `first` and `second`, and beside them constants that are enough for either.
include!(concat!(env!("OUT_DIR"), "/models.rs"));

const _: () = assert!(
    first::INPUT_BYTES == second::INPUT_BYTES,
    "both models are to take the same inputs"
);

/// Difference of the best class from the next one above which a model counts as sure, in steps of its output.
const SURE: i16 = 20;

/// Either model: one type, so that the code is there once.
type Either = Model<'static, TENSORS, OPS, Kernels>;

/// The models run one after the other, so one arena is enough.
static ARENA: ConstStaticCell<Aligned<[i8; ARENA_BYTES]>> =
    ConstStaticCell::new(Aligned([0; ARENA_BYTES]));

#[cortex_m_rt::entry]
fn main() -> ! {
    let first = load(&first::BLOB.0);
    let second = load(&second::BLOB.0);
    if first.input(0) != second.input(0) {
        fail(&"the models take inputs of different shapes or scales");
    }
    let Some(arena) = ARENA.try_take() else {
        fail(&"the arena is taken")
    };
    let Ok(mut samples) = File::open(c"samples.bin") else {
        fail(&"cannot open samples.bin")
    };

    let mut input = [0; first::INPUT_BYTES];
    while samples
        .read_exact(bytemuck::cast_slice_mut(&mut input))
        .is_ok()
    {
        let engine = run(&first, &mut arena.0, &input);
        println!("first {:?}", engine.output(0));
        if lead(engine.output(0)) < SURE {
            // The first engine is not used from here on, so the arena can be lent to another one.
            let engine = run(&second, &mut arena.0, &input);
            println!("second {:?}", engine.output(0));
        }
    }
    process::exit(0)
}

/// Checks a model; the program ends if it is not a right one.
fn load(blob: &'static [u8]) -> Either {
    Either::with_kernels(blob).unwrap_or_else(|error| fail(&error))
}

/// Runs a model over an input.
fn run<'m>(
    model: &'m Either,
    arena: &'m mut [i8],
    input: &[i8],
) -> Engine<'m, 'static, TENSORS, OPS, Kernels> {
    let mut engine = Engine::new(model, arena).unwrap_or_else(|error| fail(&error));
    engine.input_mut(0).copy_from_slice(input);
    engine.run();
    engine
}

/// Difference of the best score from the next one.
fn lead(scores: &[i8]) -> i16 {
    let (mut best, mut next) = (i8::MIN, i8::MIN);
    for &score in scores {
        if score > best {
            (best, next) = (score, best);
        } else {
            next = next.max(score);
        }
    }
    i16::from(best) - i16::from(next)
}

fn fail(why: &dyn Display) -> ! {
    println!("{why}");
    process::exit(1)
}
