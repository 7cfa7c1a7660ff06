//! The targets' own mutations for libFuzzer, beside those of its own.

use fewbit_fuzz::Target;
use libfuzzer_sys::fuzzer_mutate;
use std::sync::OnceLock;

/// Changes an input by what it means, or as libFuzzer would; returns its new length.
pub fn mutate(target: &Target, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let first = CORPUS.get_or_init(|| (target.corpus)());
    let mut rng = fastrand::Rng::with_seed(seed.into());
    if rng.u8(0..4) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    // The input at hand, and one to take parts from.
    let corpus = [
        data[..size].to_vec(),
        first[rng.usize(0..first.len())].clone(),
    ];
    let changed = (target.mutate)(&mut rng, &corpus);
    let length = changed.len().min(max_size).min(data.len());
    data[..length].copy_from_slice(&changed[..length]);
    length
}
