//! The first files: the suites' cases, and each operator by itself.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use super::vocabulary::{Operator, operators};
use fastrand::Rng;
use fewbit::import::{ImportOptions, onnx};
use prost::Message as _;
use std::fs;

/// Forms of each operator that are tried.
const FORMS: u64 = 60;

/// Forms of each operator that are kept.
const KEPT: usize = 4;

/// All files.
pub(super) fn corpus() -> Vec<Vec<u8>> {
    let cases = crate::root().join("tests/cases");
    let mut paths: Vec<_> = fs::read_dir(cases)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("model.onnx")))
        .collect();
    paths.sort();
    let mut corpus: Vec<_> = paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect();
    for operator in operators() {
        let mut kept = 0;
        for seed in 0..FORMS {
            let mut rng = Rng::with_seed(seed);
            let bytes = single(&mut rng, operator).encode_to_vec();
            let options = ImportOptions::default();
            if kept < KEPT && onnx::from_bytes("single.onnx", &bytes, &options).is_ok() {
                kept += 1;
                corpus.push(bytes);
            }
        }
    }
    corpus
}

/// A tensor of floats, small numbers, or shapes.
pub(super) fn constant(rng: &mut Rng, name: &str) -> TensorProto {
    let shapes: [&[i64]; 12] = [
        &[],
        &[1],
        &[2],
        &[3],
        &[4],
        &[12],
        &[3, 1, 1],
        &[1, 3, 1, 1],
        &[4, 3, 1, 1],
        &[4, 3, 3, 3],
        &[3, 1, 3, 3],
        &[12, 5],
    ];
    let dims = shapes[rng.usize(0..shapes.len())].to_vec();
    let count = dims.iter().product::<i64>() as usize;
    let mut tensor = TensorProto {
        dims,
        name: name.to_owned(),
        ..TensorProto::default()
    };
    if rng.u8(0..3) < 2 {
        tensor.data_type = 1;
        tensor.float_data = (0..count).map(|_| 2.0 * rng.f32() - 1.0).collect();
    } else {
        tensor.data_type = 7;
        tensor.int64_data = (0..count).map(|_| rng.i64(-1..4)).collect();
    }
    tensor
}

/// An attribute with a value that is likely to be legal.
pub(super) fn attribute(rng: &mut Rng, name: &str, kind: i32) -> AttributeProto {
    let words = [
        "NOTSET",
        "SAME_UPPER",
        "VALID",
        "constant",
        "linear",
        "nearest",
        "none",
    ];
    AttributeProto {
        name: name.to_owned(),
        r#type: kind,
        i: rng.i64(-1..4),
        f: rng.f32(),
        s: words[rng.usize(0..words.len())].as_bytes().to_vec(),
        t: (kind == 4).then(|| constant(rng, "")),
        ints: (0..*crate::bytes::pick(rng, &[1, 2, 2, 4, 4]))
            .map(|_| rng.i64(0..4))
            .collect(),
        floats: (0..rng.usize(0..5)).map(|_| rng.f32()).collect(),
        ..AttributeProto::default()
    }
}

/// A value of this name and shape; a size of 0 stands for any.
fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dim = shape.iter().map(|&size| Dimension {
        value: Some(match size {
            0 => Value::DimParam("N".to_owned()),
            _ => Value::DimValue(size),
        }),
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(type_proto::Tensor {
                elem_type: 1,
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            }),
        }),
    }
}

/// A file with one operator over the input and constants.
fn single(rng: &mut Rng, operator: &Operator) -> ModelProto {
    let mut attributes = Vec::new();
    for &(name, kind) in &operator.attributes {
        if rng.u8(0..3) == 0 {
            attributes.push(attribute(rng, name, kind));
        }
    }
    let operands = operator.operands.min(6) + usize::from(rng.u8(0..4) == 0);
    let input = |index: usize| match index {
        0 => "x".to_owned(),
        _ => format!("c{index}"),
    };
    let node = NodeProto {
        input: (0..operands.max(1)).map(input).collect(),
        output: vec!["y".to_owned()],
        name: "n".to_owned(),
        op_type: operator.name.to_owned(),
        attribute: attributes,
        ..NodeProto::default()
    };
    let shape: &[i64] = [&[1, 3, 6, 6][..], &[0, 3, 5, 7], &[1, 12], &[0, 4, 6]][rng.usize(0..4)];
    let initializer = (1..operands).map(|index| constant(rng, &input(index)));
    let initializer = initializer.collect();
    ModelProto {
        ir_version: 8,
        graph: Some(GraphProto {
            node: vec![node],
            name: "g".to_owned(),
            initializer,
            input: vec![value("x", shape)],
            output: vec![value("y", &[])],
            ..GraphProto::default()
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: [9, 12, 17, 21][rng.usize(0..4)],
        }],
        ..ModelProto::default()
    }
}
