//! Signed updates of models: what a firmware with a key takes, and what it refuses.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fewbit_cli::{update, update_key};
use fewbit_device::board::Board;
use fewbit_device::firmware::{self, Application, Firmware, UpdateKey, Updates};
use fewbit_device::link::client::{Client, LinkError, Patience};
use fewbit_device::link::emulator::Emulator;
use fewbit_device::{sample, setup};
use fewbit_protocol::{
    CRC32,
    message::{Refusal, Seal},
    report,
};
use fewbit_signed::{Update, digest, public_key, sign};
use fewbit_tests::line::{BadLine, expected_adding, relay};
use fewbit_tests::{environment, repository};

const M4: &str = "mps2-an386";

/// The secret key of the firmware here, and another one.
const SECRET: [u8; 32] = [0x5A; 32];
const STRANGER: [u8; 32] = [0x5B; 32];

/// Inputs of the models.
const SIZE: u16 = 250;

/// Operations that a model may take: each of the two tables takes one a value.
const MOST_OPERATIONS: u64 = 2 * 300;

fn board() -> Board {
    Board::load(repository(), M4).expect("known")
}

/// A model of a size of its own for each number, which it adds.
fn model(number: i8) -> Vec<u8> {
    sample::two_tables_adding(SIZE, number).expect("a blob")
}

fn with_key() -> Firmware {
    let application = Application::Slots {
        room: Vec::new(),
        updates: Updates {
            key: Some(UpdateKey {
                public: public_key(&SECRET),
                product: None,
            }),
            most_operations: Some(MOST_OPERATIONS),
        },
    };
    firmware::build_application(&board(), &model(0), &application).expect("builds")
}

/// A signature, and what it is over.
#[derive(Clone)]
struct Signed {
    version: u32,
    digest: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn new(secret: &[u8; 32], product: &str, version: u32, blob: &[u8]) -> Self {
        let digest = digest(blob);
        let update = Update {
            product,
            version,
            length: blob.len() as u32,
            digest: &digest,
        };
        Self {
            version,
            digest: digest.to_vec(),
            signature: sign(secret, &update).expect("a short name").to_vec(),
        }
    }

    fn seal(&self) -> Seal<'_> {
        Seal {
            version: self.version,
            digest: &self.digest,
            signature: &self.signature,
        }
    }
}

fn right(version: u32, blob: &[u8]) -> Signed {
    Signed::new(&SECRET, M4, version, blob)
}

fn connect(line: TcpStream) -> Client {
    Client::connect(Box::new(line), Patience::default()).expect("answers")
}

/// The model that adds `number` runs.
fn check(client: &mut Client, number: i8) {
    let crc = CRC32.checksum(&model(number));
    assert_eq!(client.refresh().expect("answers").blob_crc, crc);
    let input: Vec<i8> = (0..SIZE).map(|at| (at * 7) as u8 as i8).collect();
    let inference = client.infer(&input).expect("runs");
    assert_eq!(inference.output, expected_adding(&input, number.into()));
}

fn refused(client: &mut Client, blob: &[u8], signed: Option<&Signed>) -> Refusal {
    match client.store_sealed(blob, signed.map(Signed::seal), |_| {}) {
        Err(LinkError::Refused(refusal)) => refusal,
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("stored"),
    }
}

#[test]
fn only_the_key_stores_a_model_and_never_an_older_one() {
    let slots = board().slots.expect("has slots");
    // A reset takes the model from the second slot.
    let worn_out = format!(
        "loader,addr={},data=0,data-len=4",
        slots.offset + slots.slot_bytes
    );
    let arguments = ["-device".to_owned(), worn_out];
    let firmware = with_key();
    let (mut emulator, line) =
        Emulator::start_with(&board(), &firmware.elf, &arguments).expect("starts");
    let mut client = connect(line);
    check(&mut client, 0);
    let stack_before = client.stack_bytes().expect("answers");

    // The first slot, and over a reset.
    let (five, six, other) = (model(5), model(6), model(9));
    let signed_five = right(5, &five);
    let store = |client: &mut Client, blob: &[u8], signed: &Signed| {
        client.store_sealed(blob, Some(signed.seal()), |_| {})
    };
    store(&mut client, &five, &signed_five).expect("the right key");
    check(&mut client, 5);
    emulator.reset().expect("runs");
    check(&mut client, 5);

    let cut_off = |bytes: usize| {
        let mut signed = right(6, &other);
        signed.signature.truncate(bytes);
        signed
    };
    let changed = |change: &dyn Fn(&mut Signed)| {
        let mut signed = right(6, &other);
        change(&mut signed);
        signed
    };
    let cases: Vec<(&str, Option<Signed>, Refusal)> = vec![
        ("no signature", None, Refusal::NotSigned),
        (
            "a stranger's key",
            Some(Signed::new(&STRANGER, M4, 6, &other)),
            Refusal::BadSignature,
        ),
        (
            "for another product",
            Some(Signed::new(&SECRET, "mps2-an385", 6, &other)),
            Refusal::BadSignature,
        ),
        ("cut off", Some(cut_off(63)), Refusal::BadSignature),
        ("cut off", Some(cut_off(32)), Refusal::BadSignature),
        ("empty", Some(cut_off(0)), Refusal::BadSignature),
        (
            "a changed bit",
            Some(changed(&|signed| signed.signature[40] ^= 16)),
            Refusal::BadSignature,
        ),
        (
            "zeros",
            Some(changed(&|signed| signed.signature.fill(0))),
            Refusal::BadSignature,
        ),
        (
            "a changed version",
            Some(changed(&|signed| signed.version = 7)),
            Refusal::BadSignature,
        ),
        (
            "a cut-off digest",
            Some(changed(&|signed| signed.digest.truncate(63))),
            Refusal::BadSignature,
        ),
        // Known at the beginning, and at the end.
        (
            "another blob's signature",
            Some(changed(&|signed| {
                signed.signature = right(6, &six).signature
            })),
            Refusal::BadSignature,
        ),
        (
            "another blob's signature and digest",
            Some(right(6, &six)),
            Refusal::BadSignature,
        ),
        (
            "an old version",
            Some(right(4, &other)),
            Refusal::OldVersion,
        ),
        (
            "the same version",
            Some(right(5, &other)),
            Refusal::OldVersion,
        ),
        ("version 0", Some(right(0, &other)), Refusal::OldVersion),
    ];
    for (case, signed, refusal) in &cases {
        let found = refused(&mut client, &other, signed.as_ref());
        assert_eq!(found, *refusal, "{case}");
        check(&mut client, 5);
    }
    emulator.reset().expect("runs");
    check(&mut client, 5);

    // A run that is too long, however well it is signed.
    let long = sample::two_tables(301).expect("a blob");
    let found = refused(&mut client, &long, Some(&right(6, &long)));
    assert_eq!(found, Refusal::TooSlow);
    check(&mut client, 5);

    // The next version, and then the one before again, as it was signed.
    store(&mut client, &six, &right(6, &six)).expect("a newer one");
    check(&mut client, 6);
    let found = refused(&mut client, &five, Some(&signed_five));
    assert_eq!(found, Refusal::OldVersion);
    // What is refused does not touch the slot that is not in use either: the older model is there when the newer one breaks.
    for (case, signed, _) in cases
        .iter()
        .filter(|(case, ..)| !case.contains("and digest"))
    {
        refused(&mut client, &other, signed.as_ref());
        assert_eq!(client.identity().blob_crc, CRC32.checksum(&six), "{case}");
    }
    check(&mut client, 6);
    emulator.reset().expect("runs");
    check(&mut client, 5);
    // From there on, forward again.
    assert_eq!(
        refused(&mut client, &five, Some(&signed_five)),
        Refusal::OldVersion
    );
    store(&mut client, &six, &right(6, &six)).expect("a newer one");
    check(&mut client, 6);

    let stack_after = client.stack_bytes().expect("answers");
    let log = emulator.log();
    let costs = |name: &str| -> Vec<u64> {
        let updates = log
            .iter()
            .filter_map(|line| report::values(report!(concat, update), line));
        let costs = updates.filter(|[step, _]| *step == name);
        costs
            .map(|[_, cost]| cost.parse().expect("a number"))
            .collect()
    };
    // An old version is refused after its signature was checked, and before anything is erased.
    // A slot of 1 MiB takes more to erase: what costs less has only checked a signature, and the most is that of a right one.
    let begins = costs("begin");
    let signature = begins.iter().filter(|cost| **cost < 4_000_000).max();
    let commit = costs("commit").into_iter().max();
    let plain = firmware::build_application(&board(), &model(0), &Application::plain_slots());
    let plain_bytes = plain.expect("builds").flash_bytes;
    println!(
        "a signature: {signature:?} instructions; commit of {} bytes: {commit:?}; stack {stack_before}, then {stack_after} bytes; \
         flash without the blob {} bytes, without signatures {plain_bytes}",
        six.len(),
        firmware.flash_bytes
    );
    assert!(
        signature.is_some_and(|cost| *cost > 1_000_000),
        "{begins:?}"
    );
    // As the firmware's build leaves for it.
    assert!(u64::from(stack_after) <= firmware::SIGNATURE_STACK_BYTES);
    assert!(stack_after > stack_before);
}

/// Firmware with a key does not run a model that firmware without one has stored.
#[test]
fn a_model_that_was_stored_without_a_signature_is_not_run() {
    let slots = board().slots.expect("has slots");
    let firmware = with_key();
    let folder = tempfile::tempdir().expect("a folder");
    for (version, running) in [(0_u32, 0), (1, 8)] {
        // As docs/model-slots.md says.
        let blob = model(8);
        let mut image = b"FBSL".to_vec();
        let words = [1, 1, blob.len() as u32, CRC32.checksum(&blob), version, 0];
        image.extend(words.iter().flat_map(|word: &u32| word.to_le_bytes()));
        image.extend(CRC32.checksum(&image).to_le_bytes());
        image.extend(&blob);
        let file = folder.path().join(format!("slot{version}.bin"));
        std::fs::write(&file, &image).expect("writes");
        let there = format!(
            "loader,file={},addr={},force-raw=on",
            file.display(),
            slots.offset
        );
        let arguments = ["-device".to_owned(), there];
        let (_emulator, line) =
            Emulator::start_with(&board(), &firmware.elf, &arguments).expect("starts");
        check(&mut connect(line), running);
    }
}

/// Lost bytes are sent again, and no answer is lost on a signature.
#[test]
fn signed_models_arrive_over_a_bad_line() {
    let (_emulator, line) = Emulator::start(&board(), &with_key().elf).expect("starts");
    let line = BadLine::new(line, 3, || {});
    let damage = line.damage();
    let patience = Patience {
        first: Duration::from_millis(60),
        longest: Duration::from_millis(300),
        ..Patience::default()
    };
    let mut client = Client::connect(Box::new(line), patience).expect("answers");
    for version in 1..=20 {
        let number = version as i8;
        let blob = model(number);
        let signed = right(version, &blob);
        let stored = client.store_sealed(&blob, Some(signed.seal()), |_| {});
        stored.expect("arrives");
        check(&mut client, number);
    }
    let damage = damage.lock().expect("no panic holds it");
    assert!(damage.dropped + damage.flipped > 20, "{damage:?}");
}

/// The commands: a key is made, a signed update stored, and each refusal names the way out.
#[test]
fn update_signs_with_a_key_or_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    update_key::task(&update_key::Args { file: key.clone() }, &environment()).expect("makes it");
    let public = update_key::read_public(&folder.path().join("key.pub")).expect("a key");
    let write = |name: &str, blob: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, blob).expect("writes");
        path
    };
    let (one, two) = (write("one", &model(1)), write("two", &model(2)));
    let long = write("long", &sample::two_tables(301).expect("a blob"));
    let application = |key: Option<UpdateKey>| Application::Slots {
        room: Vec::new(),
        updates: Updates {
            key,
            most_operations: Some(MOST_OPERATIONS),
        },
    };
    let start = |application: &Application| {
        let firmware =
            firmware::build_application(&board(), &model(0), application).expect("builds");
        let (emulator, line) = Emulator::start(&board(), &firmware.elf).expect("starts");
        (emulator, format!("127.0.0.1:{}", relay(line)))
    };
    let update = |port: &str, blob: &Path, signed: Option<(&Path, u32, Option<&str>)>| {
        let result = update::task(
            &update::Args {
                blob: blob.to_owned(),
                board: M4.to_owned(),
                port: port.to_owned(),
                key: signed.map(|(key, ..)| key.to_owned()),
                model_version: signed.map(|(_, version, _)| version),
                product: signed.and_then(|(.., product)| product.map(str::to_owned)),
                timeout: Some(60),
            },
            &environment(),
        );
        result.map_err(|error| format!("{error:#}"))
    };
    let (_emulator, port) = start(&application(Some(UpdateKey {
        public,
        product: Some("door bell".to_owned()),
    })));
    let product = Some("door bell");
    update(&port, &one, Some((&key, 3, product))).expect("signed");
    let error = update(&port, &two, None).expect_err("not signed");
    assert!(error.contains("--key"), "{error}");
    let error = update(&port, &two, Some((&key, 4, None))).expect_err("the board's name");
    assert!(error.contains("--product"), "{error}");
    let error = update(&port, &two, Some((&key, 3, product))).expect_err("the same version");
    assert!(error.contains("higher --model-version"), "{error}");
    let error = update(&port, &long, Some((&key, 4, product))).expect_err("too long");
    assert!(error.contains("--most-operations"), "{error}");
    update(&port, &two, Some((&key, 4, product))).expect("signed");
    let (_emulator, port) = start(&application(None));
    let error = update(&port, &two, Some((&key, 4, None))).expect_err("no key");
    assert!(error.contains("--update-key"), "{error}");
    update(&port, &two, None).expect("from anyone");
}

/// Firmware that requires signatures is not built without a key, nor with an invalid one.
#[test]
fn a_build_without_a_key_fails_and_says_so() {
    let board = board();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    };
    let blob = write("blob", &model(0));
    let secret = fewbit_signed::show_secret_key(&SECRET).to_string();
    let secret = write("secret", secret.as_bytes());
    let toolchain = setup::ensure().expect("installed");
    let build = |key: Option<&Path>, most: Option<&str>| {
        let mut cargo = firmware::cargo(&board, &toolchain, &blob).expect("a command");
        cargo
            .args(["build", "--release", "--package", board.package()])
            .args(["--features", "fewbit-firmware/authenticated-updates"])
            .env("FEWBIT_SLOTS", "2097152,1048576")
            .env_remove("FEWBIT_UPDATE_KEY")
            .env_remove("FEWBIT_MOST_OPERATIONS")
            .stdin(Stdio::null());
        if let Some(key) = key {
            cargo.env("FEWBIT_UPDATE_KEY", key);
        }
        if let Some(most) = most {
            cargo.env("FEWBIT_MOST_OPERATIONS", most);
        }
        let output = cargo.output().expect("runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = build(None, None);
    assert!(
        error.contains("authenticated updates need a key"),
        "{error}"
    );
    assert!(error.contains("fewbit update-key"), "{error}");
    let error = build(Some(&secret), None);
    assert!(error.contains("this is the secret key"), "{error}");
    let error = build(Some(&folder.path().join("none")), None);
    assert!(error.contains("cannot read the key"), "{error}");
    let error = build(None, Some("499"));
    assert!(error.contains("takes 500 operations per run"), "{error}");
    let error = build(None, Some("many"));
    assert!(error.contains("a whole number above 0"), "{error}");
}
