//! Campaigns find what is wrong, say it once, and write it down as small as it gets.

use fewbit_fuzz::campaign::{self, Options};
use fewbit_fuzz::{Outcome, Target, blob, bytes, crashes};
use std::fs;
use std::time::Duration;

/// Reads numbers, and fails when two of three are above a limit.
const BROKEN: Target = Target {
    name: "broken",
    about: "a target that fails",
    run: |bytes| {
        if bytes.len() < 3 {
            return Outcome::refused("Short", Vec::new());
        }
        assert!(
            bytes[1] < 200 || bytes[2] < 100,
            "both {} and {}",
            bytes[1],
            bytes[2]
        );
        // Steps on the way, which inputs have to take one after the other.
        Outcome::accepted(vec!["numbers"], u64::from(bytes[1] / 32))
    },
    corpus: || vec![vec![0; 40]],
    mutate: |rng, corpus| {
        let mut input = bytes::pick(rng, corpus).clone();
        bytes::mutate(rng, &mut input, &[]);
        input
    },
    mend: |_| {},
    simpler: |_| Vec::new(),
    refusals: || vec!["Short", "Never"],
};

fn options(folder: &std::path::Path, time: Duration) -> Options {
    Options {
        time,
        seed: 3,
        crashes: folder.to_owned(),
        current: None,
        slowest: None,
    }
}

#[test]
fn a_failure_is_found_once_and_made_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), Duration::from_millis(1500));
    let mut heard = Vec::new();
    let figures = campaign::run(&BROKEN, &options, |path, failure| {
        heard.push((path.to_owned(), failure.to_owned()));
    });
    let figures = figures.expect("runs");
    let [(path, failure)] = &heard[..] else {
        panic!("one failure: {heard:?}");
    };
    assert!(failure.contains("both "), "{failure}");
    assert_eq!(figures.crashes, std::slice::from_ref(path));
    let files = crashes::files(folder.path(), &BROKEN).expect("can be read");
    assert_eq!(files, std::slice::from_ref(path));
    let input = fs::read(path).expect("can be read");
    assert_eq!((input.len(), input[0]), (3, 0), "{input:?}");
    assert!(figures.executions > figures.accepted && figures.accepted > 100);
    assert_eq!(figures.refusals_reached, 1);
    assert_eq!(figures.refusals_all, Some(2));
    assert_eq!(figures.never, ["Never"]);
}

#[test]
fn a_known_failure_is_found_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    crashes::save(folder.path(), &BROKEN, &[7, 255, 255]).expect("can be written");
    let options = options(folder.path(), Duration::from_millis(100));
    let figures = campaign::run(&BROKEN, &options, |_, _| {}).expect("runs");
    assert_eq!(figures.crashes.len(), 1);
    assert_eq!(figures.corpus, 2);
}

/// Loads blobs as the real target does, and fails at what is no failure.
fn fails_at_tables(bytes: &[u8]) -> Outcome {
    let outcome = (blob::TARGET.run)(bytes);
    assert!(
        outcome.refusal.is_some() || !outcome.subjects.contains(&"lut"),
        "a table"
    );
    outcome
}

#[test]
fn a_blob_that_fails_is_made_small_and_stays_sound() {
    let target = Target {
        run: fails_at_tables,
        ..blob::TARGET
    };
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), Duration::from_secs(5));
    let figures = campaign::run(&target, &options, |_, _| {}).expect("runs");
    let [path] = &figures.crashes[..] else {
        panic!("one failure: {:?}", figures.crashes);
    };
    let blob = fs::read(path).expect("can be read");
    let parts = blob::Parts::decode(&blob).expect("can be decoded");
    let kinds: Vec<_> = parts.program.ops.iter().map(|op| op.kind()).collect();
    assert_eq!(kinds, ["lut"]);
    assert_eq!(parts.program.tensors.len(), 2);
    assert!(parts.weights.len() < 300 && parts.params.is_empty());
}

#[test]
fn a_seed_gives_the_same_inputs() {
    let corpus = (blob::TARGET.corpus)();
    let draw = |seed| -> Vec<Vec<u8>> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut inputs = Vec::new();
        for _ in 0..200 {
            inputs.push((blob::TARGET.mutate)(&mut rng, &corpus));
        }
        inputs
    };
    assert!(draw(5) == draw(5) && draw(5) != draw(6));
}
