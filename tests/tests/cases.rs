//! Small models as other tools export them: the value or the refusal.
//!
//! `tests/cases/NAME/model.onnx`; beside it, where the model is taken, `data.npz` with inputs `x` and what onnxruntime makes of them, `expected`.

use std::fs::File;
use std::path::PathBuf;

use fewbit::executor::Executor;
use fewbit::graph::Graph;
use fewbit::import::{self, ImportOptions};
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("cases")
        .join(name)
}

fn load(name: &str) -> Result<Graph, import::ImportError> {
    import::load(&folder(name).join("model.onnx"), &ImportOptions::default())
}

/// Images and sequences channels-last, as the executor has them.
fn channels_last(array: ArrayD<f32>) -> Vec<f32> {
    let array = match array.ndim() {
        4 => array.permuted_axes(&[0, 2, 3, 1][..]),
        _ => array,
    };
    array.iter().copied().collect()
}

/// Runs the model over its data. `output` puts the expected array into the order of the graph's output.
#[track_caller]
fn gives(name: &str, output: fn(ArrayD<f32>) -> Vec<f32>) {
    let graph = load(name).unwrap_or_else(|error| panic!("{error}"));
    let mut data = NpzReader::new(File::open(folder(name).join("data.npz")).unwrap()).unwrap();
    let x: ArrayD<f32> = data.by_name("x").unwrap();
    let expected: ArrayD<f32> = data.by_name("expected").unwrap();
    let samples = x.shape()[0];
    let [input] = &graph.inputs[..] else {
        panic!("{name} has one input");
    };
    // A stored input has the file's axes in an order of its own.
    let axes: Vec<usize> = [0]
        .into_iter()
        .chain(input.source_axes.iter().map(|axis| axis + 1))
        .collect();
    let mut shape = vec![samples];
    shape.extend(&input.source_shape);
    let x = x.to_shape(shape).unwrap().to_owned().permuted_axes(axes);
    let x: Vec<f32> = x.iter().copied().collect();
    let found = Executor::new(&graph).unwrap().forward(&x, samples).unwrap();
    let expected = output(expected);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= 1e-5 * expected.abs().max(1.0),
            "{name}: {found} at {index}, expected {expected}"
        );
    }
}

#[track_caller]
fn refuses(name: &str, parts: &[&str]) {
    let message = load(name).expect_err("is refused").to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing: {message}");
    }
}

#[test]
fn what_exporters_write_gives_what_onnxruntime_gives() {
    for name in [
        "if_constant_condition",
        "int8_stored_weights",
        "matmul_weights_unit_axis",
        "maxpool_ceil_small_input",
        "maxpool_ceil_window_in_padding",
        "model_local_function",
        "opset22_plain_conv",
        "opset7_forms",
        "opset8_forms",
        "opset9_forms",
        "sum_of_two",
    ] {
        gives(name, channels_last);
    }
}

/// A softmax over all that follows the batch needs the file's order, and leaves it.
#[test]
fn the_forms_of_opset_10_give_what_onnxruntime_gives() {
    gives("opset10_forms", |expected| {
        expected.iter().copied().collect()
    });
}

/// Rows become columns, which is the order that the next layer wants.
#[test]
fn a_constant_may_stand_to_the_left() {
    gives("matmul_constant_left", |expected| {
        expected
            .permuted_axes(&[0, 2, 1][..])
            .iter()
            .copied()
            .collect()
    });
}

#[test]
fn what_is_not_taken_is_refused_by_name_and_for_the_true_reason() {
    refuses(
        "bn_training_outputs",
        &["`y` (BatchNormalization)", "training", "model.eval()"],
    );
    refuses("maxpool_dilated", &["`y` (MaxPool)", "dilations", "[3, 3]"]);
    refuses("split_channels", &["(Split)", "not supported"]);
    refuses("f_gru", &["(GRU)", "recurrence"]);
    refuses("infinite_weight", &["`g1` (Gemm)", "infinity at index 1"]);
    refuses("g_two_out", &["class, value", "--output-tensor"]);
}
