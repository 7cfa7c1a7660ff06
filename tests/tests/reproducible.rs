//! The same recipe and samples give the same bytes, for any threads and order.

use fewbit::dataset::Dataset;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::{Granularity, WeightBits};
use fewbit_tests::digits;
use rayon::ThreadPoolBuilder;

/// The digits network quantized on so many threads.
fn blob(threads: usize, change: fn(&mut fewbit::recipe::Recipe)) -> Vec<u8> {
    let mut network = digits();
    let elements = network.calibration.elements();
    network.calibration = Dataset {
        inputs: network.calibration.inputs[..96 * elements].to_vec(),
        samples: 96,
        labels: None,
        targets: None,
    };
    change(&mut network.recipe);
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads");
    pool.install(|| {
        network
            .quantize()
            .expect("quantizes")
            .blob
            .as_bytes()
            .to_vec()
    })
}

#[test]
fn threads_do_not_change_a_blob() {
    let recipes: [fn(&mut fewbit::recipe::Recipe); 3] = [
        |_| {},
        |recipe| {
            recipe.weights.bits = WeightBits::Int4;
            recipe.weights.granularity = Granularity::PerTensor;
        },
        |recipe| {
            recipe.weights.bits = WeightBits::Int4;
            recipe.rounding.method = RoundingMethod::Adaround;
            recipe.rounding.iterations = 60;
        },
    ];
    for change in recipes {
        let one = blob(1, change);
        assert_eq!(one, blob(2, change));
    }
}

#[test]
fn the_order_of_samples_and_the_seed_do_not_change_a_blob() {
    let mut network = digits();
    let mut samples = network.calibration.thinned(96);
    network.calibration = samples.clone();
    let blob = network.quantize().expect("quantizes").blob;
    let elements = samples.elements();
    let reversed = samples.inputs.chunks_exact(elements).rev().flatten();
    samples.inputs = reversed.copied().collect();
    assert_ne!(samples.inputs, network.calibration.inputs);
    samples.labels = None;
    network.calibration = samples;
    network.recipe.seed += 1;
    let other = network.quantize().expect("quantizes").blob;
    assert_eq!(blob.as_bytes(), other.as_bytes());
}
