//! Shape arithmetic, constants in all their forms, and the batch.

use super::eval::evaluate;
use super::*;
use crate::graph::{NodeId, Op};

/// A network that reshapes its input of 2 x 3 x 4 to what the nodes before compute as `t`.
fn reshape_to(model: Model) -> Graph {
    model.node("Reshape", &["x", "t"], "y", vec![]).import()
}

fn image() -> Model {
    Model::new(&[2, 3, 4])
}

#[test]
fn flattening_by_shape_arithmetic_is_folded() {
    let graph = image()
        .ints("zero", &[0])
        .ints("rest", &[-1])
        .weights("w", &[24, 2])
        .node("Shape", &["x"], "s", vec![])
        .node("Gather", &["s", "zero"], "n", vec![int("axis", 0)])
        .node("Concat", &["n", "rest"], "t", vec![int("axis", 0)])
        .node("Reshape", &["x", "t"], "f", vec![])
        .node("Gemm", &["f", "w"], "y", vec![])
        .import();
    assert_eq!(kinds(&graph), ["fully_connected"]);
    assert_eq!(output_shape(&graph), [2]);
}

#[test]
fn arithmetic_on_sizes_is_folded() {
    let graph = reshape_to(
        image()
            .ints("from", &[2])
            .ints("to", &[4])
            .ints("two", &[2])
            .ints("head", &[1, 4])
            .node("Shape", &["x"], "s", vec![])
            .node("Slice", &["s", "from", "to"], "hw", vec![])
            .node("Cast", &["hw"], "float", vec![int("to", 1)])
            .node("Cast", &["float"], "int", vec![int("to", 7)])
            .node("Mul", &["int", "two"], "twice", vec![])
            .node("Div", &["twice", "two"], "once", vec![])
            .node("Add", &["once", "two"], "more", vec![])
            .node("Sub", &["more", "two"], "less", vec![])
            .node("Slice", &["less", "zero", "one"], "h", vec![])
            .node("Concat", &["head", "h", "two"], "t", vec![int("axis", 0)])
            .ints("zero", &[0])
            .ints("one", &[1]),
    );
    assert_eq!(output_shape(&graph), [4, 3, 2]);
}

#[test]
fn sizes_can_be_squeezed_filled_and_counted() {
    let constant_of_shape = AttributeProto {
        t: Some(int_tensor("", &[6])),
        ..attribute("value", kind::TENSOR)
    };
    let graph = reshape_to(
        image()
            .opset(12)
            .ints("one", &[1])
            .ints("two", &[2])
            .node("Constant", &[], "k1", vec![int("value_int", 1)])
            .node("Constant", &[], "k2", vec![int("value_int", 2)])
            .node("Constant", &[], "k3", vec![int("value_int", 3)])
            .node("Range", &["k1", "k3", "k2"], "r", vec![])
            .node("ConstantOfShape", &["one"], "six", vec![constant_of_shape])
            .node("Unsqueeze", &["k2"], "u", vec![ints("axes", &[0])])
            .node("Squeeze", &["u"], "sq", vec![])
            .node("Unsqueeze", &["sq"], "u2", vec![ints("axes", &[-1])])
            .node(
                "Concat",
                &["r", "six", "u2", "two"],
                "t",
                vec![int("axis", 0)],
            ),
    );
    assert_eq!(output_shape(&graph), [6, 2, 2]);
}

#[test]
fn the_newer_shape_takes_a_range() {
    let graph = reshape_to(
        image()
            .opset(15)
            .ints("head", &[1, 6])
            .node("Shape", &["x"], "s", vec![int("start", -1)])
            .node("Concat", &["head", "s"], "t", vec![int("axis", 0)]),
    );
    assert_eq!(output_shape(&graph), [6, 4]);
}

#[test]
fn weights_may_be_computed() {
    let graph = Model::new(&[2])
        .floats("w", &[1, 3, 2], &[1., 2., 3., 4., 5., 6.])
        .ints("flat", &[3, -1])
        .ints("axis", &[1])
        .node("Reshape", &["w", "flat"], "a", vec![])
        .node("Transpose", &["a"], "b", vec![])
        .ints("order", &[1, 0])
        .node("Gather", &["b", "order"], "c", vec![int("axis", 0)])
        .node("MatMul", &["x", "c"], "y", vec![])
        .import();
    assert_eq!(kinds(&graph), ["fully_connected"]);
    assert_eq!(evaluate(&graph, &[10., 1.]), [21., 43., 65.]);
}

#[test]
fn reshape_understands_zero_and_minus_one() {
    for (target, shape) in [
        (&[0, -1][..], &[24][..]),
        (&[0, 0, -1], &[2, 12]),
        (&[-1, 24], &[24]),
        (&[1, 6, 4], &[6, 4]),
    ] {
        let graph = Model::new(&[2, 12])
            .ints("t", target)
            .node("Reshape", &["x", "t"], "y", vec![])
            .node("Relu", &["y"], "z", vec![]);
        let graph = graph.try_import_to(Some("z")).unwrap();
        assert_eq!(output_shape(&graph), shape, "{target:?}");
    }
    let zero = |allow| {
        Model::new(&[2, 12])
            .ints("t", &[1, 0, 12])
            .node("Reshape", &["x", "t"], "r", vec![int("allowzero", allow)])
            .node("Relu", &["r"], "y", vec![])
    };
    assert_eq!(output_shape(&zero(0).import()), [2, 12]);
    assert!(zero(1).refusal().contains("cannot turn"));
}

#[test]
fn a_batch_of_any_kind_is_one_sample() {
    for (batch, first) in [
        (None, -1),
        (Some(Dim::DimParam("batch".to_owned())), -1),
        (Some(Dim::DimValue(0)), -1),
        (Some(Dim::DimValue(-1)), 0),
        (Some(Dim::DimValue(1)), 1),
        (Some(Dim::DimValue(8)), 8),
        (Some(Dim::DimValue(8)), -1),
    ] {
        let graph = image()
            .batch(batch.clone())
            .ints("t", &[first, 24])
            .weights("w", &[24, 2])
            .node("Reshape", &["x", "t"], "f", vec![])
            .node("Gemm", &["f", "w"], "y", vec![])
            .import();
        assert_eq!(graph.macs(), 48, "{batch:?}");
    }
    for target in [&[-1, 4][..], &[24], &[2, 12], &[-1]] {
        let mixed = image()
            .ints("t", target)
            .node("Reshape", &["x", "t"], "y", vec![]);
        let message = mixed.refusal();
        assert!(message.contains("mixes the batch"), "{target:?}: {message}");
    }
}

#[test]
fn squeezing_takes_axes_in_both_forms() {
    let by_attribute = Model::new(&[3, 4, 5])
        .opset(11)
        .node("GlobalAveragePool", &["x"], "p", vec![])
        .node("Squeeze", &["p"], "y", vec![ints("axes", &[2, -1])]);
    let by_operand = Model::new(&[3, 4, 5])
        .ints("a", &[2, 3])
        .node("GlobalAveragePool", &["x"], "p", vec![])
        .node("Squeeze", &["p", "a"], "y", vec![]);
    let without = Model::new(&[3, 4, 5])
        .node("GlobalAveragePool", &["x"], "p", vec![])
        .node("Squeeze", &["p"], "y", vec![]);
    for model in [by_attribute, by_operand, without] {
        let graph = model.import();
        assert_eq!(kinds(&graph), ["average_pool", "reshape"]);
        assert_eq!(output_shape(&graph), [3]);
    }
    let unsqueezed = Model::new(&[9])
        .opset(11)
        .weights("w", &[2, 1, 3])
        .node("Unsqueeze", &["x"], "u", vec![ints("axes", &[1])])
        .node("Conv", &["u", "w"], "y", vec![])
        .import();
    assert_eq!(kinds(&unsqueezed), ["reshape", "conv_2d"]);
    assert_eq!(output_shape(&unsqueezed), [1, 7, 2]);
}

#[test]
fn tensors_of_every_type_are_read() {
    let proto = |data_type, raw: Vec<u8>| TensorProto {
        name: "k".to_owned(),
        dims: vec![2],
        data_type,
        raw_data: raw,
        ..TensorProto::default()
    };
    let typed = |data_type| proto(data_type, vec![]);
    let bytes = |words: &[&[u8]]| words.concat();
    let one_and_two = [
        proto(
            data_type::FLOAT,
            bytes(&[&1f32.to_le_bytes(), &2f32.to_le_bytes()]),
        ),
        proto(
            data_type::DOUBLE,
            bytes(&[&1f64.to_le_bytes(), &2f64.to_le_bytes()]),
        ),
        proto(data_type::FLOAT16, vec![0x00, 0x3c, 0x00, 0x40]),
        proto(data_type::BFLOAT16, vec![0x80, 0x3f, 0x00, 0x40]),
        TensorProto {
            float_data: vec![1., 2.],
            ..typed(data_type::FLOAT)
        },
        TensorProto {
            double_data: vec![1., 2.],
            ..typed(data_type::DOUBLE)
        },
        TensorProto {
            int32_data: vec![0x3c00, 0x4000],
            ..typed(data_type::FLOAT16)
        },
    ];
    for tensor in one_and_two {
        let mut model = Model::new(&[2]).node("Mul", &["x", "k"], "y", vec![]);
        model.graph().initializer.push(tensor.clone());
        assert_eq!(evaluate(&model.import(), &[1., 1.]), [1., 2.], "{tensor:?}");
    }
    let minus_one = [
        proto(data_type::INT64, vec![0xff; 16]),
        proto(data_type::INT32, vec![0xff; 8]),
        proto(data_type::INT8, vec![0xff; 2]),
        TensorProto {
            int32_data: vec![-1, -1],
            ..typed(data_type::INT32)
        },
    ];
    for tensor in minus_one {
        let mut model = Model::new(&[2])
            .node("Cast", &["k"], "f", vec![int("to", 1)])
            .node("Mul", &["x", "f"], "y", vec![]);
        model.graph().initializer.push(tensor.clone());
        assert_eq!(
            evaluate(&model.import(), &[1., 2.]),
            [-1., -2.],
            "{tensor:?}"
        );
    }
}

#[test]
fn values_that_their_type_does_not_have_are_refused() {
    for (data_type, value) in [
        (data_type::INT8, 300),
        (data_type::INT8, -129),
        (data_type::UINT8, -1),
        (data_type::INT4, 256),
        (data_type::BOOL, 2),
        (data_type::INT16, 1 << 15),
        (data_type::FLOAT16, 1 << 16),
    ] {
        let mut model = Model::new(&[2])
            .node("Cast", &["k"], "f", vec![int("to", 1)])
            .node("Mul", &["x", "f"], "y", vec![]);
        model.graph().initializer.push(TensorProto {
            name: "k".to_owned(),
            dims: vec![2],
            data_type,
            int32_data: vec![1, value],
            ..TensorProto::default()
        });
        let message = model.refusal();
        assert!(
            message.contains("`k`") && message.contains(&format!("holds {value}")),
            "{message}"
        );
    }
}

#[test]
fn initializers_may_be_listed_as_inputs_and_dead_nodes_are_dropped() {
    let mut model = Model::new(&[2])
        .weights("w", &[2, 3])
        .node("NoSuchOperator", &["x"], "dead", vec![])
        .node("MatMul", &["x", "w"], "m", vec![])
        .node("Relu", &["m"], "y", vec![]);
    model.graph().input.push(value_info("w", vec![]));
    model.graph().input.push(value_info("unused", vec![]));
    let graph = model.import();
    assert_eq!(kinds(&graph), ["fully_connected", "relu"]);
    let cut = model.try_import_to(Some("m")).unwrap();
    assert_eq!(kinds(&cut), ["fully_connected"]);
    assert_eq!(cut.tensors[cut.outputs[0]].name, "m");
}

#[test]
fn what_does_nothing_leaves_no_node_and_the_output_its_name() {
    let graph = Model::new(&[2])
        .opset(11)
        .weights("w", &[2, 3])
        .node("MatMul", &["x", "w"], "m", vec![])
        .node("Dropout", &["m"], "d", vec![float("ratio", 0.5)])
        .node("Cast", &["d"], "c", vec![int("to", 1)])
        .node("Identity", &["c"], "y", vec![])
        .import();
    assert_eq!(kinds(&graph), ["fully_connected"]);
    assert_eq!(graph.tensors[graph.outputs[0]].name, "y");
}

#[test]
fn nodes_in_any_order_and_equal_names_are_sorted_out() {
    let mut model = Model::new(&[2])
        .node("Relu", &["a"], "b", vec![])
        .node("Tanh", &["x"], "a", vec![])
        .node("Sigmoid", &["b"], "y", vec![]);
    for node in &mut model.graph().node {
        node.name = "same".to_owned();
    }
    let graph = model.import();
    assert_eq!(kinds(&graph), ["tanh", "relu", "sigmoid"]);
    let names: Vec<_> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["same", "same_1", "same_2"]);
}

#[test]
fn external_data_lies_beside_the_model() {
    let directory = std::env::temp_dir().join(format!("fewbit-external-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut bytes = vec![0xaa; 4];
    bytes.extend([2f32, 3f32].iter().flat_map(|value| value.to_le_bytes()));
    std::fs::write(directory.join("net.bin"), bytes).unwrap();
    let entry = |key: &str, value: &str| super::super::proto::StringStringEntryProto {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let import = |location: &str, length: &str| {
        let mut model = Model::new(&[2]).node("Mul", &["x", "k"], "y", vec![]);
        model.graph().initializer.push(TensorProto {
            name: "k".to_owned(),
            dims: vec![2],
            data_type: data_type::FLOAT,
            data_location: 1,
            external_data: vec![
                entry("location", location),
                entry("offset", "4"),
                entry("length", length),
            ],
            ..TensorProto::default()
        });
        let path = directory.join("net.onnx");
        std::fs::write(&path, model.bytes()).unwrap();
        let in_memory = model.refusal();
        assert!(in_memory.contains("another file"), "{in_memory}");
        crate::import::load(&path, &ImportOptions::default()).map_err(|error| error.to_string())
    };
    let graph = import("net.bin", "8").unwrap();
    assert!(matches!(graph.nodes[NodeId::new(0)].op, Op::BatchNorm(_)));
    assert_eq!(evaluate(&graph, &[1., 1.]), [2., 3.]);
    for (location, length, expected) in [
        ("net.bin", "12", "needs 12 bytes"),
        ("net.bin", "4", "1 values"),
        ("missing.bin", "8", "cannot be read"),
        ("../net.bin", "8", "outside the model's folder"),
        ("/etc/passwd", "8", "outside the model's folder"),
    ] {
        let message = import(location, length).unwrap_err();
        assert!(message.contains(expected), "{location}: {message}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
