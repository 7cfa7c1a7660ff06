//! The framed serial protocol through the memory of emulated boards: RTT, over QEMU's debug server.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use fewbit_cli::verify::{self, Transport};
use fewbit_device::board::Board;
use fewbit_device::firmware::{self, Application};
use fewbit_device::link::client::{Client, Patience};
use fewbit_device::link::emulator::Emulator;
use fewbit_device::link::rtt::{RttLine, block_of};
use fewbit_device::sample;
use fewbit_tests::{environment, repository, sampled};

/// Inputs of a run.
const INPUTS: usize = 5;

/// As much as two ticks of the slowest board's timer, in instructions.
const TICKS: u64 = 128;

/// A Cortex-M4 without a driver for its UART, and a RISC-V.
#[test]
fn verify_through_memory_finds_what_semihosting_finds() {
    let folder = tempfile::tempdir().expect("a folder");
    let blob = folder.path().join("sample.fewbit");
    std::fs::write(&blob, sample::two_tables(250).expect("a blob")).expect("writes");
    for board in sampled(&["netduinoplus2", "riscv-virt"][..], &["netduinoplus2"]) {
        let run = |transport| {
            let args = verify::Args {
                blob: Some(blob.clone()),
                repack: false,
                board: (*board).to_owned(),
                data: None,
                limit: Some(INPUTS),
                timeout: Some(120),
                transport: Some(transport),
                port: None,
                json: None,
            };
            let report = verify::verify(&args, &environment()).expect("runs");
            assert_eq!(
                (report.identical, report.inputs),
                (INPUTS, INPUTS),
                "{board}"
            );
            report.instructions_per_inference.expect("counted")
        };
        // The program stands still at every look of the debugger; its counter does too.
        let (a, b) = (run(Transport::Rtt), run(Transport::Semihosting));
        assert!(a.abs_diff(b) <= TICKS, "{board}: {a} and {b}");
    }
}

/// A reset empties the rings and forgets the input; the next question is answered all the same.
#[test]
fn a_reset_between_questions_is_survived() {
    let board = Board::load(repository(), "mps2-an386").expect("known");
    let blob = sample::two_tables(250).expect("a blob");
    let firmware = firmware::build_application(&board, &blob, &Application::Rtt).expect("builds");
    let elf = std::fs::read(&firmware.elf).expect("built");
    let (mut emulator, stream) = Emulator::debugged(&board, &firmware.elf).expect("starts");
    let line = RttLine::new(stream, block_of(&elf).expect("has channels")).expect("a debug server");
    let mut client = Client::connect(Box::new(line), Patience::default()).expect("answers");
    for value in 0..6 {
        let input = vec![value; 250];
        let inference = client.infer(&input).expect("runs");
        // Saturating negation, then 3 added, wrapping.
        assert_eq!(inference.output, vec![3 - value; 250]);
        if value % 2 == 1 {
            emulator.reset().expect("runs");
        }
    }
}

/// The other end is not a debug server.
#[test]
fn a_port_without_a_debug_server_is_told() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().expect("connected");
        stream.write_all(b"SSH-2.0-example\r\n").expect("open");
    });
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("listens");
    let error = RttLine::new(stream, 0).err().expect("no debug server");
    assert!(error.to_string().contains("no GDB server"), "{error}");
    server.join().expect("ends");
}
