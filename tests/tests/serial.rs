//! The framed serial protocol, over the emulated UART and over a line that damages it.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fewbit::output::write_atomically;
use fewbit_tests::digits;
use xtask::board::Board;
use xtask::firmware::{self, Application, Firmware};
use xtask::link::client::{Client, LinkError, Patience};
use xtask::link::emulator::Emulator;
use xtask::link::line::Line;
use xtask::sample;
use xtask::verify::{self, Transport};

const M4: &str = "mps2-an386";

/// Bytes of the sample model's input: more than one message holds.
const SIZE: u16 = 250;

/// Shares of bytes that the bad line drops, flips or repeats.
const FAULTS: f64 = 1.0 / 600.0;

/// Runs over the bad line, and how many of them the board is reset in, on average.
const RUNS: usize = 1000;
const RESETS: f64 = 0.05;

fn sample_firmware() -> (Board, Firmware) {
    let board = Board::load(M4).expect("known");
    let blob = sample::two_tables(SIZE).expect("a blob");
    let firmware =
        firmware::build_application(&board, &blob, &Application::Serial).expect("builds");
    (board, firmware)
}

/// What the sample model computes, written from its description: saturating negation, then 3 added, wrapping.
fn expected(input: &[i8]) -> Vec<i8> {
    let negated = input.iter().map(|value| (-i16::from(*value)).min(127));
    negated.map(|value| (value + 3) as i8).collect()
}

/// Counts of what was done to a line.
#[derive(Debug, Default)]
struct Damage {
    dropped: usize,
    flipped: usize,
    repeated: usize,
    resets: usize,
}

/// A line that damages bytes in both directions, and resets the board at some moments.
struct BadLine {
    line: Box<dyn Line>,
    emulator: Emulator,
    random: fastrand::Rng,
    damage: Arc<Mutex<Damage>>,
    /// Requests until the next reset, while there is to be one.
    reset_in: Arc<Mutex<Option<usize>>>,
}

impl BadLine {
    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damage = self.damage.lock().expect("no panic holds it");
        let mut result = Vec::new();
        for &byte in bytes {
            if self.random.f64() >= FAULTS {
                result.push(byte);
                continue;
            }
            match self.random.u8(0..3) {
                0 => damage.dropped += 1,
                1 => {
                    damage.flipped += 1;
                    result.push(byte ^ self.random.u8(1..));
                }
                _ => {
                    damage.repeated += 1;
                    result.extend([byte; 2]);
                }
            }
        }
        result
    }
}

impl Line for BadLine {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = self.damaged(bytes);
        self.line.send(&bytes)?;
        let mut reset_in = self.reset_in.lock().expect("no panic holds it");
        *reset_in = match *reset_in {
            Some(0) => {
                self.emulator.reset().map_err(io::Error::other)?;
                self.damage.lock().expect("no panic holds it").resets += 1;
                None
            }
            Some(requests) => Some(requests - 1),
            None => None,
        };
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        // Room for repeated bytes.
        let half = bytes.len() / 2;
        let count = self.line.receive(&mut bytes[..half], limit)?;
        let damaged = self.damaged(&bytes[..count]);
        bytes[..damaged.len()].copy_from_slice(&damaged);
        Ok(damaged.len())
    }
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

#[test]
fn no_fault_of_the_line_makes_a_wrong_result() {
    let (board, firmware) = sample_firmware();
    let (emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let damage = Arc::new(Mutex::new(Damage::default()));
    let reset_in = Arc::new(Mutex::new(None));
    let line = BadLine {
        line: Box::new(line),
        emulator,
        random: fastrand::Rng::with_seed(7),
        damage: Arc::clone(&damage),
        reset_in: Arc::clone(&reset_in),
    };
    let mut client = Client::connect(Box::new(line), impatience()).expect("answers");
    let mut random = fastrand::Rng::with_seed(8);
    for run in 0..RUNS {
        let input: Vec<i8> = (0..SIZE).map(|_| random.i8(..)).collect();
        if random.f64() < RESETS {
            *reset_in.lock().expect("no panic holds it") = Some(random.usize(0..8));
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
    println!("{damage:?}, {} requests sent again", client.resent());
    let least = damage.dropped.min(damage.flipped).min(damage.repeated);
    assert!(least > 300, "{damage:?}");
    assert!(damage.resets > 20, "{damage:?}");
    assert!(client.resent() > 1000, "{}", client.resent());
}

#[test]
fn a_network_is_verified_over_the_uart_operator_by_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let quantized = digits().quantize().expect("quantizes");
    let blob = folder.path().join("digits.fewbit");
    write_atomically(&blob, quantized.blob.as_bytes()).expect("writes");
    let args = verify::Args {
        blob: Some(blob.clone()),
        board: M4.to_owned(),
        data: None,
        limit: Some(3),
        timeout: Some(120),
        transport: Some(Transport::Serial),
        port: None,
        json: None,
    };
    let over_uart = verify::verify(&args).expect("runs");
    assert_eq!((over_uart.inputs, over_uart.identical), (3, 3));
    let semihosted = verify::Args {
        transport: Some(Transport::Semihosting),
        ..args
    };
    let semihosted = verify::verify(&semihosted).expect("runs");
    assert_eq!(semihosted.identical, 3);
    // The same kernels, counted in the same way; the code around them is another.
    let count = |report: &verify::VerifyReport| report.instructions_per_inference.expect("counted");
    let (a, b) = (count(&over_uart), count(&semihosted));
    assert!(a.abs_diff(b) < b / 100, "{a} and {b}");

    // Costs of the operators, and the bytes of each, against the simulator.
    let board = Board::load(M4).expect("known");
    let firmware =
        firmware::build_application(&board, quantized.blob.as_bytes(), &Application::Serial)
            .expect("builds");
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let mut client = Client::connect(Box::new(line), Patience::default()).expect("answers");
    let simulator = fewbit::simulate::Simulator::new(quantized.blob.as_bytes()).expect("loads");
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
        board: M4.to_owned(),
        data: None,
        limit: Some(1),
        timeout: Some(60),
        transport: None,
        port: Some(format!("127.0.0.1:{port}")),
        json: None,
    };
    let error = format!("{:#}", verify::verify(&args).expect_err("another model"));
    assert!(error.contains("holds another model"), "{error}");
    let other_board = verify::Args {
        board: "mps2-an385".to_owned(),
        port: Some("/dev/no-such-port".to_owned()),
        ..args
    };
    let error = format!("{:#}", verify::verify(&other_board).expect_err("no port"));
    assert!(
        error.contains("cannot open the serial port /dev/no-such-port"),
        "{error}"
    );
}

/// Offers a line as a TCP server to one client, as serial servers do.
fn relay(line: std::net::TcpStream) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let Ok((client, _)) = listener.accept() else {
            return;
        };
        let (mut from_board, mut to_board) = (line.try_clone().expect("cloned"), line);
        let (mut from_client, mut to_client) = (client.try_clone().expect("cloned"), client);
        std::thread::spawn(move || io::copy(&mut from_client, &mut to_board));
        let _ = io::copy(&mut from_board, &mut to_client);
    });
    port
}
