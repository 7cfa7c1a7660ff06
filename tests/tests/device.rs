//! Firmware on the emulated boards, through the same functions as the tasks.
//!
//! A small model is enough here: what is tested is the way from host to board and back, with its bytes, counts and
//! errors. Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::{fs, path::PathBuf, time::Duration};

use fewbit_device::{
    board::{self, Board},
    firmware, sample,
    semihosted::{self, Options},
};
use fewbit_runtime::{AlignedBlob, Engine, Model};
use fewbit_tests::{repository, sampled};

/// Values of the model's input.
const SIZE: u16 = 600;

/// Negates all values, then adds 3 to them, wrapping.
fn blob() -> Vec<u8> {
    sample::two_tables(SIZE).expect("a valid model")
}

/// The blob in a file, which lives as long as the folder.
fn blob_file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tables.fewbit");
    fs::write(&path, blob()).expect("the folder is writable");
    (folder, path)
}

/// Inputs with every value of int8 somewhere, each input another.
fn inputs(count: i8) -> Vec<Vec<i8>> {
    let values = || (i8::MIN..=i8::MAX).cycle().take(usize::from(SIZE));
    (0..count)
        .map(|input| {
            values()
                .map(|value| value.wrapping_mul(11).wrapping_add(input))
                .collect()
        })
        .collect()
}

fn emulated_boards() -> Vec<Board> {
    let mut boards = board::all(repository()).expect("the board files are valid");
    boards.retain(|board| board.qemu.is_some());
    assert!(boards.len() >= 7, "M0, M0+, M3, M4, M7, M33 and M55");
    boards
}

/// A board of 25 MHz.
fn one_board() -> Board {
    Board::load(repository(), "mps2-an385").expect("the Cortex-M3")
}

#[test]
fn boards_and_host_give_the_same_bytes() {
    let (_folder, path) = blob_file();
    let inputs = inputs(100);
    let aligned = AlignedBlob::new(&blob());
    let model = Model::<3, 2>::from_bytes(aligned.as_bytes()).expect("a valid blob");
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).expect("as large as the model says");
    let crc32 = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut boards = emulated_boards();
    // One with kernels of its own for each family.
    let few = ["mps2-an385", "mps2-an386", "mps3-an547"];
    boards.retain(|board| sampled(true, few.contains(&&*board.name)));
    for board in boards {
        let name = &board.name;
        let options = Options {
            operators: true,
            ..Options::default()
        };
        let report =
            semihosted::run(&board, &path, &inputs, &options).expect("the run is complete");
        for (index, input) in inputs.iter().enumerate() {
            engine.input_mut(0).copy_from_slice(input);
            for op in 0..engine.op_count() {
                engine.step(op);
                let bytes: Vec<u8> = engine
                    .op_output(op)
                    .iter()
                    .map(|value| value.cast_unsigned())
                    .collect();
                let found = report.operators[index][op].crc;
                assert_eq!(
                    found,
                    crc32.checksum(&bytes),
                    "{name} input {index} operator {op}"
                );
            }
            assert_eq!(
                report.outputs[index],
                engine.output(0),
                "{name} input {index}"
            );
        }
        assert_eq!(report.arena_bytes, usize::from(SIZE));
        assert!(
            report.static_ram_bytes >= u64::from(SIZE),
            "the arena is static"
        );
        assert!(
            (64..16_384).contains(&report.stack_bytes),
            "{} bytes of stack",
            report.stack_bytes
        );
        assert!(
            (1_000..100_000).contains(&report.flash_bytes),
            "{} bytes of flash",
            report.flash_bytes
        );
    }
}

#[test]
fn counts_are_repeatable_and_grow_with_the_work() {
    let (_folder, path) = blob_file();
    let board = one_board();
    let run = || {
        semihosted::run(&board, &path, &inputs(3), &Options::default())
            .expect("the run is complete")
    };
    let (first, second) = (run(), run());
    assert_eq!(first.instructions, second.instructions);
    // Two tables over all values: at the very least a load, a lookup and a store each.
    assert!(
        first
            .instructions
            .iter()
            .all(|&count| count > 2 * 3 * u64::from(SIZE))
    );
}

#[test]
fn the_counter_is_right_across_the_end_of_its_timer() {
    let (_folder, path) = blob_file();
    // 900 million instructions; SysTick's 24 bits hold 671 million. The run fails if the count is off.
    let options = Options {
        spin_rounds: 450_000_000,
        ..Options::default()
    };
    semihosted::run(&one_board(), &path, &[], &options).expect("the count is right to a tick");
}

#[test]
fn the_bytes_of_one_operator_can_be_fetched() {
    let (_folder, path) = blob_file();
    let board = one_board();
    let firmware = firmware::build(&board, &path).expect("the firmware builds");
    let input = inputs(1).remove(0);
    let negated: Vec<i8> = input.iter().map(|value| value.saturating_neg()).collect();
    let found =
        semihosted::operator_bytes(&board, &firmware, &input, 0).expect("operator 0 exists");
    assert_eq!(found, negated);
    let error =
        semihosted::operator_bytes(&board, &firmware, &input, 2).expect_err("there are two");
    assert!(format!("{error:#}").contains("NoSuchOperator"), "{error:#}");
}

#[test]
fn inputs_of_another_size_than_the_models_are_refused() {
    let (_folder, path) = blob_file();
    let short = vec![vec![0; 599]];
    let error = semihosted::run(&one_board(), &path, &short, &Options::default())
        .expect_err("the input is one byte short");
    let message = format!("{error:#}");
    assert!(
        message.contains("600") && message.contains("599"),
        "{message}"
    );
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_the_figures() {
    let board = Board::load(repository(), "microbit").expect("the Cortex-M0");
    let refused = |size| {
        let blob = sample::two_tables(size).expect("a valid model");
        let error = firmware::build_bytes(&board, &blob).expect_err("16 KB of RAM");
        format!("{error:#}")
    };
    let message = refused(20_000);
    assert!(
        message.contains("20000 bytes of RAM") && message.contains("16384"),
        "{message}"
    );
    // The arena alone would fit, but leaves no room for a stack.
    let message = refused(15_000);
    assert!(
        message.contains("least stack") && message.contains("16384"),
        "{message}"
    );
}

#[test]
fn a_run_without_end_is_stopped() {
    let (_folder, path) = blob_file();
    let board = one_board();
    let firmware = firmware::build(&board, &path).expect("the firmware builds");
    let options = Options {
        spin_rounds: u32::MAX,
        limit: Duration::from_secs(1),
        ..Options::default()
    };
    let error = semihosted::run_firmware(&board, &firmware, &[], &options)
        .expect_err("the loop takes longer than a second");
    assert!(
        format!("{error:#}").contains("no end after 1 s"),
        "{error:#}"
    );
}

#[test]
fn a_damaged_blob_is_refused_by_name() {
    let (_folder, path) = blob_file();
    let mut bytes = blob();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("the folder is writable");
    let error = firmware::build(&one_board(), &path).expect_err("the checksum is wrong");
    let message = format!("{error:#}");
    assert!(
        message.contains("tables.fewbit") && message.contains("damaged"),
        "{message}"
    );
}
