//! Small models as other tools export them: the value or the refusal.
//!
//! `tests/cases/NAME/model.onnx`; beside it, where the model is taken, `data.npz` with inputs `x` and what onnxruntime makes of them, `expected`.

use std::fs::File;
use std::path::{Path, PathBuf};

use fewbit::dataset::{Dataset, OutputForm};
use fewbit::executor::Executor;
use fewbit::graph::Graph;
use fewbit::import::{self, ImportOptions};
use fewbit::measure::simulate::Simulator;
use fewbit::metrics::Sqnr;
use fewbit::pipeline::{Calibration, Quantized, quantize};
use fewbit::progress::Silent;
use fewbit::range::Range;
use fewbit::recipe::Recipe;
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

fn folder(name: &str) -> PathBuf {
    Path::new("cases").join(name)
}

fn load(name: &str) -> Result<Graph, import::ImportError> {
    load_to(name, None)
}

fn load_to(name: &str, output: Option<&str>) -> Result<Graph, import::ImportError> {
    let options = ImportOptions {
        output: output.map(str::to_owned),
    };
    import::load(&folder(name).join("model.onnx"), &options)
}

/// Inputs of a case, sample after sample as the graph has them, their number, and what onnxruntime makes of them.
fn data(name: &str, graph: &Graph) -> (Vec<f32>, usize, ArrayD<f32>) {
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
    (x.iter().copied().collect(), samples, expected)
}

/// Output of the network for a case's inputs in the file's own order, with the shape of that array, and the expected output.
fn run(name: &str, graph: &Graph) -> (Vec<f32>, Vec<usize>, ArrayD<f32>) {
    let (x, samples, expected) = data(name, graph);
    let found = Executor::new(graph).unwrap().forward(&x, samples).unwrap();
    let layout = graph.output_layout(0);
    let form = OutputForm::of(graph);
    let found = layout.with_batch_in_place(samples, form.in_file_order(&found));
    (found, layout.batched_shape(samples), expected)
}

#[track_caller]
fn agrees(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found - expected).abs();
        assert!(
            off <= 1e-5 * expected.abs().max(1.0),
            "{name}: {found} at {index}, expected {expected}"
        );
    }
}

/// Runs the model over its data: shape, order and values are onnxruntime's.
#[track_caller]
fn gives(name: &str) {
    let graph = load(name).unwrap_or_else(|error| panic!("{error}"));
    let (found, shape, expected) = run(name, &graph);
    assert_eq!(shape, expected.shape(), "{name}");
    let expected: Vec<f32> = expected.iter().copied().collect();
    agrees(name, &found, &expected);
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
        "int4_stored_weights",
        "int8_stored_weights",
        "matmul_constant_left",
        "matmul_weights_unit_axis",
        "maxpool_ceil_small_input",
        "maxpool_ceil_window_in_padding",
        "maxpool_dilated",
        "model_local_function",
        "opset10_forms",
        "opset22_plain_conv",
        "opset7_forms",
        "opset8_forms",
        "opset9_forms",
        "output_with_moved_batch",
        "pools_dilated",
        "softmax_many_classes",
        "softmax_reshaped",
        "sum_of_two",
    ] {
        gives(name);
    }
}

/// The batch of 1 goes through a reshape and a transpose into the channels. Slice is not there yet; it takes the first half.
#[test]
fn a_batch_of_one_is_an_axis_like_any_other() {
    let name = "shuffle_through_batch_axis";
    let graph = load_to(name, Some("d")).unwrap_or_else(|error| panic!("{error}"));
    let (found, shape, expected) = run(name, &graph);
    assert_eq!(shape, [2, 1, 4, 6, 6]);
    let expected: Vec<f32> = expected.iter().copied().collect();
    agrees(name, &found[..found.len() / 2], &expected);
    refuses(name, &["`e` (Slice)"]);
}

fn quantize_with(graph: &Graph, data: Dataset) -> Quantized {
    let calibration = Calibration::Samples(&data);
    quantize(graph, calibration, &Recipe::default(), &mut Silent).expect("quantizes")
}

/// The integer network's SQNR, in decibels, against `expected` in the file's own order.
fn sqnr_of(graph: &Graph, quantized: &Quantized, inputs: &[f32], expected: &[f32]) -> f64 {
    let simulator = Simulator::new(quantized.blob.as_bytes()).expect("loads");
    let bytes = simulator.run(&simulator.quantize_inputs(inputs), None);
    let encoding = simulator.output_encoding();
    let real: Vec<f32> = (bytes.expect("runs").output.iter())
        .map(|&byte| encoding.dequantize(byte))
        .collect();
    let mut sqnr = Sqnr::default();
    // The blob holds the model's layout.
    let form = simulator.output_form();
    assert_eq!(form, OutputForm::of(graph));
    let layout = form.layout.as_ref().expect("in the blob");
    let samples = real.len() / form.elements();
    let found = layout.with_batch_in_place(samples, form.in_file_order(&real));
    sqnr.add(expected, &found);
    sqnr.db().unwrap_or(f64::INFINITY)
}

/// A case's network in integers: their SQNR against onnxruntime, and what a user is told.
fn quantized(name: &str) -> (f64, Vec<String>) {
    let graph = load(name).unwrap_or_else(|error| panic!("{error}"));
    let (inputs, samples, expected) = data(name, &graph);
    let quantized = quantize_with(
        &graph,
        Dataset {
            inputs: inputs.clone(),
            samples,
            labels: None,
            targets: None,
        },
    );
    let expected: Vec<f32> = expected.iter().copied().collect();
    let sqnr = sqnr_of(&graph, &quantized, &inputs, &expected);
    (sqnr, quantized.notes)
}

/// A blob stores its model's axes, and which of them is the batch.
#[test]
fn a_blob_has_the_layout_of_its_model() {
    for name in ["output_with_moved_batch", "opset22_plain_conv"] {
        let (sqnr, notes) = quantized(name);
        assert!(sqnr > 30.0, "{name}: {sqnr} dB, {notes:?}");
    }
}

/// On the device too, all kinds of padding among them.
#[test]
fn dilated_pools_keep_their_accuracy() {
    for name in ["maxpool_dilated", "pools_dilated"] {
        let (sqnr, notes) = quantized(name);
        assert!(sqnr > 35.0, "{name}: {sqnr} dB, {notes:?}");
    }
}

/// Operators that only move a softmax's outputs keep their encoding, without the result's margin.
#[test]
fn a_softmax_may_be_reshaped_behind() {
    let (sqnr, notes) = quantized("softmax_reshaped");
    assert!(sqnr > 30.0, "{sqnr} dB, {notes:?}");
}

/// Outputs of 1e-20 have a scale as outputs of 1 have.
#[test]
fn tiny_outputs_keep_their_accuracy() {
    gives("tiny_range_becomes_zero");
    let (sqnr, notes) = quantized("tiny_range_becomes_zero");
    assert!(sqnr > 35.0, "{sqnr} dB, {notes:?}");
}

/// The device's usual softmax has steps of 1/256; samples say that finer ones serve. The second sample had no part in that.
#[test]
fn a_softmax_over_many_classes_keeps_its_accuracy() {
    let graph = load("softmax_many_classes").unwrap_or_else(|error| panic!("{error}"));
    let classes = graph.inputs[0].source_shape.iter().product::<usize>();
    // The classes' inputs in other orders make samples like the case's own, and none that is the same.
    let (inputs, samples, expected) = data("softmax_many_classes", &graph);
    assert_eq!(samples, 2);
    let turned = |by: usize| (0..classes).map(move |k| (k * by) % classes);
    let calibrating = [7, 11, 13].map(|by| turned(by).map(|k| inputs[k]).collect::<Vec<_>>());
    let found = quantize_with(
        &graph,
        Dataset {
            inputs: calibrating.concat(),
            samples: calibrating.len(),
            labels: None,
            targets: None,
        },
    );
    let is_named = |note: &String| note.contains("`y`") && note.contains("steps from 0 to 1");
    assert!(found.notes.iter().any(is_named), "{:?}", found.notes);
    let expected: Vec<f32> = expected.iter().copied().collect();
    let held_out = &inputs[classes..];
    let sqnr = sqnr_of(&graph, &found, held_out, &expected[classes..]);
    assert!(sqnr > 30.0, "{sqnr} dB");
}

/// Made up samples do not tell how large probabilities become.
#[test]
fn a_softmax_of_which_little_is_left_is_named() {
    let graph = load("softmax_many_classes").unwrap_or_else(|error| panic!("{error}"));
    let ranges = [Range {
        min: -4.0,
        max: 4.0,
    }];
    let calibration = Calibration::Statistics(&ranges);
    let found = quantize(&graph, calibration, &Recipe::default(), &mut Silent).expect("quantizes");
    // It reads the network's input, with which the network cannot end.
    let is_named = |note: &String| {
        note.contains("`y`")
            && note.contains("calibrate with samples")
            && !note.contains("--output-tensor")
    };
    assert!(found.notes.iter().any(is_named), "{:?}", found.notes);
}

#[test]
fn what_is_not_taken_is_refused_by_name_and_for_the_true_reason() {
    refuses(
        "bn_training_outputs",
        &["`y` (BatchNormalization)", "training", "model.eval()"],
    );
    refuses("split_channels", &["(Split)", "not supported"]);
    refuses("f_gru", &["(GRU)", "recurrence"]);
    refuses("infinite_weight", &["`g1` (Gemm)", "infinity at index 1"]);
    refuses("g_two_out", &["class, value", "--output-tensor"]);
}
