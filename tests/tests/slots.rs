//! Another model for a running firmware: two slots in the flash of an emulated board.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::time::Duration;

use fewbit_cli::update;
use fewbit_device::board::Board;
use fewbit_device::firmware::{self, Application, Updates};
use fewbit_device::link::client::{Client, LinkError, Patience};
use fewbit_device::link::emulator::Emulator;
use fewbit_device::link::line;
use fewbit_device::sample;
use fewbit_protocol::{CRC32, message::Refusal};
use fewbit_tests::line::{BadLine, expected, relay};
use fewbit_tests::{environment, repository};

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
    let board = Board::load(repository(), "mps2-an386").expect("known");
    let blob = |size| sample::two_tables(size).expect("a blob");
    let (built_in, small, large, too_large) = (blob(100), blob(64), blob(300), blob(301));
    let application = Application::Slots {
        room: vec![large.clone()],
        updates: Updates::default(),
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

/// A blob that is stored over a bad line is the one that was sent: nothing twice, nothing left out.
#[test]
fn a_model_arrives_whole_over_a_bad_line() {
    let board = Board::load(repository(), "mps2-an386").expect("known");
    let blob = |size| sample::two_tables(size).expect("a blob");
    let application = Application::Slots {
        room: vec![blob(300)],
        updates: Updates::default(),
    };
    let firmware = firmware::build_application(&board, &blob(100), &application).expect("builds");
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    let line = BadLine::new(line, 1, || {});
    let damage = line.damage();
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
    let damage = damage.lock().expect("no panic holds it");
    println!("{damage:?}, {} requests sent again", client.resent());
    let least = damage.dropped.min(damage.flipped).min(damage.repeated);
    assert!(least > 5 && client.resent() > 10, "{damage:?}");
}

/// The command: its blob runs afterwards, or its error names the way out.
#[test]
fn update_stores_a_blob_or_says_what_to_do() {
    let board = Board::load(repository(), "mps2-an386").expect("known");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, size: u16| {
        let path = folder.path().join(name);
        let blob = sample::two_tables(size).expect("a blob");
        std::fs::write(&path, &blob).expect("writes");
        (path, blob)
    };
    let ((small, blob), (large, _)) = (write("small", 64), write("large", 101));
    let built_in = sample::two_tables(100).expect("a blob");
    let update = |application: &Application, blob: &std::path::Path| {
        let firmware = firmware::build_application(&board, &built_in, application).expect("builds");
        let (emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
        let port = format!("127.0.0.1:{}", relay(line));
        let result = update::task(
            &update::Args {
                blob: blob.to_owned(),
                board: board.name.clone(),
                port: port.clone(),
                key: None,
                model_version: None,
                product: None,
                timeout: Some(60),
            },
            &environment(),
        );
        let line = line::open(&port).expect("listens");
        let client = Client::connect(line, Patience::default()).expect("answers");
        let result = result.map_err(|error| format!("{error:#}"));
        ((emulator, client), result)
    };
    let slots = Application::plain_slots();
    let ((_emulator, mut client), result) = update(&slots, &small);
    result.expect("has room");
    assert_eq!(crc_of(&client), CRC32.checksum(&blob));
    check(&mut client, 64);
    let (_emulator, result) = update(&slots, &large);
    let error = result.expect_err("too large");
    assert!(error.contains("`--slots --room`"), "{error}");
    let (_emulator, result) = update(&Application::Serial, &small);
    let error = result.expect_err("no slots");
    assert!(error.contains("flash --slots"), "{error}");
}

/// Firmware without slots answers with a refusal, and keeps running.
#[test]
fn a_firmware_without_slots_refuses() {
    let board = Board::load(repository(), "mps2-an386").expect("known");
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
    let other = Board::load(repository(), "mps2-an385").expect("known");
    let slots = Application::plain_slots();
    let error = firmware::build_application(&other, &blob, &slots).expect_err("no slots");
    assert!(format!("{error:#}").contains("has no slots"), "{error:#}");
}
