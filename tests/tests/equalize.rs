//! Folding and equalization against AIMET, on the digits network.
//!
//! The references are the weights that aimet-onnx 2.42 makes of the same network, kept beside the real models.

use std::fs::File;

use fewbit::graph::{Graph, Op};
use fewbit::ptq::passes::{CrossLayerEqualization, FoldBatchNorm, FuseActivations, Pass};
use fewbit_tests::{digits, models};
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

/// Weights and biases of a reference, in the order of the network: names end in `.weight` or `.bias`, weights lie OIHW.
fn reference(file: &str) -> Option<Vec<(String, ArrayD<f32>)>> {
    let path = models::find(file)?;
    let mut reader = NpzReader::new(File::open(path).expect("opens")).expect("an archive");
    let names = reader.names().expect("names");
    Some(
        names
            .into_iter()
            .map(|name| {
                let array = reader.by_name(&name).expect("an array");
                (name.trim_end_matches(".npy").to_owned(), array)
            })
            .collect(),
    )
}

fn check(graph: &Graph, file: &str) {
    let Some(reference) = reference(file) else {
        return models::skipped();
    };
    let layers: Vec<_> = graph
        .nodes
        .iter()
        .filter(|node| node.op.linear().is_some())
        .collect();
    let weights: Vec<_> = reference
        .iter()
        .filter(|(name, _)| name.ends_with(".weight"))
        .collect();
    assert_eq!(layers.len(), weights.len());
    for (node, (name, expected)) in layers.iter().zip(weights) {
        let linear = node.op.linear().expect("a layer");
        let kernel = match &node.op {
            Op::Conv2d(conv) => conv.window.kernel,
            _ => [1, 1],
        };
        let [out, per_group] = [expected.shape()[0], expected.shape()[1]];
        let mut found = vec![0.0; expected.len()];
        for (place, value) in linear.weights.iter().enumerate() {
            // OHWI to OIHW.
            let (channel, rest) = (place % per_group, place / per_group);
            let (tap, row) = (
                rest % (kernel[0] * kernel[1]),
                rest / (kernel[0] * kernel[1]),
            );
            found[(row * per_group + channel) * kernel[0] * kernel[1] + tap] = *value;
        }
        assert_eq!(linear.out_channels, out, "{name}");
        assert_close(name, &found, expected);
        let bias = name.replace(".weight", ".bias");
        if let Some((_, expected)) = reference.iter().find(|(other, _)| *other == bias) {
            assert_close(&bias, &linear.bias, expected);
        }
    }
}

fn assert_close(name: &str, found: &[f32], expected: &ArrayD<f32>) {
    let largest = expected
        .iter()
        .fold(0.0_f32, |largest, x| largest.max(x.abs()));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(
            error <= 1e-6 * largest,
            "{name}: {found}, expected {expected}, largest {largest}"
        );
    }
}

fn folded() -> Graph {
    let mut graph = digits().float;
    FoldBatchNorm { into_layers: true }
        .run(&mut graph)
        .expect("folds");
    FuseActivations.run(&mut graph).expect("fuses");
    graph
}

#[test]
fn folded_weights_are_aimets() {
    check(&folded(), "digits/digits_bnfold_reference.npz");
}

#[test]
fn equalized_weights_are_aimets() {
    let mut graph = folded();
    let report = CrossLayerEqualization {
        aimet_compatible: true,
    }
    .run(&mut graph)
    .expect("runs");
    assert!(report.changed > 0);
    check(&graph, "digits/digits_cle_reference.npz");
}
