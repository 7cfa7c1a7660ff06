//! Activations, arithmetic, Softmax, Pad, Concat, as each opset writes them.

use super::eval::evaluate;
use super::*;
use crate::graph::{Activation, NodeId, Op};

fn activation(graph: &Graph) -> Activation {
    match graph.nodes[NodeId::new(0)].op.clone() {
        Op::Activation(activation) => activation,
        ref op => panic!("{}", op.kind()),
    }
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
    let by_attribute = base().opset(10).node(
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
    for op in ["Add", "Sub", "Mul", "Max", "Min"] {
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
    let inputs = &swapped.nodes[NodeId::new(1)].inputs;
    assert_eq!(inputs[0], swapped.inputs[0].tensor);
}

#[test]
fn maxima_and_minima_take_any_number_of_operands() {
    let model = || {
        Model::new(&[2, 1, 2])
            .floats("half", &[], &[2.5])
            .floats("channels", &[2, 1, 1], &[1.5, 3.5])
            .floats("columns", &[2], &[3., 2.])
            .node("Clip", &["x", "half"], "c", vec![])
    };
    // The input is [[1, 2], [3, 4]]: channel, column; results come channels-last.
    for (op, operands, kinds_of, expected) in [
        ("Max", &["c"][..], &["clip"][..], [2.5, 3., 2.5, 4.]),
        ("Max", &["x", "half"], &["clip"], [2.5, 3., 2.5, 4.]),
        ("Min", &["half", "x"], &["clip"], [1., 2.5, 2., 2.5]),
        (
            "Max",
            &["x", "channels"],
            &["constant", "max"],
            [1.5, 3.5, 2., 4.],
        ),
        (
            "Min",
            &["channels", "x"],
            &["constant", "min"],
            [1., 3., 1.5, 3.5],
        ),
        (
            "Max",
            &["x", "columns"],
            &["constant", "max"],
            [3., 3., 2., 4.],
        ),
        ("Max", &["x", "c"], &["max"], [2.5, 3., 2.5, 4.]),
        (
            "Min",
            &["x", "c", "half"],
            &["min", "clip"],
            [1., 2.5, 2., 2.5],
        ),
    ] {
        let graph = model().node(op, operands, "y", vec![]).import();
        let found = kinds(&graph);
        assert!(found.ends_with(kinds_of), "{op} {operands:?}: {found:?}");
        assert_eq!(
            evaluate(&graph, &[1., 2., 3., 4.]),
            expected,
            "{op} {operands:?}"
        );
    }
    for value in [f32::NAN, f32::INFINITY] {
        let model = Model::new(&[2]).floats("k", &[], &[value]);
        let refusal = model.node("Max", &["x", "k"], "y", vec![]).refusal();
        assert!(refusal.contains("a constant operand holds"), "{refusal}");
    }
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
    assert_eq!(graph.nodes[NodeId::new(0)].op, expected);
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
