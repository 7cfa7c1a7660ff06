//! A damaged blob is refused or runs; it never panics or reaches outside its memory.
//!
//! Out-of-bounds accesses would be panics here, as the runtime has no `unsafe`. Uses nothing of the host's, so that it runs on 32 bits too.

use fewbit_runtime::{AlignedBlob, Engine, Model, Summary};

/// The digits network, as version 1 packed it.
fn digits() -> Vec<u8> {
    std::fs::read("../tests/blobs/v1_digits.fewbit").expect("it is in the repository")
}

/// Loads a blob and, if it is accepted, runs it; returns whether it was.
fn load_and_run(bytes: &[u8]) -> bool {
    let blob = AlignedBlob::new(bytes);
    let Ok(model) = Model::<64, 64>::from_bytes(blob.as_bytes()) else {
        return false;
    };
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).expect("enough memory");
    for index in 0..model.input_count() {
        engine.input_mut(index).fill(77);
    }
    engine.run();
    true
}

/// Writes the checksum that the bytes should carry.
fn fix_crc(bytes: &mut [u8]) {
    let crc = fewbit_runtime::format::header::checksum(bytes);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn every_header_byte_may_have_any_value() {
    let blob = digits();
    let mut accepted = 0;
    for place in 0..64 {
        for value in 0..=255 {
            let mut damaged = blob.clone();
            damaged[place] = value;
            if damaged == blob {
                continue;
            }
            assert!(
                !load_and_run(&damaged),
                "byte {place} = {value}: the checksum must be wrong"
            );
            if !(16..20).contains(&place) {
                fix_crc(&mut damaged);
                accepted += usize::from(load_and_run(&damaged));
            }
        }
    }
    println!("{accepted} headers with a valid checksum were accepted");
}

#[test]
fn ten_thousand_flips_with_the_checksum_recomputed() {
    let blob = digits();
    assert!(load_and_run(&blob), "the undamaged blob runs");
    // Half of them in header and program, where the structure is; a blob is mostly weights.
    let structure = 64 + Summary::from_bytes(&blob).expect("valid").program_bytes as usize;
    let accepted: usize = std::thread::scope(|scope| {
        let worker = |seed: u64| {
            let blob = &blob;
            move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let flip = |number: u32| {
                    let mut damaged = blob.clone();
                    let place = random.usize(
                        0..if number.is_multiple_of(2) {
                            structure
                        } else {
                            blob.len()
                        },
                    );
                    damaged[place] ^= 1 << random.u32(0..8);
                    fix_crc(&mut damaged);
                    usize::from(load_and_run(&damaged))
                };
                (0..2500).map(flip).sum::<usize>()
            }
        };
        let workers: Vec<_> = (0..4).map(|seed| scope.spawn(worker(seed))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .sum()
    });
    println!("{accepted} of 10000 damaged blobs were accepted and ran");
    assert!(accepted > 1000, "flips in the weights leave a valid blob");
}

#[test]
fn every_truncation_is_refused() {
    let blob = digits();
    for length in (0..blob.len()).filter(|length| *length < 2000 || length % 97 == 0) {
        assert!(
            !load_and_run(&blob[..length]),
            "{length} bytes are accepted"
        );
    }
}
