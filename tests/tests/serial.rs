//! The framed serial protocol, over the emulated UART and over a line that damages it.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fewbit::output::write_atomically;
use fewbit_cli::verify::{self, Transport};
use fewbit_device::board::Board;
use fewbit_device::firmware::{self, Application, Firmware};
use fewbit_device::link::client::{Client, LinkError, Patience};
use fewbit_device::link::emulator::Emulator;
use fewbit_device::sample;
use fewbit_protocol::CRC32;
use fewbit_tests::digits;
use fewbit_tests::line::{BadLine, expected, expected_adding, relay};
use fewbit_tests::{environment, repository, sampled};

const M4: &str = "mps2-an386";

/// Bytes of the sample model's input: more than one message holds.
const SIZE: u16 = 250;

/// Runs over the bad line.
fn runs() -> usize {
    sampled(1000, 100)
}

/// The part of them that the board is reset in, on average.
const RESETS: f64 = 0.05;

fn sample_firmware() -> (Board, Firmware) {
    let board = Board::load(repository(), M4).expect("known");
    let blob = sample::two_tables(SIZE).expect("a blob");
    let firmware =
        firmware::build_application(&board, &blob, &Application::Serial).expect("builds");
    (board, firmware)
}

/// Short, as an emulator answers at once; many restarts, as the line is bad.
fn impatience() -> Patience {
    Patience {
        first: Duration::from_millis(15),
        longest: Duration::from_millis(100),
        request: Duration::from_secs(60),
        work: Duration::from_secs(60),
        restarts: 1000,
    }
}

/// Resets of a board in the middle of what is asked.
#[derive(Clone, Default)]
struct Resets {
    /// Requests until the next one, while there is to be one.
    after: Arc<Mutex<Option<usize>>>,
    done: Arc<AtomicUsize>,
}

impl Resets {
    /// A bad line to a board that they are of.
    fn line(&self, mut emulator: Emulator, line: TcpStream, seed: u64) -> BadLine {
        let Self { after, done } = self.clone();
        BadLine::new(line, seed, move || {
            let mut after = after.lock().expect("no panic holds it");
            *after = match *after {
                Some(0) => {
                    emulator.reset().expect("runs");
                    done.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Some(requests) => Some(requests - 1),
                None => None,
            };
        })
    }

    fn after(&self, requests: usize) {
        *self.after.lock().expect("no panic holds it") = Some(requests);
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }
}

#[test]
fn no_fault_of_the_line_makes_a_wrong_result() {
    let (board, firmware) = sample_firmware();
    let (emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let resets = Resets::default();
    let line = resets.line(emulator, line, 7);
    let damage = line.damage();
    let mut client = Client::connect(Box::new(line), impatience()).expect("answers");
    let mut random = fastrand::Rng::with_seed(8);
    for run in 0..runs() {
        let input: Vec<i8> = (0..SIZE).map(|_| random.i8(..)).collect();
        if random.f64() < RESETS {
            resets.after(random.usize(0..8));
        }
        // Every third one operator by operator, whose output is the model's after the last.
        let found = if run % 3 == 0 {
            client.operator_output(&input, 1)
        } else {
            client.infer(&input)
        };
        let found = found.expect("the client is patient");
        assert_eq!(found.output, expected(&input), "run {run}");
    }
    let damage = damage.lock().expect("no panic holds it");
    let resets = resets.done();
    println!(
        "{damage:?}, {resets} resets, {} requests sent again",
        client.resent()
    );
    let least = damage.dropped.min(damage.flipped).min(damage.repeated);
    assert!(least > sampled(300, 20), "{damage:?}");
    assert!(resets > sampled(20, 0), "{resets}");
    assert!(client.resent() > sampled(1000, 50), "{}", client.resent());
}

/// Each reset takes the model from the newest slot, as worn-out flash may, and the board falls back to the other slot's, of equal sizes:
/// no result of it is taken for the one's that was there when the client connected, over a bad line.
#[test]
fn no_result_is_taken_for_another_models() {
    let board = Board::load(repository(), M4).expect("known");
    let slots = board.slots.expect("has slots");
    let blob = |number| sample::two_tables_adding(SIZE, number).expect("a blob");
    // Those of the firmware, of the first slot and of the second one.
    let (built_in, older, newer) = (blob(3), blob(5), blob(7));
    assert!(built_in.len() == older.len() && older.len() == newer.len());
    let numbers = [(&built_in, 3), (&older, 5), (&newer, 7)];
    let number_of = |crc| {
        let found = numbers.iter().find(|(blob, _)| CRC32.checksum(blob) == crc);
        found.expect("one of the three").1
    };
    let application = Application::plain_slots();
    let firmware = firmware::build_application(&board, &built_in, &application).expect("builds");
    // Written into memory at each reset: the first word of the second slot.
    let worn_out = format!(
        "loader,addr={},data=0,data-len=4",
        slots.offset + slots.slot_bytes
    );
    let arguments = ["-device".to_owned(), worn_out];
    let (emulator, line) = Emulator::start_with(&board, &firmware.elf, &arguments).expect("starts");
    let resets = Resets::default();
    let line = resets.line(emulator, line, 9);
    let damage = line.damage();
    let mut client = Client::connect(Box::new(line), impatience()).expect("answers");
    assert_eq!(number_of(client.identity().blob_crc), 3);
    client.store(&older, |_| {}).expect("has room");
    client.store(&newer, |_| {}).expect("has room");
    let mut random = fastrand::Rng::with_seed(10);
    let (mut results, mut others) = (0, 0);
    for run in 0..runs() {
        let connected = client.identity().blob_crc;
        let input: Vec<i8> = (0..SIZE).map(|_| random.i8(..)).collect();
        if random.f64() < RESETS {
            resets.after(random.usize(0..8));
        }
        let found = if run % 3 == 0 {
            client.operator_output(&input, 1)
        } else {
            client.infer(&input)
        };
        match found {
            Ok(found) => {
                let expected = expected_adding(&input, number_of(connected));
                assert_eq!(found.output, expected, "run {run}");
                results += 1;
            }
            Err(LinkError::OtherModel { expected, found }) => {
                others += 1;
                assert_eq!(
                    (expected, found),
                    (CRC32.checksum(&newer), CRC32.checksum(&older))
                );
                client.refresh().expect("answers");
            }
            Err(error) => panic!("run {run}: {error}"),
        }
        // A while later someone brings the newer one back.
        if number_of(client.identity().blob_crc) == 5 && random.f64() < 0.2 {
            client.store(&newer, |_| {}).expect("has room");
        }
    }
    let damage = damage.lock().expect("no panic holds it");
    println!(
        "{damage:?}, {} resets, {results} results, {others} of another model refused",
        resets.done()
    );
    let least = damage.dropped.min(damage.flipped).min(damage.repeated);
    assert!(least > sampled(300, 20), "{damage:?}");
    assert!(
        results > sampled(900, 90) && others > sampled(20, 0),
        "{results} and {others}"
    );
}

#[test]
fn a_network_is_verified_over_the_uart_operator_by_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let quantized = digits().quantize().expect("quantizes");
    let blob = folder.path().join("digits.fewbit");
    write_atomically(&blob, quantized.blob.as_bytes()).expect("writes");
    let args = verify::Args {
        blob: Some(blob.clone()),
        repack: false,
        board: M4.to_owned(),
        data: None,
        limit: Some(3),
        timeout: Some(120),
        transport: Some(Transport::Serial),
        port: None,
        json: None,
    };
    let over_uart = verify::verify(&args, &environment()).expect("runs");
    assert_eq!((over_uart.inputs, over_uart.identical), (3, 3));
    let semihosted = verify::Args {
        transport: Some(Transport::Semihosting),
        ..args
    };
    let semihosted = verify::verify(&semihosted, &environment()).expect("runs");
    assert_eq!(semihosted.identical, 3);
    // The same kernels, counted in the same way; the code around them is another.
    let count = |report: &verify::VerifyReport| report.instructions_per_inference.expect("counted");
    let (a, b) = (count(&over_uart), count(&semihosted));
    assert!(a.abs_diff(b) < b / 100, "{a} and {b}");

    // Costs of the operators, and the bytes of each, against the simulator.
    let board = Board::load(repository(), M4).expect("known");
    let firmware =
        firmware::build_application(&board, quantized.blob.as_bytes(), &Application::Serial)
            .expect("builds");
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let mut client = Client::connect(Box::new(line), Patience::default()).expect("answers");
    let simulator =
        fewbit::measure::simulate::Simulator::new(quantized.blob.as_bytes()).expect("loads");
    let input = vec![5; client.identity().input_bytes];
    let mut arena = vec![0; simulator.model().arena_bytes()];
    let mut outputs: Vec<Vec<i8>> = Vec::new();
    simulator
        .run_observed(&input, &mut arena, |_, bytes| outputs.push(bytes.to_vec()))
        .expect("runs");
    let steps = client.operators(&input).expect("runs");
    assert_eq!(steps.len(), outputs.len());
    for (op, (step, output)) in steps.iter().zip(&outputs).enumerate() {
        assert_eq!(step.output_bytes as usize, output.len(), "operator {op}");
        let bytes: Vec<u8> = output.iter().map(|byte| byte.cast_unsigned()).collect();
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes);
        assert_eq!(step.output_crc, crc, "operator {op}");
    }
    let third = client.operator_output(&input, 2).expect("runs");
    assert_eq!(third.output, outputs[2]);
    let ops = client.identity().ops;
    let error = client
        .operator_output(&input, ops)
        .expect_err("no such operator");
    assert!(matches!(error, LinkError::Refused(_)), "{error}");
}

/// A firmware with another model than the blob that is verified: refused before anything is compared.
#[test]
fn a_board_with_another_model_is_told_apart() {
    let (board, firmware) = sample_firmware();
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let port = relay(line);
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other.fewbit");
    std::fs::write(&other, sample::two_tables(SIZE + 1).expect("a blob")).expect("writes");
    let args = verify::Args {
        blob: Some(other),
        repack: false,
        board: M4.to_owned(),
        data: None,
        limit: Some(1),
        timeout: Some(60),
        transport: None,
        port: Some(format!("127.0.0.1:{port}")),
        json: None,
    };
    let error = format!(
        "{:#}",
        verify::verify(&args, &environment()).expect_err("another model")
    );
    assert!(error.contains("holds another model"), "{error}");
    let other_board = verify::Args {
        board: "mps2-an385".to_owned(),
        port: Some("/dev/no-such-port".to_owned()),
        ..args
    };
    let error = format!(
        "{:#}",
        verify::verify(&other_board, &environment()).expect_err("no port")
    );
    assert!(
        error.contains("cannot open the serial port /dev/no-such-port"),
        "{error}"
    );
}
