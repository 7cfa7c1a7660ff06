//! Blobs that run anywhere give the same bytes when they are packed for a family.
//!
//! The corpus has every operator, shared weights and outputs over inputs, which a packer of trained networks meets rarely.

use fewbit::compile::HostModel;
use fewbit::compile::repack::{RepackError, repack};
use fewbit::random::Random;
use fewbit_fuzz::blob;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::{AlignedBlob, Engine};

/// The outputs of a model for inputs that follow from one seed.
fn outputs(blob: &AlignedBlob) -> Vec<Vec<i8>> {
    let model = Box::new(HostModel::from_bytes(blob.as_bytes()).expect("loads"));
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).expect("large enough");
    let mut random = Random::new(1);
    for input in 0..model.input_count() {
        let port = engine.input_mut(input);
        let bytes = random.bytes(port.len());
        port.copy_from_slice(&bytes);
    }
    engine.run();
    (0..model.output_count())
        .map(|output| engine.output(output).to_vec())
        .collect()
}

#[test]
fn blobs_of_the_corpus_give_the_same_bytes_in_every_packing() {
    let mut packed = 0;
    for (index, blob) in blob::corpus().iter().enumerate() {
        let blob = AlignedBlob::new(blob);
        let plain = HostModel::from_bytes(blob.as_bytes())
            .is_ok_and(|model| model.packing() == Family::Scalar);
        if !plain {
            continue;
        }
        let expected = outputs(&blob);
        for packing in [Family::Dsp, Family::Mve] {
            match repack(&blob, packing) {
                Ok(other) => {
                    assert_eq!(outputs(&other), expected, "{index} for {}", packing.name());
                    packed += 1;
                }
                Err(RepackError::Metadata) => {}
                Err(error) => panic!("{index} for {}: {error}", packing.name()),
            }
        }
    }
    println!("{packed} blobs packed");
    assert!(packed > 50, "{packed}");
}
