//! What `cargo xtask size` says of flash and RAM.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit_runtime::Summary;
use fewbit_tests::digits;
use xtask::board::Board;
use xtask::sample;
use xtask::size::{Sizes, measure};

/// A model of table operators links no convolution: its runtime is smaller than that of the digits network by more than
/// that kernel takes, while both hold the same loader.
#[test]
fn only_the_kernels_that_a_model_uses_take_flash() {
    let board = Board::load("mps2-an385").expect("known");
    let tables = sample::two_tables(16).expect("a blob");
    let quantized = digits().quantize().expect("quantizes");
    let digits = quantized.blob.as_bytes();
    let small = measure(&board, &tables).expect("measured");
    let large = measure(&board, digits).expect("measured");
    let runtime = |sizes: &Sizes| sizes.runtime_flash_bytes.expect("it starts by itself");
    assert!(
        runtime(&small) + 4000 < runtime(&large),
        "{small:?} {large:?}"
    );
    assert_eq!(large.blob_bytes, digits.len() as u64);
    let arena = Summary::from_bytes(digits).expect("loads").arena_bytes;
    assert_eq!(large.arena_bytes, u64::from(arena));
    for sizes in [small, large] {
        assert!(runtime(&sizes) < sizes.application_flash_bytes);
        assert!(sizes.arena_bytes <= sizes.static_ram_bytes);
        let stack = sizes.stack_bytes.expect("an emulated board");
        assert!((1000..20_000).contains(&stack), "{stack}");
    }
}
