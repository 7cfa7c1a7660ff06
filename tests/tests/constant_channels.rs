//! Channels that carry nothing change nothing.
//!
//! Not what a network computes, and no scale of any other channel.

use std::time::Instant;

use fewbit::dataset::{Dataset, InputLayout};
use fewbit::executor::Executor;
use fewbit::graph::Graph;
use fewbit::import::{self, ImportOptions};
use fewbit::pipeline::{self, Calibration, Quantized};
use fewbit::progress::Silent;
use fewbit::ptq::passes;
use fewbit::range::{Range, RangeMethod};
use fewbit::recipe::Equalize;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::{Granularity, Recipe, WeightBits};
use fewbit_tests::networks::Net;
use fewbit_tests::random_network::Pair;
use fewbit_tests::{models, network, sampled};
use rayon::prelude::*;

const UNIT: Range = Range {
    min: -1.0,
    max: 1.0,
};

/// Random networks for each recipe.
fn seeds() -> u64 {
    sampled(20, 2)
}

fn forward(graph: &Graph, inputs: &[f32]) -> Vec<f32> {
    let executor = Executor::new(graph).expect("sound");
    let samples = inputs.len() / executor.input_elements();
    executor.forward(inputs, samples).expect("runs")
}

/// Largest difference, relative to the largest value.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max) / largest
}

/// No equalization, ranges from the smallest to the largest value, weights rounded to nearest.
fn plain(granularity: Granularity) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.input.range = Some([UNIT.min, UNIT.max]);
    recipe.weights.granularity = granularity;
    recipe.weights.scale_search = false;
    recipe.activations.range = RangeMethod::MinMax;
    recipe.passes.equalize = Equalize::Off;
    recipe.rounding.method = RoundingMethod::Nearest;
    recipe
}

/// Quantizes both networks of a seed; live channels and all tensors have to get the same scales, and the results the same accuracy.
fn check(seed: u64, recipe: &Recipe, data_free: bool) {
    let pair = Pair::new(seed);
    let layout = InputLayout::of(&pair.live).expect("one input");
    let calibration = Dataset::uniform(&layout, UNIT, 32, 1);
    // So many that single values which fall to the other side of a tie do not count.
    let evaluation = Dataset::uniform(&layout, UNIT, 512, 2);
    let [live, mixed] = [&pair.live, &pair.mixed].map(|graph| {
        let calibration = match data_free {
            true => Calibration::Statistics(&[UNIT]),
            false => Calibration::Samples(&calibration),
        };
        pipeline::quantize(graph, calibration, recipe, &mut Silent)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
    });
    let outputs = [&pair.live, &pair.mixed, mixed.network.graph()]
        .map(|graph| forward(graph, &evaluation.inputs));
    for other in &outputs[1..] {
        let found = difference(other, &outputs[0]);
        assert!(found < 1e-5, "seed {seed}: outputs differ by {found}");
    }
    // A search for the best scales ends where it is good enough, which need not be the same place to the last digit.
    let searched = recipe.passes.equalize == Equalize::Full;
    compare(
        seed,
        &pair,
        &live,
        &mixed,
        if searched { SEARCHED } else { EXACT },
    );
    let [live, mixed] = [(&pair.live, &live), (&pair.mixed, &mixed)].map(|(float, quantized)| {
        let now = Instant::now();
        let report = pipeline::evaluate(float, quantized, &evaluation, recipe, now, &mut Silent)
            .expect("runs");
        [report.simulated, report.integer].map(|accuracy| accuracy.sqnr_db.expect("measured"))
    });
    for (live, mixed) in live.iter().zip(mixed) {
        assert!((live - mixed).abs() < 0.1, "seed {seed}: {live} {mixed} dB");
    }
}

/// Largest relative differences of scales of weights and of activations, and of zero points.
#[derive(Clone, Copy)]
struct Tolerance {
    weights: f64,
    activations: f32,
    zero_point: i32,
}

const EXACT: Tolerance = Tolerance {
    weights: 1e-6,
    activations: 3e-6,
    zero_point: 0,
};

const SEARCHED: Tolerance = Tolerance {
    weights: 0.02,
    activations: 0.02,
    zero_point: 1,
};

fn compare(seed: u64, pair: &Pair, live: &Quantized, mixed: &Quantized, most: Tolerance) {
    assert_eq!(
        live.network.graph().nodes.len(),
        mixed.network.graph().nodes.len()
    );
    for (id, node) in live.network.graph().nodes.enumerate() {
        let (Some(live), Some(mixed)) = (
            live.network.weights().of(id),
            mixed.network.weights().of(id),
        ) else {
            continue;
        };
        let alive = mixed.scales.iter().zip(&pair.alive[&node.name]);
        let scales = alive.filter(|&(_, &alive)| alive).map(|(scale, _)| scale);
        for (found, expected) in scales.zip(&live.scales) {
            let name = &node.name;
            assert!(
                (found / expected - 1.0).abs() < most.weights,
                "seed {seed}, weights of {name}: {found} {expected}"
            );
        }
    }
    for (id, tensor) in live.network.graph().tensors.enumerate() {
        let (found, expected) = (
            mixed.network.encodings().of(id),
            live.network.encodings().of(id),
        );
        let name = &tensor.name;
        assert!(
            (found.scale / expected.scale - 1.0).abs() < most.activations
                && (found.zero_point - expected.zero_point).abs() <= most.zero_point,
            "seed {seed}, {name}: {found:?} {expected:?}"
        );
    }
}

fn check_all(recipe: &Recipe, data_free: bool) {
    (0..seeds())
        .into_par_iter()
        .for_each(|seed| check(seed, recipe, data_free));
}

#[test]
fn rows_with_scales_of_their_own() {
    check_all(&plain(Granularity::PerChannel), false);
}

#[test]
fn one_scale_a_tensor() {
    check_all(&plain(Granularity::PerTensor), false);
}

#[test]
fn every_way_to_find_the_range_of_weights() {
    for range in [
        RangeMethod::Percentile,
        RangeMethod::Mse,
        RangeMethod::Sqnr,
        RangeMethod::Entropy,
    ] {
        let mut recipe = plain(Granularity::PerTensor);
        recipe.weights.range = range;
        recipe.weights.bits = WeightBits::Int4;
        check_all(&recipe, false);
    }
}

#[test]
fn equalized() {
    for granularity in [Granularity::PerChannel, Granularity::PerTensor] {
        let mut recipe = plain(granularity);
        recipe.passes.equalize = Equalize::Full;
        check_all(&recipe, false);
    }
}

#[test]
fn without_samples() {
    for granularity in [Granularity::PerChannel, Granularity::PerTensor] {
        check_all(&plain(granularity), true);
    }
}

/// Float outputs of real networks stay, on images and on noise, and the constants that are known to be there are found.
#[test]
fn real_networks_compute_what_they_did() {
    let all = [
        (Net::Digits, 0),
        (Net::Vww, 1634),
        (Net::MobilenetV1, 20),
        (Net::EfficientnetLite0, 130),
        (Net::Resnet8, 0),
        (Net::Kws, 0),
    ];
    for (net, constants) in all.into_iter().take(sampled(all.len(), 2)) {
        let Some(network) = network(net) else {
            models::skipped();
            continue;
        };
        let elements = network.evaluation.elements();
        let mut images = network.evaluation.inputs;
        images.truncate(4 * elements);
        keeps(
            net.name(),
            &network.float,
            &network.recipe,
            &images,
            constants,
        );
    }
}

/// MobileNetV2, whose dead channels in front have depthwise weights 15 times as large as live ones.
#[test]
fn mobilenet_v2_computes_what_it_did() {
    let file = "mobilenetv2_cifar/mobilenetv2_cifar_float.onnx";
    let (Some(path), Some(images)) = (models::find(file), network(Net::Vww)) else {
        return models::skipped();
    };
    let float = import::load(&path, &ImportOptions::default()).expect("imports");
    let elements = images.evaluation.elements();
    // The same images, scaled to -1..1.
    let images: Vec<f32> = (images.evaluation.inputs[..4 * elements].iter())
        .map(|x| 2.0 * x - 1.0)
        .collect();
    let mut recipe = Recipe::default();
    recipe.input.divisor = 127.5;
    recipe.input.mean = vec![1.0];
    recipe.input.range = Some([0.0, 255.0]);
    keeps("mobilenet_v2", &float, &recipe, &images, 20);
}

/// Runs the passes up to the folding of constants and with it, and compares what the network computes.
fn keeps(name: &str, float: &Graph, recipe: &Recipe, images: &[f32], constants: usize) {
    let passes = passes::float_passes(recipe);
    let last = passes
        .iter()
        .position(|pass| pass.name() == "fold-constant-channels");
    let last = last.expect("among them");
    let mut before = float.clone();
    passes::run(&passes[..last], &mut before).expect("folds");
    let mut after = before.clone();
    let reports = passes::run(&passes[last..=last], &mut after).expect("folds");
    println!("{name}: {:?}", reports[0].notes);
    let elements = before.tensors[before.inputs[0].tensor].elements();
    let range = recipe.input.real_range().expect("known");
    let noise = Dataset::uniform_noise(4, elements, range.min, range.max, 3);
    for inputs in [images, &noise.inputs] {
        let found = difference(&forward(&after, inputs), &forward(&before, inputs));
        assert!(found < 1e-5, "{name}: outputs differ by {found}");
    }
    let zero = |graph: &Graph| -> usize {
        let layers = graph.nodes.iter().filter_map(|node| node.op.linear());
        layers
            .map(|layer| {
                layer
                    .rows()
                    .filter(|row| row.iter().all(|&w| w == 0.0))
                    .count()
            })
            .sum()
    };
    assert!(zero(&after) >= constants, "{name}: {}", zero(&after));
}
