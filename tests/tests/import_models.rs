//! Real ONNX models come out as expected.

use fewbit::graph::{Graph, Op};
use fewbit::import::{self, ImportOptions};
use fewbit_tests::models;

fn import(file: &str, output: Option<&str>) -> Option<Graph> {
    let path = models::find(file)?;
    let options = ImportOptions {
        output: output.map(str::to_owned),
    };
    let graph = import::load(&path, &options).unwrap_or_else(|error| panic!("{error}"));
    graph.validate().unwrap();
    for node in &graph.nodes {
        assert!(
            !matches!(node.op, Op::Transpose { .. }),
            "{file}: transpose `{}`",
            node.name
        );
    }
    Some(graph)
}

/// File, nodes, multiply-accumulates, shape of the input and of the output.
const MODELS: &[(&str, usize, u64, &[usize], usize)] = &[
    (
        "resnet8/resnet8_float.onnx",
        30,
        12_501_632,
        &[32, 32, 3],
        10,
    ),
    ("kws/kws_float.onnx", 22, 2_656_768, &[49, 10, 1], 12),
    ("vww/vww_float.onnx", 85, 7_489_664, &[96, 96, 3], 2),
    ("ad/ad_float.onnx", 28, 264_192, &[640], 640),
    ("ad/ad_float_nobias.onnx", 28, 264_192, &[640], 640),
    (
        "digits/digits_imbalanced.onnx",
        52,
        1_866_176,
        &[16, 16, 1],
        10,
    ),
    (
        "mobilenet_v1_025_224/mobilenet_v1_025_224_float.onnx",
        85,
        41_030_272,
        &[224, 224, 3],
        1000,
    ),
    (
        "efficientnet_lite0/efficientnet_lite0_float.onnx",
        143,
        385_187_552,
        &[224, 224, 3],
        1000,
    ),
];

#[test]
fn every_model_has_the_expected_size() {
    for &(file, nodes, macs, input, classes) in MODELS {
        let Some(graph) = import(file, None) else {
            continue;
        };
        assert_eq!(graph.nodes.len(), nodes, "{file}");
        assert_eq!(graph.macs(), macs, "{file}");
        let [source] = &graph.inputs[..] else {
            panic!("{file}: {} inputs", graph.inputs.len());
        };
        assert_eq!(graph.tensors[source.tensor].shape, input, "{file}");
        if let &[h, w, c] = input {
            assert_eq!(source.source_shape, [c, h, w], "{file}");
            assert_eq!(source.source_axes, [1, 2, 0], "{file}");
        }
        assert_eq!(graph.tensors[graph.outputs[0]].shape, [classes], "{file}");
    }
}

#[test]
fn the_logits_can_be_the_output() {
    for (file, logits, last) in [
        ("resnet8/resnet8_float.onnx", "dense", "fully_connected"),
        (
            "mobilenet_v1_025_224/mobilenet_v1_025_224_float.onnx",
            "reshape_2",
            "reshape",
        ),
    ] {
        let (Some(whole), Some(cut)) = (import(file, None), import(file, Some(logits))) else {
            continue;
        };
        assert_eq!(cut.nodes.len(), whole.nodes.len() - 1, "{file}");
        assert_eq!(cut.tensors[cut.outputs[0]].name, logits);
        assert_eq!(cut.nodes.last().unwrap().op.kind(), last);
    }
}

#[test]
fn parameters_keep_their_values() {
    let Some(graph) = import("digits/digits_imbalanced.onnx", None) else {
        return;
    };
    let norms = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::BatchNorm(_)))
        .count();
    assert_eq!(norms, 17);
    for node in &graph.nodes {
        if let Op::BatchNorm(norm) = &node.op {
            assert_eq!(norm.epsilon, 1e-5, "{}", node.name);
            assert!(norm.variance.iter().all(|&v| v > 0.0), "{}", node.name);
        }
    }
}

/// Damaged copies of a real model: nothing may panic, hang or take absurd amounts of memory.
#[test]
fn damaged_files_are_refused_or_read() {
    let Some(path) = models::find("digits/digits_imbalanced.onnx") else {
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    let import = |bytes: &[u8]| {
        let result = import::onnx::from_bytes("damaged", bytes, &ImportOptions::default());
        if let Ok(graph) = &result {
            graph.validate().unwrap();
        }
        result
    };
    import(&bytes).unwrap();
    for cut in (0..bytes.len()).step_by(97) {
        assert!(import(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    // Most of the file is weights, so half of the flips aim at what is not: the parts of the file that are text-like or small.
    let structure: Vec<usize> = (0..bytes.len())
        .filter(|&index| {
            let around = &bytes[index.saturating_sub(4)..(index + 5).min(bytes.len())];
            around.iter().filter(|byte| **byte < 0x7f).count() >= 8
        })
        .collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut refused = 0;
    for round in 0..4000 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + round % 3 {
            let index = match round % 2 {
                0 => random(bytes.len()),
                _ => structure[random(structure.len())],
            };
            damaged[index] ^= 1 << random(8);
        }
        refused += usize::from(import(&damaged).is_err());
    }
    assert!(
        (500..3900).contains(&refused),
        "{refused} of 4000 damaged files were refused"
    );
}

#[test]
fn random_bytes_are_refused() {
    let mut state = 1u32;
    for length in 0..2000 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let result = import::onnx::from_bytes("random", &bytes, &ImportOptions::default());
        assert!(result.is_err(), "{length} bytes");
    }
}
