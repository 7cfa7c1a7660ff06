//! The same recipe and seed give the same bytes, whatever the number of threads.

use fewbit::dataset::Dataset;
use fewbit::recipe::{Granularity, WeightBits};
use fewbit::rounding::RoundingMethod;
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
