//! Tests of the walk: corrections take effect in the layers behind them.

use super::*;
use crate::dataset::InputLayout;
use crate::default_model;
use crate::executor::Executor;
use crate::graph::{TensorId, TensorMap};
use crate::import::ImportOptions;
use crate::progress::Silent;
use crate::ptq::calibrate;
use crate::ptq::passes;
use crate::quantize::simulation_graph;
use crate::range::RangeOptions;
use crate::recipe::RoundingMethod;
use crate::recipe::WeightBits;

/// The built-in network, its encodings and a few of its samples.
fn network(recipe: &Recipe) -> (Graph, Encodings, Dataset) {
    let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
    passes::run(&passes::float_passes(recipe), &mut graph).expect("runs");
    let layout = InputLayout::of(&graph).expect("one input");
    let input = default_model::recipe().expect("built in").input;
    let samples = default_model::calibration(&layout, &input)
        .expect("built in")
        .thinned(24);
    let ranges =
        calibrate::observe(&graph, &samples, RangeOptions::default(), &mut Silent).expect("finite");
    let encodings = Encodings::choose(&graph, &ranges).expect("chosen");
    (graph, encodings, samples)
}

fn plain() -> Recipe {
    let mut recipe = Recipe::default();
    recipe.weights.bits = WeightBits::Int4;
    recipe.weights.scale_search = false;
    recipe.rounding.method = RoundingMethod::Nearest;
    recipe.passes.bias_correction = BiasCorrection::Off;
    recipe
}

fn optimized(recipe: &Recipe) -> (Graph, Encodings, Dataset, NetworkWeights) {
    let (graph, encodings, samples) = network(recipe);
    let mut weights = NetworkWeights::nearest(&graph, &encodings, recipe).expect("finite");
    optimize(
        &graph,
        &encodings,
        &mut weights,
        &samples,
        None,
        recipe,
        &mut Silent,
    )
    .expect("runs");
    (graph, encodings, samples, weights)
}

#[test]
fn nothing_asked_for_nothing_changed() {
    let recipe = plain();
    let (graph, encodings, _, weights) = optimized(&recipe);
    assert_eq!(
        weights,
        NetworkWeights::nearest(&graph, &encodings, &recipe).expect("finite")
    );
}

/// The whole quantized network runs, and every layer without an activation has the float network's means.
#[test]
fn means_agree_in_the_whole_network_after_correction() {
    let mut recipe = plain();
    recipe.passes.bias_correction = BiasCorrection::Empirical;
    let (graph, encodings, samples, weights) = optimized(&recipe);
    let bare = |tensor: TensorId| {
        graph.producer(tensor).is_some_and(|node| {
            graph.nodes[node].op.linear().is_some() && graph.nodes[node].activation.is_none()
        })
    };
    let means = |graph: &Graph, quantized: bool| {
        let mut sums: TensorMap<Vec<f64>> =
            graph.tensors.map(|tensor| vec![0.0; tensor.channels()]);
        let mut hook = |tensor: TensorId, values: &mut [f32]| {
            let channels = sums[tensor].len();
            for pixel in values.chunks_exact(channels) {
                for (sum, value) in sums[tensor].iter_mut().zip(pixel) {
                    *sum += f64::from(*value);
                }
            }
            if quantized {
                encodings.fake_quantize(tensor, values);
            }
        };
        let executor = Executor::new(graph).expect("sound");
        executor
            .run(&samples.inputs, samples.samples, &mut hook)
            .expect("runs");
        for (tensor, sums) in graph.tensors.iter().zip(&mut sums) {
            let count = samples.samples * tensor.elements() / tensor.channels();
            sums.iter_mut().for_each(|sum| *sum /= count as f64);
        }
        sums
    };
    let float = means(&graph, false);
    let quantized = means(&simulation_graph(&graph, &weights), true);
    let mut compared = 0;
    for tensor in graph.tensors.ids().filter(|&tensor| bare(tensor)) {
        let step = f64::from(encodings.of(tensor).scale);
        for (float, quantized) in float[tensor].iter().zip(&quantized[tensor]) {
            assert!(
                (float - quantized).abs() < 1e-2 * step,
                "{float} {quantized}, step {step}"
            );
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}
