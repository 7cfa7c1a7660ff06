//! Random layers on emulated boards: every byte as on the host.
//!
//! Layers are joined into a few large programs; the CRC-32 of every operator's output is compared with the scalar engine's here, which
//! the suite `kernels` holds to the oracle. `FEWBIT_BOARD_LAYERS` sets the number of layers a board (2000 if unset, of which a sample of the cases is a twentieth).
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit_device::board::Board;
use fewbit_device::firmware;
use fewbit_device::semihosted::{self, Options};
use fewbit_runtime::Engine;
use fewbit_tests::joined::join;
use fewbit_tests::layer::Layer;
use fewbit_tests::random_layer::random_layer;
use fewbit_tests::{repository, sampled};

/// Layers per board, unless `FEWBIT_BOARD_LAYERS` is set.
const LAYERS: u64 = 2000;
/// Layers of one firmware.
const JOINED: u64 = 500;
/// First seed, different from those of the suite on the host.
const FIRST_SEED: u64 = 1_000_000;

type Model<'a> = fewbit_runtime::Model<'a, 4096, 4096>;

/// CRC-32 of each operator's output, by the scalar engine.
fn expected(joined: &Layer) -> Vec<u32> {
    let crc32 = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let blob = joined.blob().expect("written");
    let model = Box::new(Model::from_bytes(&blob).expect("loads"));
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).expect("as large as the model says");
    (0..engine.op_count())
        .map(|op| {
            engine.step(op);
            let bytes: Vec<u8> = engine
                .op_output(op)
                .iter()
                .map(|value| value.cast_unsigned())
                .collect();
            crc32.checksum(&bytes)
        })
        .collect()
}

/// The tables of thousands of operators are large; a test's thread has little stack.
fn check(board: &'static str) {
    check_some(board, LAYERS);
}

fn check_some(board: &'static str, layers: u64) {
    let run = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || compare(board, layers));
    if let Err(panic) = run.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

fn compare(board: &str, layers: u64) {
    let layers = match std::env::var("FEWBIT_BOARD_LAYERS") {
        Ok(text) => text.parse().expect("FEWBIT_BOARD_LAYERS is a number"),
        Err(_) => sampled(layers, layers / 20),
    };
    let board = Board::load(repository(), board).expect("there is such a board");
    let packing = board.isa;
    let mut differing = Vec::new();
    for first in (0..layers).step_by(JOINED as usize) {
        let seeds = FIRST_SEED + first..FIRST_SEED + (first + JOINED).min(layers);
        let random: Vec<_> = seeds.clone().map(random_layer).collect();
        let rows: Vec<Layer> = random.iter().map(|random| random.layer.clone()).collect();
        let packed: Vec<Layer> = rows.iter().map(|layer| layer.packed_for(packing)).collect();
        let expected = expected(&join(&rows).0);
        let (joined, own) = join(&packed);
        let blob = joined.blob().expect("written");
        let firmware = firmware::build_bytes(&board, blob.as_bytes()).expect("builds");
        let options = Options {
            operators: true,
            ..Options::default()
        };
        let report =
            semihosted::run_firmware(&board, &firmware, &[vec![0]], &options).expect("runs");
        for ((seed, random), ops) in seeds.zip(&random).zip(own) {
            for op in ops {
                if report.operators[0][op].crc != expected[op] {
                    differing.push(format!(
                        "seed {seed}: {} {:?}",
                        random.operator, random.features
                    ));
                }
            }
        }
    }
    println!(
        "{}: {layers} layers, {} differ",
        board.name,
        differing.len()
    );
    differing.truncate(10);
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn the_m4_computes_what_the_host_computes() {
    check("mps2-an386");
}

#[test]
fn the_m55_computes_what_the_host_computes() {
    check("mps3-an547");
}

/// Fewer layers where the kernels are those of another board, or plain Rust.
#[test]
fn the_other_cores_compute_what_the_host_computes() {
    let all = ["riscv-virt", "mps2-an385-v6m", "mps2-an505"];
    for board in &all[..sampled(all.len(), 1)] {
        check_some(board, 500);
    }
}
