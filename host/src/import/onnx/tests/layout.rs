//! Axis orders: data moves only where it must.

use super::eval::evaluate;
use super::*;
use crate::graph::Op;

#[test]
fn flatten_into_dense_permutes_weights() {
    let flat = |node: &str| {
        let model = Model::new(&[2, 1, 2]).ints("shape", &[0, -1]).floats(
            "w",
            &[4, 1],
            &[1., 10., 100., 1000.],
        );
        let model = match node {
            "Flatten" => model.node("Flatten", &["x"], "f", vec![]),
            _ => model.node("Reshape", &["x", "shape"], "f", vec![]),
        };
        model
            .node("Relu", &["f"], "r", vec![])
            .node("MatMul", &["r", "w"], "y", vec![])
            .import()
    };
    for node in ["Flatten", "Reshape"] {
        let graph = flat(node);
        assert_eq!(kinds(&graph), ["relu", "fully_connected"]);
        assert_eq!(input_shape(&graph), [1, 2, 2]);
        assert_eq!(evaluate(&graph, &[1., 2., 3., 4.]), [4321.]);
        let weights = &graph.nodes[1].op.linear().unwrap().weights;
        assert_eq!(weights, &[1., 100., 10., 1000.]);
    }
}

#[test]
fn batch_norm_behind_flatten_permutes_its_parameters() {
    let graph = Model::new(&[2, 1, 2])
        .floats("g", &[4], &[1., 10., 100., 1000.])
        .floats("zero", &[4], &[0.; 4])
        .floats("one", &[4], &[1.; 4])
        .floats("w", &[4, 1], &[1.; 4])
        .node("Flatten", &["x"], "f", vec![])
        .node(
            "BatchNormalization",
            &["f", "g", "zero", "zero", "one"],
            "n",
            vec![float("epsilon", 0.0)],
        )
        .node("MatMul", &["n", "w"], "y", vec![])
        .import();
    assert!(!kinds(&graph).contains(&"transpose"));
    assert_eq!(evaluate(&graph, &[1., 2., 3., 4.]), [4321.]);
}

#[test]
fn transposes_around_a_convolution_vanish() {
    let graph = Model::new(&[5, 6, 3])
        .weights("w", &[4, 3, 1, 1])
        .node("Transpose", &["x"], "t", vec![ints("perm", &[0, 3, 1, 2])])
        .node("Conv", &["t", "w"], "c", vec![])
        .node("Transpose", &["c"], "y", vec![ints("perm", &[0, 2, 3, 1])])
        .import();
    assert_eq!(kinds(&graph), ["conv_2d"]);
    assert_eq!(input_shape(&graph), [5, 6, 3]);
    assert_eq!(graph.inputs[0].source_axes, [0, 1, 2]);
    assert_eq!(graph.inputs[0].source_shape, [5, 6, 3]);
    assert_eq!(graph.tensors[graph.outputs[0]].name, "y");
}

#[test]
fn sequences_in_either_order_come_as_rows() {
    let last = Model::new(&[9, 3])
        .weights("w", &[4, 3, 3])
        .node("Transpose", &["x"], "t", vec![ints("perm", &[0, 2, 1])])
        .node("Conv", &["t", "w"], "y", vec![])
        .import();
    assert_eq!(kinds(&last), ["conv_2d"]);
    assert_eq!(input_shape(&last), [1, 9, 3]);
    assert_eq!(last.inputs[0].source_shape, [9, 1, 3]);
    assert_eq!(last.inputs[0].source_axes, [1, 0, 2]);
    assert_eq!(output_shape(&last), [1, 7, 4]);
}

#[test]
fn an_input_that_nothing_channelwise_reads_keeps_its_order() {
    let graph = Model::new(&[5, 6])
        .node("Relu", &["x"], "y", vec![])
        .import();
    assert_eq!(input_shape(&graph), [5, 6]);
    assert_eq!(graph.inputs[0].source_axes, [0, 1]);
    let image = Model::new(&[3, 5, 6])
        .node("Relu", &["x"], "y", vec![])
        .import();
    assert_eq!(input_shape(&image), [5, 6, 3]);
}

#[test]
fn channel_shuffle_moves_only_channels() {
    let graph = Model::new(&[4, 1, 2])
        .weights("w", &[4, 4, 1, 1])
        .ints("split", &[-1, 2, 2, 1, 2])
        .ints("join", &[-1, 4, 1, 2])
        .floats("v", &[1, 4, 1, 1], &[1., 10., 100., 1000.])
        .node("Reshape", &["x", "split"], "a", vec![])
        .node(
            "Transpose",
            &["a"],
            "t",
            vec![ints("perm", &[0, 2, 1, 3, 4])],
        )
        .node("Reshape", &["t", "join"], "s", vec![])
        .node("Conv", &["s", "v"], "y", vec![])
        .import();
    assert_eq!(
        kinds(&graph),
        ["reshape", "transpose", "reshape", "conv_2d"]
    );
    let Op::Transpose { perm } = &graph.nodes[1].op else {
        panic!("{:?}", kinds(&graph));
    };
    assert_eq!(perm, &[0, 1, 3, 2]);
    // Channels 1 2 3 4 come as 1 3 2 4.
    let x = [1., 1., 2., 2., 3., 3., 4., 4.];
    assert_eq!(evaluate(&graph, &x), [4231., 4231.]);
}

#[test]
fn one_transpose_serves_all_its_readers() {
    let graph = Model::new(&[2, 3, 4])
        .node("Softmax", &["x"], "a", vec![])
        .node("Softmax", &["x"], "b", vec![])
        .node("Add", &["a", "b"], "y", vec![])
        .import();
    let transposes = kinds(&graph)
        .iter()
        .filter(|kind| **kind == "transpose")
        .count();
    // One to bring the columns to the end for both; the sum is made channels-last.
    assert!(transposes <= 3, "{:?}", kinds(&graph));
    let first = graph
        .nodes
        .iter()
        .position(|node| node.op.kind() == "transpose");
    assert_eq!(graph.consumers(graph.nodes[first.unwrap()].output).len(), 2);
}

#[test]
fn a_moved_batch_is_followed_or_refused() {
    let moved = Model::new(&[3, 4]).node("Transpose", &["x"], "t", vec![ints("perm", &[2, 0, 1])]);
    let back = moved.clone().node("Relu", &["t"], "r", vec![]).node(
        "Transpose",
        &["r"],
        "y",
        vec![ints("perm", &[1, 2, 0])],
    );
    assert_eq!(kinds(&back.import()), ["relu"]);
    let flattened = moved.node("Flatten", &["t"], "y", vec![]);
    assert!(
        flattened.refusal().contains("batch"),
        "{}",
        flattened.refusal()
    );
}

#[test]
fn the_output_keeps_the_files_order_unless_channelwise() {
    let flat = Model::new(&[2, 1, 2])
        .weights("w", &[2, 2, 1, 1])
        .node("Conv", &["x", "w"], "c", vec![])
        .node("Flatten", &["c"], "y", vec![])
        .import();
    assert_eq!(kinds(&flat), ["conv_2d", "transpose", "reshape"]);
    assert_eq!(output_shape(&flat), [4]);
    assert_eq!(flat.tensors[flat.outputs[0]].name, "y");
}
