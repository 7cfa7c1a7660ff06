//! Another model for a running firmware: two slots in the flash of an emulated board.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fewbit_protocol::{CRC32, message::Refusal};
use xtask::board::Board;
use xtask::firmware::{self, Application};
use xtask::link::client::{Client, LinkError, Patience};
use xtask::link::emulator::Emulator;
use xtask::link::line::Line;
use xtask::sample;

/// Share of bytes that the bad line drops or flips.
const FAULTS: f64 = 1.0 / 600.0;

/// What the sample models compute: saturating negation, then 3 added, wrapping.
fn expected(input: &[i8]) -> Vec<i8> {
    let negated = input.iter().map(|value| (-i16::from(*value)).min(127));
    negated.map(|value| (value + 3) as i8).collect()
}

fn crc_of(client: &Client) -> u32 {
    client.identity().blob_crc
}

fn check(client: &mut Client, size: u16) {
    assert_eq!(client.identity().input_bytes, usize::from(size));
    let input: Vec<i8> = (0..size).map(|at| (at * 7) as u8 as i8).collect();
    let inference = client.infer(&input).expect("runs");
    assert_eq!(inference.output, expected(&input));
}

#[test]
fn a_model_is_swapped_while_the_firmware_runs() {
    let board = Board::load("mps2-an386").expect("known");
    let blob = |size| sample::two_tables(size).expect("a blob");
    let (built_in, small, large, too_large) = (blob(100), blob(64), blob(300), blob(301));
    let application = Application::Slots {
        room: vec![large.clone()],
    };
    let firmware = firmware::build_application(&board, &built_in, &application).expect("builds");
    let (mut emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let mut client = Client::connect(Box::new(line), Patience::default()).expect("answers");
    assert_eq!(crc_of(&client), CRC32.checksum(&built_in));
    check(&mut client, 100);

    for (blob, size) in [(&large, 300), (&small, 64), (&small, 64), (&large, 300)] {
        client.store(blob, |_| {}).expect("has room");
        assert_eq!(crc_of(&client), CRC32.checksum(blob));
        check(&mut client, size);
        // It is still there after a reset.
        emulator.reset().expect("runs");
        check(&mut client, size);
    }

    // More arena than the firmware has; a damaged blob; no blob; more than a slot. The model stays.
    let mut damaged = small.clone();
    damaged[small.len() / 2] ^= 1;
    let huge = vec![0; (1 << 20) - 31];
    for (wrong, refusal) in [
        (&too_large, Refusal::NotAModel),
        (&damaged, Refusal::NotAModel),
        (&vec![], Refusal::NotAModel),
        (&huge, Refusal::OutOfRange),
    ] {
        let error = client.store(wrong, |_| {}).expect_err("wrong");
        match error {
            LinkError::Refused(found) => assert_eq!(found, refusal),
            other => panic!("{other}"),
        }
        check(&mut client, 300);
    }

    // A reset in the middle: the transfer starts anew, and in the meantime the old model is there.
    let mut resets = 0;
    client
        .store(&small, |sent| {
            if resets == 0 && sent > small.len() / 2 {
                emulator.reset().expect("runs");
                resets = 1;
            }
        })
        .expect("in the end");
    assert_eq!(resets, 1);
    check(&mut client, 64);
}

/// A line that drops and flips bytes, in both directions.
struct BadLine {
    line: std::net::TcpStream,
    random: fastrand::Rng,
    damaged: Arc<AtomicUsize>,
}

impl BadLine {
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            let fault = self.random.f64();
            if fault >= FAULTS {
                out.push(byte);
                continue;
            }
            self.damaged.fetch_add(1, Ordering::Relaxed);
            if fault < FAULTS / 2.0 {
                out.push(byte ^ (1 << self.random.u8(0..8)));
            }
        }
        out
    }
}

impl Line for BadLine {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = self.damage(bytes);
        self.line.send(&bytes)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> io::Result<usize> {
        let count = self.line.receive(bytes, limit)?;
        let out = self.damage(&bytes[..count]);
        bytes[..out.len()].copy_from_slice(&out);
        Ok(out.len())
    }
}

/// What is stored over a bad line is what was sent: nothing twice, nothing left out.
#[test]
fn a_model_arrives_whole_over_a_bad_line() {
    let board = Board::load("mps2-an386").expect("known");
    let blob = |size| sample::two_tables(size).expect("a blob");
    let room = vec![blob(300)];
    let firmware = firmware::build_application(&board, &blob(100), &Application::Slots { room })
        .expect("builds");
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let damaged = Arc::new(AtomicUsize::new(0));
    let line = BadLine {
        line,
        random: fastrand::Rng::with_seed(1),
        damaged: damaged.clone(),
    };
    let patience = Patience {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(200),
        ..Patience::default()
    };
    let mut client = Client::connect(Box::new(line), patience).expect("answers");
    for turn in 0..20 {
        let size = 20 + 14 * turn;
        let blob = blob(size);
        client.store(&blob, |_| {}).expect("arrives");
        assert_eq!(crc_of(&client), CRC32.checksum(&blob));
        check(&mut client, size);
    }
    let (damaged, resent) = (damaged.load(Ordering::Relaxed), client.resent());
    println!("{damaged} bytes damaged, {resent} requests sent again");
    assert!(damaged > 20 && resent > 10, "{damaged} {resent}");
}

/// A firmware without slots says so, and goes on.
#[test]
fn a_firmware_without_slots_refuses() {
    let board = Board::load("mps2-an386").expect("known");
    let blob = sample::two_tables(250).expect("a blob");
    let firmware =
        firmware::build_application(&board, &blob, &Application::Serial).expect("builds");
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let mut client = Client::connect(Box::new(line), Patience::default()).expect("answers");
    let error = client.store(&blob, |_| {}).expect_err("no slots");
    assert!(
        matches!(error, LinkError::Refused(Refusal::NoSlots)),
        "{error}"
    );
    check(&mut client, 250);
    let other = Board::load("mps2-an385").expect("known");
    let slots = Application::Slots { room: Vec::new() };
    let error = firmware::build_application(&other, &blob, &slots).expect_err("no slots");
    assert!(format!("{error:#}").contains("has no slots"), "{error:#}");
}
