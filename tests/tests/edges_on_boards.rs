//! Layers at the edge of their bounds on emulated boards: as the oracle.
//!
//! The suite `edges` says what they are. All that have room are one program, whose operators' outputs are compared by their
//! CRC-32 with what the oracle computes.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit_device::board::Board;
use fewbit_device::firmware;
use fewbit_device::semihosted::{self, Options};
use fewbit_tests::edges::edges;
use fewbit_tests::joined::join;
use fewbit_tests::layer::Layer;
use fewbit_tests::{repository, sampled};

fn check(name: &str) {
    let crc32 = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let board = Board::load(repository(), name).expect("there is such a board");
    let edges: Vec<_> = edges().into_iter().filter(|edge| edge.small).collect();
    let packing = board.isa;
    let packed: Vec<Layer> = edges
        .iter()
        .map(|edge| edge.layer.packed_for(packing))
        .collect();
    let (joined, own) = join(&packed);
    let blob = joined.blob().expect("written");
    let firmware = firmware::build_bytes(&board, &blob).expect("builds");
    let options = Options {
        operators: true,
        ..Options::default()
    };
    let report = semihosted::run_firmware(&board, &firmware, &[vec![0]], &options).expect("runs");
    for (edge, ops) in edges.iter().zip(own) {
        let (expected, _) = edge.layer.expected();
        let bytes: Vec<u8> = expected[0]
            .iter()
            .map(|value| value.cast_unsigned())
            .collect();
        assert_eq!(
            report.operators[0][ops[0]].crc,
            crc32.checksum(&bytes),
            "{name}: {}, {}",
            edge.operator,
            edge.what
        );
    }
    println!("{name}: {} layers at an edge", edges.len());
}

/// A Cortex-M4 and an M55 with kernels of their own, the code of a Cortex-M0 in ample memory, and RISC-V.
#[test]
fn boards_compute_layers_at_the_edge_as_the_oracle() {
    let all = ["mps2-an386", "mps3-an547", "mps2-an385-v6m", "riscv-virt"];
    for name in &all[..sampled(all.len(), 1)] {
        check(name);
    }
}
