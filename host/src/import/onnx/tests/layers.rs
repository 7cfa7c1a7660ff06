//! Each operator, in each form in which opsets 11 to 21 write it.

use super::eval::evaluate;
use super::*;
use crate::graph::{Activation, Op, Window};

fn window(graph: &Graph) -> Window {
    match &graph.nodes[0].op {
        Op::Conv2d(conv) => conv.window,
        Op::MaxPool(window) | Op::AveragePool { window, .. } => *window,
        op => panic!("{}", op.kind()),
    }
}

fn activation(graph: &Graph) -> Activation {
    match graph.nodes[0].op {
        Op::Activation(activation) => activation,
        ref op => panic!("{}", op.kind()),
    }
}

#[test]
fn convolution_takes_all_its_attributes() {
    let graph = Model::new(&[4, 9, 8])
        .weights("w", &[6, 2, 3, 2])
        .weights("b", &[6])
        .node(
            "Conv",
            &["x", "w", "b"],
            "y",
            vec![
                int("group", 2),
                ints("pads", &[1, 0, 2, 1]),
                ints("strides", &[2, 1]),
                ints("dilations", &[1, 2]),
                ints("kernel_shape", &[3, 2]),
            ],
        )
        .import();
    assert_eq!(kinds(&graph), ["conv_2d"]);
    let expected = Window {
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        pad_before: [1, 0],
        pad_after: [2, 1],
    };
    assert_eq!(window(&graph), expected);
    assert_eq!(input_shape(&graph), [9, 8, 4]);
    assert_eq!(output_shape(&graph), [5, 7, 6]);
    assert_eq!(graph.nodes[0].name, "y_node");
}

#[test]
fn depthwise_convolution_is_recognised() {
    let graph = Model::new(&[4, 5, 5])
        .weights("w", &[8, 1, 3, 3])
        .node("Conv", &["x", "w"], "y", vec![int("group", 4)])
        .import();
    assert_eq!(kinds(&graph), ["depthwise_conv_2d"]);
    assert_eq!(output_shape(&graph), [3, 3, 8]);
}

#[test]
fn automatic_padding_becomes_explicit() {
    for (rule, before, after, output) in [
        ("SAME_UPPER", [0, 1], [1, 2], [4, 2, 1]),
        ("SAME_LOWER", [1, 2], [0, 1], [4, 2, 1]),
        ("VALID", [0, 0], [0, 0], [3, 1, 1]),
        ("NOTSET", [0, 0], [0, 0], [3, 1, 1]),
    ] {
        // Height: 8 with kernel 3 and stride 2 lacks 1; width: 7 with kernel 6 and stride 4 lacks 3.
        let graph = Model::new(&[1, 8, 7])
            .weights("w", &[1, 1, 3, 6])
            .node(
                "Conv",
                &["x", "w"],
                "y",
                vec![string("auto_pad", rule), ints("strides", &[2, 4])],
            )
            .import();
        let window = window(&graph);
        assert_eq!(
            (window.pad_before, window.pad_after),
            (before, after),
            "{rule}"
        );
        assert_eq!(output_shape(&graph), output, "{rule}");
    }
}

#[test]
fn one_dimensional_convolution_has_height_1() {
    let graph = Model::new(&[2, 5])
        .floats("w", &[1, 2, 2], &[1., 10., 100., 1000.])
        .node("Conv", &["x", "w"], "y", vec![ints("pads", &[1, 0])])
        .import();
    assert_eq!(input_shape(&graph), [1, 5, 2]);
    assert_eq!(graph.inputs[0].source_shape, [2, 1, 5]);
    assert_eq!(graph.inputs[0].source_axes, [1, 2, 0]);
    assert_eq!(output_shape(&graph), [1, 5, 1]);
    let x = [1., 2., 3., 4., 5., 6., 7., 8., 9., 10.];
    assert_eq!(evaluate(&graph, &x), [6010., 7621., 8732., 9843., 10954.]);
}

#[test]
fn pools_take_their_attributes() {
    let pool = |op: &str, attributes: Vec<AttributeProto>| {
        let mut attributes = attributes;
        attributes.push(ints("kernel_shape", &[3, 3]));
        attributes.push(ints("strides", &[2, 2]));
        Model::new(&[2, 6, 7]).node(op, &["x"], "y", attributes)
    };
    let graph = pool("MaxPool", vec![]).import();
    assert_eq!(output_shape(&graph), [2, 3, 2]);
    let graph = pool("MaxPool", vec![int("ceil_mode", 1)]).import();
    assert_eq!(output_shape(&graph), [3, 3, 2]);
    assert_eq!(window(&graph).pad_after, [1, 0]);
    let graph = pool("AveragePool", vec![int("ceil_mode", 1)]).import();
    assert_eq!(output_shape(&graph), [3, 3, 2]);
    let graph = pool(
        "AveragePool",
        vec![int("count_include_pad", 1), ints("pads", &[1, 1, 1, 1])],
    )
    .import();
    assert!(matches!(
        graph.nodes[0].op,
        Op::AveragePool {
            count_include_pad: true,
            ..
        }
    ));
    let refused = pool(
        "AveragePool",
        vec![int("count_include_pad", 1), int("ceil_mode", 1)],
    );
    assert!(refused.refusal().contains("ceil_mode"));
    let refused = pool("MaxPool", vec![ints("pads", &[3, 0, 0, 0])]);
    assert!(refused.refusal().contains("wholly in the padding"));
}

#[test]
fn means_over_space_are_one_window() {
    let global = Model::new(&[2, 2, 3]).node("GlobalAveragePool", &["x"], "y", vec![]);
    let attribute = |keep| {
        Model::new(&[2, 2, 3]).node(
            "ReduceMean",
            &["x"],
            "y",
            vec![ints("axes", &[2, -1]), int("keepdims", keep)],
        )
    };
    let operand = Model::new(&[2, 2, 3]).opset(18).ints("a", &[-2, 3]).node(
        "ReduceMean",
        &["x", "a"],
        "y",
        vec![],
    );
    // A graph stores an input that nothing channelwise reads channels-last too.
    for model in [global, attribute(1), attribute(0), operand] {
        let graph = model.import();
        assert_eq!(kinds(&graph), ["average_pool"]);
        assert_eq!(output_shape(&graph), [1, 1, 2]);
        assert_eq!(evaluate(&graph, &counting(&graph)), [3.5, 9.5]);
    }
    let max = Model::new(&[2, 2, 3]).node("GlobalMaxPool", &["x"], "y", vec![]);
    assert_eq!(evaluate(&max.import(), &counting(&max.import())), [6., 12.]);
    let batch = Model::new(&[2]).node("ReduceMean", &["x"], "y", vec![]);
    assert!(batch.refusal().contains("mixes the batch"));
}

#[test]
fn mean_over_channels_moves_data() {
    let graph = Model::new(&[2, 2, 3])
        .node(
            "ReduceMean",
            &["x"],
            "y",
            vec![ints("axes", &[1]), int("keepdims", 0)],
        )
        .import();
    assert_eq!(output_shape(&graph), [2, 3]);
    let expected = [4., 5., 6., 7., 8., 9.];
    assert_eq!(evaluate(&graph, &counting(&graph)), expected);
}

#[test]
fn gemm_scales_and_transposes() {
    let base = |attributes| {
        Model::new(&[2])
            .floats("b", &[2, 2], &[1., 2., 3., 4.])
            .floats("c", &[2], &[10., 20.])
            .node("Gemm", &["x", "b", "c"], "y", attributes)
            .import()
    };
    let x = [1., 10.];
    assert_eq!(evaluate(&base(vec![]), &x), [41., 62.]);
    assert_eq!(evaluate(&base(vec![int("transB", 1)]), &x), [31., 63.]);
    let scaled = base(vec![float("alpha", 2.0), float("beta", 0.5)]);
    assert_eq!(evaluate(&scaled, &x), [67., 94.]);
    let transposed = Model::new(&[2]).weights("b", &[2, 2]).node(
        "Gemm",
        &["x", "b"],
        "y",
        vec![int("transA", 1)],
    );
    assert!(transposed.refusal().contains("transA"));
}

#[test]
fn add_behind_matmul_is_its_bias() {
    let model = |shape: &[i64], output: &str| {
        Model::new(shape)
            .floats("w", &[2, 3], &[1., 2., 3., 4., 5., 6.])
            .floats("c", &[3], &[10., 20., 30.])
            .node("MatMul", &["x", "w"], "m", vec![])
            .node("Add", &["c", "m"], output, vec![])
    };
    let graph = model(&[2], "y").import();
    assert_eq!(kinds(&graph), ["fully_connected"]);
    assert_eq!(graph.tensors[graph.outputs[0]].name, "y");
    assert_eq!(evaluate(&graph, &[1., 1.]), [15., 27., 39.]);
    // A sequence is multiplied position by position.
    let graph = model(&[2, 2], "y").import();
    assert_eq!(kinds(&graph).last(), Some(&"conv_2d"));
    assert_eq!(
        evaluate(&graph, &[1., 1., 1., 0.]),
        [15., 27., 39., 11., 22., 33.]
    );
    // Where the product itself is read too, it must stay what it is.
    let shared = model(&[2], "a")
        .node("Mul", &["a", "m"], "y", vec![])
        .import();
    assert_eq!(kinds(&shared), ["fully_connected", "batch_norm", "mul"]);
}

#[test]
fn batch_norm_keeps_its_statistics() {
    let graph = Model::new(&[2, 1, 1])
        .floats("g", &[2], &[1., 2.])
        .floats("b", &[2], &[3., 4.])
        .floats("m", &[2], &[5., 6.])
        .floats("v", &[2], &[7., 8.])
        .node(
            "BatchNormalization",
            &["x", "g", "b", "m", "v"],
            "y",
            vec![float("epsilon", 0.25), float("momentum", 0.9)],
        )
        .import();
    let Op::BatchNorm(norm) = &graph.nodes[0].op else {
        panic!("{:?}", kinds(&graph));
    };
    assert_eq!(
        (
            &norm.gamma[..],
            &norm.beta[..],
            &norm.mean[..],
            &norm.variance[..],
            norm.epsilon
        ),
        (
            &[1., 2.][..],
            &[3., 4.][..],
            &[5., 6.][..],
            &[7., 8.][..],
            0.25
        )
    );
}

#[test]
fn activations_have_their_parameters() {
    let one = |op: &str, attributes| {
        activation(&Model::new(&[3]).node(op, &["x"], "y", attributes).import())
    };
    assert_eq!(one("Relu", vec![]), Activation::Relu);
    assert_eq!(one("Sigmoid", vec![]), Activation::Sigmoid);
    assert_eq!(one("Tanh", vec![]), Activation::Tanh);
    assert_eq!(one("HardSwish", vec![]), Activation::HardSwish);
    assert_eq!(
        one("LeakyRelu", vec![]),
        Activation::LeakyRelu { alpha: 0.01 }
    );
    assert_eq!(
        one("LeakyRelu", vec![float("alpha", 0.5)]),
        Activation::LeakyRelu { alpha: 0.5 }
    );
    assert_eq!(
        one("HardSigmoid", vec![]),
        Activation::HardSigmoid {
            alpha: 0.2,
            beta: 0.5
        }
    );
    let prelu = Model::new(&[3, 2, 2])
        .floats("s", &[3, 1, 1], &[0.25; 3])
        .node("PRelu", &["x", "s"], "y", vec![]);
    assert_eq!(
        activation(&prelu.import()),
        Activation::LeakyRelu { alpha: 0.25 }
    );
}

#[test]
fn clip_takes_bounds_in_every_form() {
    let six = Activation::Clip { min: 0.0, max: 6.0 };
    let base = || Model::new(&[3]);
    let by_attribute = base().node(
        "Clip",
        &["x"],
        "y",
        vec![float("min", 0.0), float("max", 6.0)],
    );
    let by_initializer = base()
        .floats("lo", &[], &[0.0])
        .floats("hi", &[], &[6.0])
        .node("Clip", &["x", "lo", "hi"], "y", vec![]);
    let by_node = base()
        .node("Constant", &[], "lo", vec![float("value_float", 0.0)])
        .node(
            "Constant",
            &[],
            "hi",
            vec![AttributeProto {
                t: Some(float_tensor("", &[], &[6.0])),
                ..attribute("value", kind::TENSOR)
            }],
        )
        .node("Clip", &["x", "lo", "hi"], "y", vec![]);
    for model in [by_attribute, by_initializer, by_node] {
        assert_eq!(activation(&model.import()), six);
    }
    let lower = base().floats("lo", &[], &[0.0]);
    let lower = lower.node("Clip", &["x", "lo"], "y", vec![]).import();
    assert_eq!(activation(&lower), Activation::Relu);
    let upper = base().floats("hi", &[], &[6.0]);
    let upper = upper.node("Clip", &["x", "", "hi"], "y", vec![]).import();
    assert_eq!(
        activation(&upper),
        Activation::Clip {
            min: f32::NEG_INFINITY,
            max: 6.0
        }
    );
}

#[test]
fn decomposed_hard_swish_is_put_together() {
    let constants = || {
        Model::new(&[3])
            .floats("three", &[], &[3.0])
            .floats("zero", &[], &[0.0])
            .floats("six", &[], &[6.0])
    };
    let by_sigmoid = constants()
        .node("HardSigmoid", &["x"], "g", vec![float("alpha", 1.0 / 6.0)])
        .node("Mul", &["g", "x"], "y", vec![]);
    let gate = || {
        constants().node("Add", &["x", "three"], "a", vec![]).node(
            "Clip",
            &["a", "zero", "six"],
            "c",
            vec![],
        )
    };
    let divided_last =
        gate()
            .node("Mul", &["x", "c"], "m", vec![])
            .node("Div", &["m", "six"], "y", vec![]);
    let divided_first =
        gate()
            .node("Div", &["c", "six"], "d", vec![])
            .node("Mul", &["x", "d"], "y", vec![]);
    for model in [by_sigmoid, divided_last, divided_first] {
        let graph = model.import();
        assert_eq!(activation(&graph), Activation::HardSwish);
        assert_eq!(kinds(&graph), ["hard_swish"]);
    }
    let other =
        gate()
            .node("Mul", &["a", "c"], "m", vec![])
            .node("Div", &["m", "six"], "y", vec![]);
    assert_eq!(kinds(&other.import()).len(), 4);
}

#[test]
fn constants_become_affine_functions_or_tensors() {
    let combine = |op: &str, dims: &[i64], values: &[f32], left: bool| {
        let operands = if left { ["k", "x"] } else { ["x", "k"] };
        Model::new(&[2, 1, 2])
            .floats("k", dims, values)
            .node(op, &operands, "y", vec![])
            .import()
    };
    // The input is [[1, 2], [3, 4]]: channel, column; results come channels-last.
    for (op, dims, values, left, kind, expected) in [
        (
            "Add",
            &[][..],
            &[1.][..],
            false,
            "batch_norm",
            [2., 4., 3., 5.],
        ),
        ("Mul", &[1], &[2.], true, "batch_norm", [2., 6., 4., 8.]),
        (
            "Sub",
            &[2, 1, 1],
            &[1., 2.],
            false,
            "batch_norm",
            [0., 1., 1., 2.],
        ),
        (
            "Sub",
            &[1, 2, 1, 1],
            &[1., 2.],
            true,
            "batch_norm",
            [0., -1., -1., -2.],
        ),
        (
            "Div",
            &[2, 1, 1],
            &[1., 2.],
            false,
            "batch_norm",
            [1., 1.5, 2., 2.],
        ),
        ("Add", &[2], &[10., 20.], false, "add", [11., 13., 22., 24.]),
        ("Div", &[2], &[1., 2.], false, "mul", [1., 3., 1., 2.]),
        (
            "Sub",
            &[2, 1, 2],
            &[9., 8., 7., 6.],
            true,
            "sub",
            [8., 4., 6., 2.],
        ),
    ] {
        let graph = combine(op, dims, values, left);
        assert_eq!(kinds(&graph).last(), Some(&kind), "{op} {dims:?}");
        assert_eq!(
            evaluate(&graph, &[1., 2., 3., 4.]),
            expected,
            "{op} {dims:?}"
        );
    }
}

#[test]
fn two_values_combine_by_channel_or_in_full() {
    for op in ["Add", "Sub", "Mul"] {
        let graph = Model::new(&[2, 2, 2])
            .node("GlobalAveragePool", &["x"], "p", vec![])
            .node(op, &["x", "p"], "y", vec![])
            .import();
        assert_eq!(kinds(&graph), ["average_pool", &op.to_lowercase()]);
        assert_eq!(output_shape(&graph), [2, 2, 2]);
    }
    let swapped = Model::new(&[2, 2, 2])
        .node("GlobalAveragePool", &["x"], "p", vec![])
        .node("Mul", &["p", "x"], "y", vec![])
        .import();
    let inputs = &swapped.nodes[1].inputs;
    assert_eq!(inputs[0], swapped.inputs[0].tensor);
}

#[test]
fn softmax_depends_on_the_opset() {
    let softmax = |opset, attributes| {
        let model = Model::new(&[2, 2, 2]).opset(opset);
        let graph = model.node("Softmax", &["x"], "y", attributes).import();
        evaluate(&graph, &[0.; 8])[0]
    };
    assert_eq!(softmax(11, vec![]), 1. / 8.);
    assert_eq!(softmax(12, vec![int("axis", 2)]), 1. / 4.);
    assert_eq!(softmax(13, vec![]), 1. / 2.);
    assert_eq!(softmax(13, vec![int("axis", 1)]), 1. / 2.);
    let graph = Model::new(&[5])
        .opset(11)
        .node("Softmax", &["x"], "y", vec![]);
    assert_eq!(kinds(&graph.import()), ["softmax"]);
    let batch = Model::new(&[5]).node("Softmax", &["x"], "y", vec![int("axis", 0)]);
    assert!(batch.refusal().contains("mixes the batch"));
}

#[test]
fn pads_and_joins_follow_the_storage() {
    let graph = Model::new(&[2, 3, 4])
        .ints("p", &[0, 0, 1, 2, 0, 0, 3, 4])
        .floats("v", &[], &[1.5])
        .node("Pad", &["x", "p", "v"], "y", vec![])
        .import();
    let expected = Op::Pad {
        before: vec![1, 2, 0],
        after: vec![3, 4, 0],
        value: 1.5,
    };
    assert_eq!(graph.nodes[0].op, expected);
    let graph = Model::new(&[2, 3, 4])
        .opset(18)
        .ints("p", &[1, 2])
        .ints("a", &[-1])
        .node("Pad", &["x", "p", "", "a"], "y", vec![])
        .import();
    assert_eq!(output_shape(&graph), [3, 7, 2]);
    for (axis, shape) in [(1, [3, 4, 4]), (2, [6, 4, 2]), (-1, [3, 8, 2])] {
        let graph = Model::new(&[2, 3, 4])
            .node("Relu", &["x"], "r", vec![])
            .node("Concat", &["x", "r"], "y", vec![int("axis", axis)])
            .import();
        assert_eq!(output_shape(&graph), shape);
        assert_eq!(kinds(&graph), ["relu", "concat"]);
    }
}
