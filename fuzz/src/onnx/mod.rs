//! ONNX files: what is imported is sound, runs, and becomes a blob or an error.

mod corpus;
mod mutate;
#[allow(
    clippy::doc_markdown,
    missing_docs,
    unreachable_pub,
    reason = "the importer's own messages, which are generated"
)]
#[path = "../../../host/src/import/onnx/proto.rs"]
#[rustfmt::skip]
mod proto;
mod vocabulary;

use crate::{Outcome, Target, shape_of_message};
use fewbit::compile::HostModel;
use fewbit::executor::Executor;
use fewbit::graph::Graph;
use fewbit::import::{ImportOptions, onnx};
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::range::Range;
use fewbit::recipe::Equalize;
use fewbit::recipe::Recipe;
use fewbit::recipe::RoundingMethod;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The target.
pub const TARGET: Target = Target {
    name: "onnx",
    about: "import, the float executor, and the way to a blob",
    run,
    corpus: corpus::corpus,
    mutate: mutate::mutate,
    mend: |_| {},
    simpler: mutate::simpler,
    refusals: Vec::new,
};

/// Largest number of elements, and of multiply-accumulates, of a network that runs here.
const MOST_ELEMENTS: usize = 1 << 16;
const MOST_MACS: u64 = 1 << 18;

/// Those of one that is quantized.
const MOST_QUANTIZED: usize = 1 << 10;

/// Imports a file and, where it is accepted and small, runs and quantizes it.
///
/// # Panics
/// If something does not hold that should.
pub fn run(bytes: &[u8]) -> Outcome {
    let graph = match onnx::from_bytes("fuzz.onnx", bytes, &ImportOptions::default()) {
        Ok(graph) => graph,
        Err(error) => {
            assert!(error.to_string().starts_with("import of `fuzz.onnx`: "));
            let operator = error.place.op.as_deref().and_then(vocabulary::operator);
            let reason = shape_of_message(&error.kind.to_string());
            return Outcome::refused(reason, operator.map(|o| o.name).into_iter().collect());
        }
    };
    graph.validate().expect("an imported graph is valid");
    let elements: usize = graph.tensors.iter().map(|tensor| tensor.elements()).sum();
    let weights: usize = graph.nodes.iter().map(weights_of).sum();
    if elements <= MOST_ELEMENTS && weights <= MOST_ELEMENTS && graph.macs() <= MOST_MACS {
        execute(&graph);
    }
    if elements + weights <= MOST_QUANTIZED && graph.macs() <= MOST_QUANTIZED as u64 {
        quantize(&graph);
    }
    let mut hasher = DefaultHasher::new();
    let kinds: Vec<&'static str> = graph.nodes.iter().map(|node| node.op.kind()).collect();
    let mut distinct = kinds.clone();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.truncate(3);
    distinct.hash(&mut hasher);
    Outcome::accepted(kinds, hasher.finish())
}

fn weights_of(node: &fewbit::graph::Node) -> usize {
    node.op.linear().map_or(0, |linear| linear.weights.len())
}

/// The executor runs it, and each sample by itself gives what it gives among others.
fn execute(graph: &Graph) {
    let executor = Executor::new(graph).expect("a valid graph runs");
    let (inputs, outputs) = (executor.input_elements(), executor.output_elements());
    let mut rng = fastrand::Rng::with_seed(inputs as u64);
    let samples: Vec<f32> = (0..2 * inputs).map(|_| 4.0 * rng.f32() - 2.0).collect();
    let both = executor.forward(&samples, 2).expect("two samples");
    assert_eq!(both.len(), 2 * outputs);
    for (sample, expected) in samples
        .chunks(inputs.max(1))
        .zip(both.chunks(outputs.max(1)))
    {
        let one = executor.forward(sample, 1).expect("one sample");
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        // What is no number has no bits of its own.
        if one.iter().chain(expected).all(|x| !x.is_nan()) {
            assert_eq!(bits(&one), bits(expected), "a sample depends on others");
        }
    }
}

/// Quantization without samples gives a blob that loads, or an error.
fn quantize(graph: &Graph) {
    let range = Range {
        min: -2.0,
        max: 2.0,
    };
    let mut recipe = Recipe::default();
    recipe.input.range = Some([range.min, range.max]);
    recipe.weights.scale_search = false;
    recipe.passes.equalize = Equalize::Off;
    recipe.rounding.method = RoundingMethod::Nearest;
    recipe.data_free.samples = 2;
    let ranges = vec![range; graph.inputs.len()];
    let calibration = Calibration::Statistics(&ranges);
    match pipeline::quantize(graph, calibration, &recipe, &mut Silent) {
        Ok(quantized) => {
            let loaded = HostModel::from_bytes(quantized.blob.as_bytes());
            loaded.map(Box::new).expect("what was packed can be loaded");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
