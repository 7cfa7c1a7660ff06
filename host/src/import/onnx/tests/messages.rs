//! The table of messages: every refusal, one line, as a person reads it.
//!
//! `FEWBIT_BLESS=1` writes the table anew; what changed in it is for the reviewer to read.

use std::error::Error;
use std::path::Path;

use super::super::ops::with_way_out;
use super::*;

/// A network of one node over an image, with some constants at hand.
fn one(op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> Model {
    Model::new(&[2, 5, 5])
        .weights("w", &[4, 2, 3, 3])
        .weights("m", &[5, 3])
        .floats("k", &[2], &[1.0, 2.0])
        .floats("negative", &[2], &[-1.0, -2.0])
        .floats("two", &[], &[2.0])
        .floats("zero", &[], &[0.0])
        .floats("nan", &[], &[f32::NAN])
        .floats("wrong", &[7], &[1.0; 7])
        .ints("yes", &[1])
        .ints("shape", &[4, -1])
        .ints("crop", &[0, 0, -1, 0, 0, 0, 0, 0])
        .node(op, inputs, "y", attributes)
}

fn of_domain(domain: &str, op: &str) -> Model {
    let mut model = one(op, &["x"], vec![]);
    model.graph().node[0].domain = domain.to_owned();
    model
}

fn refusals() -> Vec<Model> {
    let image = |op: &str, attributes| one(op, &["x"], attributes);
    let pool = |attributes: Vec<AttributeProto>| {
        let kernel = vec![ints("kernel_shape", &[2, 2])];
        image("MaxPool", [kernel, attributes].concat())
    };
    let conv = |attributes| one("Conv", &["x", "w"], attributes);
    let norm = |variance: &str, attributes| {
        let inputs = ["x", "k", "k", "k", variance];
        one("BatchNormalization", &inputs, attributes)
    };
    let vector = |op: &str, inputs: &[&str], attributes| {
        Model::new(&[3])
            .weights("v", &[4])
            .node(op, inputs, "y", attributes)
    };
    let mut refusals: Vec<Model> = with_way_out().map(|op| image(op, vec![])).collect();
    refusals.extend([
        image("Bogus", vec![]),
        of_domain("ai.onnx.ml", "Scaler"),
        of_domain("ai.onnx.ml", "ZipMap"),
        of_domain("ai.onnx.ml", "TreeEnsemble"),
        of_domain("com.microsoft", "DequantizeLinear"),
        of_domain("com.microsoft", "FusedConv"),
        of_domain("com.example", "Own"),
        image("Relu", vec![]).opset(6),
        image("Relu", vec![]).opset(25),
        image("HardSwish", vec![]).opset(13),
        image("Relu", vec![int("surprise", 1)]),
        image("LeakyRelu", vec![int("alpha", 1)]),
        image("LeakyRelu", vec![float("alpha", f32::INFINITY)]),
        image("LeakyRelu", vec![float("alpha", 1.0), float("alpha", 1.0)]),
        image("Dropout", vec![float("ratio", 0.5)]),
        one("Dropout", &["x", "two", "yes"], vec![]),
        one("Relu", &["x", "x"], vec![]),
        one("Add", &["x", "wrong"], vec![]),
        one("Add", &["x", "nan"], vec![]),
        one("Add", &["x", "nowhere"], vec![]),
        one("Add", &["x", "y"], vec![]),
        one("Div", &["x", "zero"], vec![]),
        one("Div", &["x", "x"], vec![]),
        one("Div", &["two", "x"], vec![]),
        one("Clip", &["x", "two", "zero"], vec![]),
        one("Clip", &["x", "x"], vec![]),
        one("PRelu", &["x", "m"], vec![]),
        one("MatMul", &["x", "x"], vec![]),
        one("MatMul", &["x", "w"], vec![]),
        one("MatMul", &["x", "k"], vec![]),
        vector("Gemm", &["x", "v"], vec![]),
        vector("Gemm", &["x", "x"], vec![]),
        vector("Gemm", &["x", "v"], vec![int("transA", 1)]),
        conv(vec![int("group", 2)]),
        conv(vec![ints("kernel_shape", &[5, 5])]),
        conv(vec![ints("strides", &[0, 1])]),
        conv(vec![ints("dilations", &[4, 4])]),
        conv(vec![string("auto_pad", "SAME")]),
        one("Conv", &["x", "x"], vec![]),
        one("Conv", &["x", "w", "k"], vec![]),
        image("MaxPool", vec![]),
        pool(vec![ints("pads", &[2, 2, 2, 2])]),
        vector("MaxPool", &["x"], vec![ints("kernel_shape", &[2])]),
        image(
            "AveragePool",
            vec![
                ints("kernel_shape", &[2, 2]),
                ints("strides", &[2, 2]),
                int("ceil_mode", 1),
                int("count_include_pad", 1),
            ],
        ),
        norm("k", vec![int("training_mode", 1)]),
        norm("k", vec![int("spatial", 0)]).opset(8),
        norm("negative", vec![]),
        image("Softmax", vec![int("axis", 0)]),
        image("Softmax", vec![int("axis", 4)]),
        image("ReduceMean", vec![]),
        image("Flatten", vec![int("axis", 2)]),
        one("Reshape", &["x", "shape"], vec![]),
        image("Transpose", vec![ints("perm", &[0, 1, 1, 2])]),
        image("Cast", vec![int("to", 7)]),
        image("Identity", vec![]),
        one("Concat", &["x", "x"], vec![int("axis", 0)]),
        one("Concat", &["x", "k"], vec![int("axis", 1)]),
        one("Pad", &["x", "crop"], vec![]),
        one("Pad", &["x", "crop"], vec![string("mode", "reflect")]),
        one("If", &["x"], vec![]),
        one("Identity", &["k"], vec![]),
    ]);
    refusals
}

#[test]
fn every_message_is_in_the_table() {
    let mut text = String::new();
    for model in refusals() {
        let error = model.try_import().expect_err("is refused");
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        // Who prints the chain of causes says nothing twice.
        let mut cause = error.source();
        while let Some(inner) = cause {
            assert!(!message.contains(&inner.to_string()), "{message}");
            cause = inner.source();
        }
        let whole = message
            .strip_prefix("import of `net.onnx`: ")
            .expect("the file is named");
        for (index, clause) in whole.split("; ").enumerate() {
            let again = whole
                .split("; ")
                .skip(index + 1)
                .any(|other| other == clause);
            assert!(!again, "{message}");
        }
        text.push_str(whole);
        text.push('\n');
    }
    let path = Path::new("src/import/onnx/tests/messages.txt");
    if std::env::var_os("FEWBIT_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let table = std::fs::read_to_string(path).unwrap();
    for (found, expected) in text.lines().zip(table.lines()) {
        assert_eq!(found, expected, "FEWBIT_BLESS=1 renews {}", path.display());
    }
    assert_eq!(text.lines().count(), table.lines().count());
}
