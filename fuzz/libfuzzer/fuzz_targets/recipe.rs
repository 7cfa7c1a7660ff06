//! The target `recipe` for libFuzzer, with the target's own mutations.
#![no_main]

use fewbit_libfuzzer::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| {
    (fewbit_fuzz::recipe::TARGET.run)(bytes);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(&fewbit_fuzz::recipe::TARGET, data, size, max_size, seed)
});
