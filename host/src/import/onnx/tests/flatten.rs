//! Functions of the file and branches with a constant condition.

use super::super::proto::FunctionProto;
use super::*;
use crate::graph::NodeId;

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: outputs.iter().map(|&name| name.to_owned()).collect(),
        op_type: op.to_owned(),
        attribute,
        ..NodeProto::default()
    }
}

fn call(
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attribute: Vec<AttributeProto>,
    name: &str,
) -> NodeProto {
    NodeProto {
        domain: "own".to_owned(),
        name: name.to_owned(),
        ..node(op, inputs, outputs, attribute)
    }
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], body: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: name.to_owned(),
        domain: "own".to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: outputs.iter().map(|&name| name.to_owned()).collect(),
        node: body,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        ..FunctionProto::default()
    }
}

fn refers(name: &str, r#type: i32, parameter: &str) -> AttributeProto {
    AttributeProto {
        ref_attr_name: parameter.to_owned(),
        ..attribute(name, r#type)
    }
}

fn with(sample: &[i64], nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> Model {
    let mut model = Model::new(sample);
    model.graph().node = nodes;
    model.proto.functions = functions;
    model
}

fn graph_attribute(
    name: &str,
    nodes: Vec<NodeProto>,
    output: &str,
    constants: Vec<TensorProto>,
) -> AttributeProto {
    AttributeProto {
        g: Some(GraphProto {
            node: nodes,
            initializer: constants,
            output: vec![value_info(output, vec![])],
            ..GraphProto::default()
        }),
        ..attribute(name, kind::GRAPH)
    }
}

/// Output of the network for these samples.
fn run(model: &Model, x: &[f32]) -> Vec<f32> {
    let graph = model.import();
    let elements: usize = graph.inputs[0].source_shape.iter().product();
    let executor = crate::executor::Executor::new(&graph).unwrap();
    executor.forward(x, x.len() / elements).unwrap()
}

fn condition(name: &str, value: bool) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: data_type::BOOL,
        int32_data: vec![value.into()],
        ..TensorProto::default()
    }
}

#[test]
fn calls_get_their_parameters_or_the_defaults() {
    let mut leak = function(
        "Leak",
        &["a"],
        &["o"],
        vec![node(
            "LeakyRelu",
            &["a"],
            &["o"],
            vec![refers("alpha", kind::FLOAT, "slope")],
        )],
    );
    let one = |attributes| vec![call("Leak", &["x"], &["y"], attributes, "first")];
    // Declared without a default and not given: the operator's own default, 0.01.
    leak.attribute = vec!["slope".to_owned()];
    let bare = with(&[2], one(vec![]), vec![leak.clone()]);
    assert_eq!(run(&bare, &[-100.0, 3.0]), [-1.0, 3.0]);
    leak.attribute.clear();
    leak.attribute_proto = vec![float("slope", 0.5)];
    let defaults = with(&[2], one(vec![]), vec![leak.clone()]);
    assert_eq!(run(&defaults, &[-100.0, 3.0]), [-50.0, 3.0]);
    let given = with(&[2], one(vec![float("slope", 0.25)]), vec![leak.clone()]);
    assert_eq!(run(&given, &[-100.0, 3.0]), [-25.0, 3.0]);

    let other = with(&[2], one(vec![float("slop", 0.25)]), vec![leak.clone()]);
    assert!(other.refusal().contains("`first` (Leak): attribute `slop`"));
    let wrong = with(&[2], one(vec![int("slope", 1)]), vec![leak.clone()]);
    assert!(wrong.refusal().contains("attribute `slope` has type 2"));
    leak.attribute_proto.clear();
    let unknown = with(&[2], one(vec![]), vec![leak]);
    assert!(unknown.refusal().contains("parameter `slope`"));
    let outside = with(
        &[2],
        vec![node(
            "LeakyRelu",
            &["x"],
            &["y"],
            vec![refers("alpha", kind::FLOAT, "slope")],
        )],
        vec![],
    );
    assert!(outside.refusal().contains("no function"));
}

#[test]
fn functions_call_functions_and_names_do_not_clash() {
    // Both functions call their values as the network calls its own.
    let double = function(
        "Double",
        &["y"],
        &["x"],
        vec![node("Add", &["y", "y"], &["x"], vec![])],
    );
    let quadruple = function(
        "Quadruple",
        &["x"],
        &["y"],
        vec![
            call("Double", &["x"], &["m"], vec![], "inner"),
            call("Double", &["m"], &["y"], vec![], "inner"),
        ],
    );
    let model = with(
        &[2],
        vec![
            call("Quadruple", &["x"], &["m"], vec![], "a"),
            call("Quadruple", &["m"], &["y"], vec![], "a"),
        ],
        vec![double, quadruple],
    );
    assert_eq!(run(&model, &[1.0, -2.0]), [16.0, -32.0]);
    let graph = model.import();
    assert_eq!(graph.nodes.len(), 4);
    assert!(graph.nodes[NodeId::new(0)].name.starts_with("a/inner/"));
}

#[test]
fn results_may_be_inputs_repeated_or_left_out_and_inputs_may_be_missing() {
    let pass = function(
        "Pass",
        &["a", "low"],
        &["same", "clipped", "again"],
        vec![
            node("Identity", &["a"], &["same_"], vec![]),
            node("Clip", &["a", "low"], &["clipped"], vec![]),
        ],
    );
    let mut pass_input = pass.clone();
    pass_input.output = ["a", "clipped", "clipped"].map(str::to_owned).to_vec();
    let model = with(
        &[2],
        vec![
            call("Pass", &["x"], &["p", "", "q"], vec![], ""),
            node("Add", &["p", "q"], &["y"], vec![]),
        ],
        vec![pass_input.clone()],
    );
    assert_eq!(run(&model, &[1.0, -2.0]), [2.0, -4.0]);
    let short = with(
        &[2],
        vec![call("Pass", &["x"], &["y"], vec![], "")],
        vec![pass],
    );
    assert!(short.refusal().contains("defines its output `same`"));
    let many = with(
        &[2],
        vec![call("Pass", &["x", "x", "x"], &["y"], vec![], "")],
        vec![pass_input],
    );
    assert!(many.refusal().contains("has 2 inputs"));
}

/// Softmax means something else before opset 13, and the function says what it means.
#[test]
fn functions_have_an_opset_of_their_own() {
    let mut soft = function(
        "Soft",
        &["a"],
        &["o"],
        vec![node("Softmax", &["a"], &["o"], vec![int("axis", 1)])],
    );
    let model = |soft: &FunctionProto| {
        let nodes = vec![call("Soft", &["x"], &["y"], vec![], "s")];
        with(&[2, 2], nodes, vec![soft.clone()])
    };
    let over_axis = run(&model(&soft), &[0.0; 4]);
    assert_eq!(over_axis, [0.5; 4]);
    soft.opset_import[0].version = 12;
    assert_eq!(run(&model(&soft), &[0.0; 4]), [0.25; 4]);
    soft.opset_import[0].version = 99;
    let message = model(&soft).refusal();
    assert!(message.contains("`s` (Soft): uses opset 99"), "{message}");
}

#[test]
fn functions_without_end_are_refused() {
    let again = function(
        "Again",
        &["a"],
        &["o"],
        vec![
            call("Again", &["a"], &["b"], vec![], ""),
            call("Again", &["b"], &["o"], vec![], ""),
        ],
    );
    let model = with(
        &[2],
        vec![call("Again", &["x"], &["y"], vec![], "r")],
        vec![again],
    );
    assert!(model.refusal().contains("in a circle"));
    // Twice as many at every level.
    let levels = 40;
    let functions = (0..levels).map(|level| {
        let next = format!("F{}", level + 1);
        let body = if level + 1 == levels {
            vec![node("Relu", &["a"], &["o"], vec![])]
        } else {
            vec![
                call(&next, &["a"], &["b"], vec![], ""),
                call(&next, &["b"], &["o"], vec![], ""),
            ]
        };
        function(&format!("F{level}"), &["a"], &["o"], body)
    });
    let doubling = with(
        &[2],
        vec![call("F0", &["x"], &["y"], vec![], "")],
        functions.collect(),
    );
    let start = std::time::Instant::now();
    assert!(doubling.refusal().contains("65536 nodes"));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    // A circle through a branch.
    let branch = |name| {
        let nodes = vec![call("Loop", &["a"], &["b"], vec![], "")];
        graph_attribute(name, nodes, "b", vec![])
    };
    let body = vec![
        node(
            "Constant",
            &[],
            &["c"],
            vec![AttributeProto {
                t: Some(condition("", true)),
                ..attribute("value", kind::TENSOR)
            }],
        ),
        node(
            "If",
            &["c"],
            &["o"],
            vec![branch("then_branch"), branch("else_branch")],
        ),
    ];
    let through_branch = with(
        &[2],
        vec![call("Loop", &["x"], &["y"], vec![], "")],
        vec![function("Loop", &["a"], &["o"], body)],
    );
    assert!(through_branch.refusal().contains("conditions (If)"));
}

/// `y` is `h` plus or minus 10, where `h` is `x * 2`, by an inner `If` in a branch of an outer one.
fn nested(outer: bool, inner: bool) -> Model {
    let inner_if = |name: &str| {
        let branch = |name: &str, op: &str| {
            let nodes = vec![node(op, &["h", "ten"], &["r"], vec![])];
            graph_attribute(name, nodes, "r", vec![])
        };
        let attributes = vec![branch("then_branch", "Add"), branch("else_branch", "Sub")];
        let nodes = vec![node("If", &["inner"], &["s"], attributes)];
        let ten = float_tensor("ten", &[], &[10.0]);
        graph_attribute(name, nodes, "s", vec![ten])
    };
    let captured = graph_attribute("else_branch", vec![], "h", vec![]);
    let mut model = Model::new(&[2])
        .floats("two", &[], &[2.0])
        .node("Mul", &["x", "two"], "h", vec![])
        .node(
            "If",
            &["outer"],
            "y",
            vec![inner_if("then_branch"), captured],
        );
    let constants = [condition("outer", outer), condition("inner", inner)];
    model.graph().initializer.extend(constants);
    model
}

#[test]
fn the_branch_that_holds_is_taken_with_what_it_captures() {
    let x = [1.0, -2.0];
    assert_eq!(run(&nested(true, true), &x), [12.0, 6.0]);
    assert_eq!(run(&nested(true, false), &x), [-8.0, -14.0]);
    assert_eq!(run(&nested(false, true), &x), [2.0, -4.0]);
}

/// As exporters write a squeeze of an axis whose size they do not know.
#[test]
fn a_condition_may_follow_from_shapes_behind_a_branch() {
    let squeeze = |input: &str, output: &str| {
        let then = vec![node("Squeeze", &[input, "last"], &["t"], vec![])];
        let otherwise = vec![node("Identity", &[input], &["e"], vec![])];
        let (shape, size, is_one) = (
            format!("{output}_shape"),
            format!("{output}_size"),
            format!("{output}_is_one"),
        );
        let attributes = vec![
            graph_attribute("then_branch", then, "t", vec![]),
            graph_attribute("else_branch", otherwise, "e", vec![]),
        ];
        vec![
            node("Shape", &[input], &[&shape], vec![]),
            node("Gather", &[&shape, "last"], &[&size], vec![]),
            node("Equal", &[&size, "one"], &[&is_one], vec![]),
            node("If", &[&is_one], &[output], attributes),
        ]
    };
    let mut model = Model::new(&[3, 1]).ints("last", &[-1]).ints("one", &[1]);
    model.graph().node = [
        squeeze("x", "a"),
        squeeze("a", "b"),
        vec![node("Relu", &["b"], &["y"], vec![])],
    ]
    .concat();
    let graph = model.import();
    assert_eq!(output_shape(&graph), [3]);
}

#[test]
fn other_conditions_and_loops_are_refused_by_name() {
    let branch = |name| {
        let nodes = vec![node("Relu", &["x"], &["r"], vec![])];
        graph_attribute(name, nodes, "r", vec![])
    };
    let attributes = vec![branch("then_branch"), branch("else_branch")];
    let mut depends = Model::new(&[1]).node("If", &["x"], "y", attributes.clone());
    let message = depends.refusal();
    assert!(
        message.contains("`y_node` (If): its condition `x` depends"),
        "{message}"
    );
    depends.graph().node[0].input = vec!["c".to_owned()];
    let mut long = depends.clone();
    long.graph().initializer.push(int_tensor("c", &[1, 2]));
    assert!(long.refusal().contains("not a single boolean"));
    let mut missing = depends.clone();
    missing.graph().initializer.push(condition("c", true));
    missing.import();
    missing.graph().node[0].attribute.remove(0);
    assert!(missing.refusal().contains("`then_branch` is not a graph"));
    // What it reads, it reads inside.
    let lost = Model::new(&[1])
        .ints("n", &[3])
        .node("Loop", &["n"], "y", vec![branch("body")]);
    assert!(
        lost.refusal()
            .contains("`y_node` (Loop): the operator is not")
    );
    // The states come first among what is wrong.
    let mut states = Model::new(&[4, 2]).node("LSTM", &["x", "w", "w", "", "", "h"], "y", vec![]);
    states = states.weights("w", &[1, 1, 1]);
    states.graph().input.push(value_info("h", vec![]));
    assert!(states.refusal().contains("(LSTM): the operator is not"));
}
