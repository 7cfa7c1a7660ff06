//! Flash and RAM in the report of `cargo xtask size`.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit_cli::size::{Sizes, measure, stack};
use fewbit_device::board::Board;
use fewbit_device::firmware::build_bytes;
use fewbit_device::sample;
use fewbit_runtime::Summary;
use fewbit_tests::{digits, repository, sampled};

/// A model of table operators links no convolution: its runtime is smaller than that of the digits network by more than
/// that kernel takes, while both hold the same loader.
#[test]
fn only_the_kernels_that_a_model_uses_take_flash() {
    let board = Board::load(repository(), "mps2-an385").expect("known");
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
        let bound = sizes.stack_bound_bytes.expect("a bounded stack");
        assert!((stack..2 * stack).contains(&bound), "{stack} {bound}");
    }
}

/// The bound by the call graph is at least the painted stack, and not much more: one of each kind of core except the
/// Cortex-M3, which is above.
#[test]
fn no_stack_goes_deeper_than_its_bound() {
    let tables = sample::two_tables(16).expect("a blob");
    let all = ["mps2-an386", "microbit", "mps3-an547", "riscv-virt"];
    for name in &all[..sampled(all.len(), 1)] {
        let board = Board::load(repository(), name).expect("known");
        let application = build_bytes(&board, &tables).expect("built");
        let (measured, bound) = stack(&board, &application).expect("run");
        let measured = measured.expect("an emulated board");
        let bound = bound.expect("a bounded stack");
        println!("{name}: {measured} bytes of stack, at most {bound}");
        assert!(
            (measured..4 * measured).contains(&bound),
            "{name}: {measured} {bound}"
        );
    }
}
