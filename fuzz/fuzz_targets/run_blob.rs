//! Loads arbitrary bytes as a blob and, where they are accepted, runs them.
//!
//! Under `cfg(fuzzing)` the runtime does not compare checksums, so that the fuzzer gets past them.
#![no_main]

use fewbit_runtime::{AlignedBlob, Engine, Model};
use libfuzzer_sys::fuzz_target;

/// Larger arenas are legal, but slow to clear a thousand times a second.
const ARENA_LIMIT: usize = 1 << 20;

/// Multiply-accumulates a run may take here.
const MACS_LIMIT: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let blob = AlignedBlob::new(bytes);
    let Ok(model) = Model::<128, 128>::from_bytes(blob.as_bytes()) else {
        return;
    };
    let macs: u64 = (0..model.op_count()).map(|op| model.macs(op)).sum();
    if model.arena_bytes() > ARENA_LIMIT || macs > MACS_LIMIT {
        return;
    }
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).expect("as large as the model says");
    engine.input_mut(0).fill(-77);
    engine.run();
});
