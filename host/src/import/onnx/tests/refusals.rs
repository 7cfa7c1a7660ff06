//! Refusals: messages name the file, the node and the way out.

use super::*;
use crate::import::ImportErrorKind;

/// Checks that the network is refused with a message that holds all of these.
#[track_caller]
fn refused(model: &Model, expected: &[&str]) {
    let message = model.refusal();
    for part in expected.iter().chain(&["import", "net.onnx"]) {
        assert!(message.contains(part), "`{part}` is missing: {message}");
    }
}

fn one(op: &str, attributes: Vec<AttributeProto>) -> Model {
    Model::new(&[3, 4, 5])
        .weights("w", &[2, 3, 3, 3])
        .weights("k", &[3])
        .node(op, &["x"], "y", attributes)
}

#[test]
fn operators_that_are_not_supported_have_a_way_out() {
    for (op, way_out) in [
        ("LSTM", "recurrence"),
        ("QuantizeLinear", "float model"),
        ("Resize", "enlarge"),
        ("LayerNormalization", "BatchNormalization"),
        ("Gelu", "HardSwish"),
        ("ArgMax", "choose an output before it"),
        ("Slice", "before it"),
        ("ReduceMax", "GlobalMaxPool"),
        ("Bogus", "convolutions"),
    ] {
        refused(&one(op, vec![]), &["y_node", op, "not supported", way_out]);
    }
    let mut foreign = one("FusedConv", vec![]);
    foreign.graph().node[0].domain = "com.example".to_owned();
    refused(&foreign, &["extension"]);
    foreign.graph().node[0].domain = "com.microsoft".to_owned();
    refused(&foreign, &["extension"]);
    for op in [
        "DequantizeLinear",
        "QuantizeLinear",
        "QLinearAdd",
        "QGemm",
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "MatMulBnb4",
    ] {
        foreign.graph().node[0].op_type = op.to_owned();
        refused(&foreign, &[op, "float model"]);
    }
}

#[test]
fn opsets_outside_the_range_are_refused() {
    for (opset, to) in [(0, 12), (6, 12), (25, 24), (-1, 12), (i64::MAX, 24)] {
        let model = one("Relu", vec![]).opset(opset);
        let convert = format!("convert_version(model, {to})");
        refused(&model, &["7 to 24", &convert]);
    }
    for opset in 7..=24 {
        one("Relu", vec![]).opset(opset).import();
    }
}

#[test]
fn attributes_are_checked() {
    let relu = one("Relu", vec![int("surprise", 1)]);
    refused(&relu, &["surprise"]);
    refused(
        &one("LeakyRelu", vec![int("alpha", 1)]),
        &["alpha", "float"],
    );
    let twice = vec![float("alpha", 1.0), float("alpha", 1.0)];
    refused(&one("LeakyRelu", twice), &["alpha", "twice"]);
    for (name, values) in [
        ("strides", &[0, 1][..]),
        ("strides", &[1]),
        ("dilations", &[-1, 1]),
        ("pads", &[-1, 0, 0, 0]),
        ("pads", &[i64::MAX; 4]),
        ("kernel_shape", &[3, 4]),
    ] {
        let model = Model::new(&[3, 4, 5]).weights("w", &[2, 3, 3, 3]).node(
            "Conv",
            &["x", "w"],
            "y",
            vec![ints(name, values)],
        );
        refused(&model, &[name]);
    }
    for values in [&[0, 3][..], &[3], &[-1, 2], &[i64::MAX, 1], &[9, 9]] {
        let model = one("MaxPool", vec![ints("kernel_shape", values)]);
        refused(&model, &["kernel"]);
    }
    refused(
        &one("Transpose", vec![ints("perm", &[0, 1, 1, 2])]),
        &["perm"],
    );
    refused(
        &one("Transpose", vec![ints("perm", &[0, 1, 2, -1])]),
        &["perm"],
    );
    refused(&one("Softmax", vec![int("axis", 4)]), &["axis 4"]);
    refused(&one("Softmax", vec![int("axis", i64::MIN)]), &["axis"]);
    let groups = |group| {
        Model::new(&[4, 4, 5]).weights("w", &[4, 2, 1, 1]).node(
            "Conv",
            &["x", "w"],
            "y",
            vec![int("group", group)],
        )
    };
    groups(2).import();
    for group in [0, -1, 1, 3, 4, i64::MAX] {
        refused(&groups(group), &["groups"]);
    }
}

#[test]
fn operands_must_fit() {
    let bias = Model::new(&[3, 4, 5])
        .weights("w", &[2, 3, 1, 1])
        .weights("b", &[3])
        .node("Conv", &["x", "w", "b"], "y", vec![]);
    refused(&bias, &["operand 2", "[2]"]);
    let dynamic = Model::new(&[3, 4, 5]).node("Conv", &["x", "x"], "y", vec![]);
    refused(&dynamic, &["must be constant"]);
    let shape = Model::new(&[3, 4])
        .weights("k", &[3])
        .node("Add", &["x", "k"], "y", vec![]);
    refused(&shape, &["[3]", "[1, 3, 4]"]);
    let outer = Model::new(&[3, 4])
        .node("Transpose", &["x"], "t", vec![ints("perm", &[0, 2, 1])])
        .node("Add", &["x", "t"], "y", vec![]);
    refused(&outer, &["combine"]);
    let divisor = Model::new(&[3]).node("Div", &["x", "x"], "y", vec![]);
    refused(&divisor, &["divisor must be constant"]);
    let zero = Model::new(&[3])
        .floats("k", &[], &[0.0])
        .node("Div", &["x", "k"], "y", vec![]);
    refused(&zero, &["divisor is 0"]);
    let variance = Model::new(&[1])
        .floats("v", &[1], &[-1.0])
        .floats("k", &[1], &[1.0])
        .node(
            "BatchNormalization",
            &["x", "k", "k", "k", "v"],
            "y",
            vec![],
        );
    refused(&variance, &["variance -1"]);
    let nan = Model::new(&[1])
        .floats("k", &[1], &[f32::NAN])
        .node("Mul", &["x", "k"], "y", vec![]);
    refused(&nan, &["NaN"]);
    let reflect = Model::new(&[3, 4, 5])
        .ints("p", &[0, 0, 1, 1, 0, 0, 1, 1])
        .node("Pad", &["x", "p"], "y", vec![string("mode", "reflect")]);
    refused(&reflect, &["reflect"]);
    let crop = Model::new(&[3, 4, 5])
        .ints("p", &[0, 0, -1, 0, 0, 0, 0, 0])
        .node("Pad", &["x", "p"], "y", vec![]);
    refused(&crop, &["crop"]);
}

#[test]
fn inputs_and_outputs_are_checked() {
    let two_outputs = {
        let mut model = one("Relu", vec![]).node("Tanh", &["y"], "z", vec![]);
        model.graph().output.push(value_info("z", vec![]));
        model
    };
    refused(&two_outputs, &["y, z", "choose one"]);
    assert_eq!(two_outputs.try_import_to(Some("z")).unwrap().nodes.len(), 2);
    let unknown = two_outputs.try_import_to(Some("nowhere")).unwrap_err();
    assert!(
        matches!(*unknown.kind, ImportErrorKind::Interface(_)),
        "{unknown}"
    );
    let mut two_inputs = Model::new(&[2]).node("Add", &["x", "z"], "y", vec![]);
    two_inputs.graph().input.push(value_info("z", vec![]));
    refused(&two_inputs, &["x, z"]);
    let constant = Model::new(&[2])
        .ints("k", &[1])
        .node("Identity", &["k"], "y", vec![]);
    refused(&constant, &["does not depend on any input"]);
    let passed = Model::new(&[2]).node("Identity", &["x"], "y", vec![]);
    refused(&passed, &["the input itself"]);
    let mut no_output = one("Relu", vec![]);
    no_output.graph().output.clear();
    refused(&no_output, &["no output"]);

    let input = |change: fn(&mut type_proto::Tensor)| {
        let mut model = one("Relu", vec![]);
        let r#type = model.graph().input[0].r#type.as_mut().unwrap();
        change(r#type.tensor_type.as_mut().unwrap());
        model
    };
    let integers = input(|tensor| tensor.elem_type = data_type::UINT8);
    refused(&integers, &["input `x`", "element type 2"]);
    refused(&input(|tensor| tensor.shape = None), &["no shape"]);
    let dynamic = input(|tensor| {
        tensor.shape.as_mut().unwrap().dim[2].value = Some(Dim::DimParam("h".to_owned()));
    });
    refused(&dynamic, &["axis 2", "fixed sizes"]);
    let negative = input(|tensor| {
        tensor.shape.as_mut().unwrap().dim[1].value = Some(Dim::DimValue(-3));
    });
    refused(&negative, &["axis 1"]);
    let huge = input(|tensor| {
        for dim in &mut tensor.shape.as_mut().unwrap().dim {
            dim.value = Some(Dim::DimValue(i64::MAX));
        }
    });
    refused(&huge, &["more than 16777216 elements"]);
    let scalar = input(|tensor| tensor.shape.as_mut().unwrap().dim.truncate(1));
    refused(&scalar, &["add a batch axis"]);
    let deep = input(|tensor| {
        let dims = &mut tensor.shape.as_mut().unwrap().dim;
        let last = dims[3].clone();
        dims.resize(9, last);
    });
    refused(&deep, &["at most 8"]);
}

#[test]
fn broken_wiring_is_refused() {
    let missing = Model::new(&[2]).node("Add", &["x", "nowhere"], "y", vec![]);
    refused(&missing, &["y_node", "nowhere"]);
    let cycle = Model::new(&[2])
        .node("Add", &["x", "b"], "a", vec![])
        .node("Relu", &["a"], "b", vec![])
        .node("Relu", &["b"], "y", vec![]);
    refused(&cycle, &["its own result"]);
    let own = Model::new(&[2]).node("Add", &["x", "y"], "y", vec![]);
    refused(&own, &["its own result"]);
    let twice =
        Model::new(&[2])
            .node("Relu", &["x"], "y", vec![])
            .node("Tanh", &["x"], "y", vec![]);
    refused(&twice, &["written more than once"]);
    let over_input = Model::new(&[2]).node("Relu", &["x"], "x", vec![]);
    refused(&over_input, &["written more than once"]);
    let without_operand = Model::new(&[2]).node("Add", &["x"], "y", vec![]);
    refused(&without_operand, &["operands"]);
    let mut second = Model::new(&[2, 4])
        .node("MaxPool", &["x"], "m", vec![ints("kernel_shape", &[2])])
        .node("Relu", &["i"], "y", vec![]);
    second.graph().node[0].output.push("i".to_owned());
    refused(&second, &["further output"]);
}
