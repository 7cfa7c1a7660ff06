//! Axis orders: data moves only where it must.

use super::eval::evaluate;
use super::*;
use crate::graph::{NodeId, Op};

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
        let weights = &graph.nodes[NodeId::new(1)].op.linear().unwrap().weights;
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
    let Op::Transpose { perm } = &graph.nodes[NodeId::new(1)].op else {
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
    assert_eq!(
        graph
            .consumers(graph.nodes[NodeId::new(first.unwrap())].output)
            .len(),
        2
    );
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

/// Shape, and elements in the file's order, of the output for one sample.
fn in_file_order(graph: &Graph, x: &[f32]) -> (Vec<usize>, Option<usize>, Vec<f32>) {
    let layout = graph.output_layout(0);
    let found = layout.samples_in_file_order(output_shape(graph), &evaluate(graph, x));
    (layout.shape, layout.batch, found)
}

/// A network whose file fixes the batch.
fn fixed(batch: i64, sample: &[i64]) -> Model {
    Model::new(sample).batch(Some(Dim::DimValue(batch)))
}

#[test]
fn the_output_is_described_as_the_file_has_it() {
    let image = Model::new(&[2, 1, 2])
        .floats("w", &[3, 2, 1, 1], &[1., 0., 0., 1., 1., 1.])
        .node("Conv", &["x", "w"], "y", vec![])
        .import();
    assert_eq!(output_shape(&image), [1, 2, 3]);
    let expected = vec![1., 2., 3., 4., 4., 6.];
    let found = in_file_order(&image, &[1., 2., 3., 4.]);
    assert_eq!(found, (vec![3, 1, 2], Some(0), expected));
    let moved = Model::new(&[2, 3])
        .node("Relu", &["x"], "r", vec![])
        .node("Transpose", &["r"], "y", vec![ints("perm", &[2, 0, 1])])
        .import();
    let found = in_file_order(&moved, &[1., 2., 3., 4., 5., 6.]);
    assert_eq!(found, (vec![3, 2], Some(1), vec![1., 4., 2., 5., 3., 6.]));
}

#[test]
fn flatten_at_axis_0_takes_a_batch_of_one() {
    let flat = |model: Model| {
        model
            .floats("w", &[4, 1], &[1., 10., 100., 1000.])
            .node("Flatten", &["x"], "f", vec![int("axis", 0)])
            .node("MatMul", &["f", "w"], "y", vec![])
    };
    let graph = flat(fixed(1, &[2, 1, 2])).import();
    assert_eq!(evaluate(&graph, &[1., 2., 3., 4.]), [4321.]);
    for batch in [Model::new(&[2, 1, 2]), fixed(4, &[2, 1, 2])] {
        assert!(flat(batch).refusal().contains("mixes the batch"));
    }
    let deep = fixed(1, &[2, 3]).node("Relu", &["x"], "r", vec![]).node(
        "Flatten",
        &["r"],
        "y",
        vec![int("axis", 2)],
    );
    let (shape, batch, _) = in_file_order(&deep.import(), &[0.; 6]);
    assert_eq!((shape, batch), (vec![2, 3], None));
}

#[test]
fn batch_norm_may_stand_behind_any_transpose_that_keeps_the_batch_off_its_channels() {
    let norm = |model: Model, perm: &[i64]| {
        model
            .floats("g", &[2], &[1., 10.])
            .floats("zero", &[2], &[0.; 2])
            .floats("one", &[2], &[1.; 2])
            .node("Transpose", &["x"], "t", vec![ints("perm", perm)])
            .node(
                "BatchNormalization",
                &["t", "g", "zero", "zero", "one"],
                "y",
                vec![float("epsilon", 0.0)],
            )
    };
    let x = [1., 2., 3., 4., 5., 6.];
    for model in [fixed(1, &[2, 3]), fixed(4, &[2, 3]), Model::new(&[2, 3])] {
        let (shape, batch, found) = in_file_order(&norm(model, &[2, 1, 0]).import(), &x);
        assert_eq!((shape, batch), (vec![3, 2], Some(2)));
        assert_eq!(found, [1., 40., 2., 50., 3., 60.]);
    }
    let on_batch = norm(fixed(2, &[2, 3]), &[1, 0, 2]);
    assert!(on_batch.refusal().contains("mixes the batch"));
}

#[test]
fn a_reshape_to_one_row_mixes_a_larger_batch() {
    let row = |batch, target: &[i64]| {
        fixed(batch, &[2, 3])
            .ints("t", target)
            .node("Reshape", &["x", "t"], "y", vec![])
    };
    let message = row(4, &[1, -1]).refusal();
    assert!(
        message.contains("mixes the batch") && message.contains("4 samples"),
        "{message}"
    );
    for (batch, target) in [
        (4, [4, -1]),
        (4, [0, 6]),
        (4, [-1, 6]),
        (1, [1, -1]),
        (1, [-1, 6]),
    ] {
        let found = in_file_order(&row(batch, &target).import(), &[0.; 6]);
        assert_eq!(found.0, [6], "{target:?}");
        assert_eq!(found.1, Some(0));
    }
    let none = in_file_order(&row(1, &[3, 2]).import(), &[0., 1., 2., 3., 4., 5.]);
    assert_eq!(none, (vec![3, 2], None, vec![0., 1., 2., 3., 4., 5.]));
}

#[test]
fn operators_take_a_batch_of_one_as_an_axis() {
    let x = [1., 2., 3., 4., 5., 6.];
    let one = || fixed(1, &[2, 3]);
    let found = |model: Model| in_file_order(&model.import(), &x);
    let refused = |with: fn(Model) -> Model| {
        let message = with(Model::new(&[2, 3])).refusal();
        assert!(message.contains("mixes the batch"), "{message}");
    };

    let squeezed = |model: Model| model.node("Squeeze", &["x"], "s", vec![]);
    let relu = |model: Model| model.node("Relu", &["s"], "y", vec![]);
    assert_eq!(found(relu(squeezed(one()))), (vec![2, 3], None, x.to_vec()));

    fn joined(model: Model) -> Model {
        model.node("Relu", &["x"], "r", vec![]).node(
            "Concat",
            &["x", "r"],
            "y",
            vec![int("axis", 0)],
        )
    }
    let twice = [x, x].concat();
    assert_eq!(found(joined(one())), (vec![2, 2, 3], None, twice));
    refused(joined);

    fn padded(model: Model) -> Model {
        model
            .ints("p", &[0, 0, 0, 1, 0, 0])
            .node("Pad", &["x", "p"], "y", vec![])
    }
    let behind = [x, [0.; 6]].concat();
    assert_eq!(found(padded(one())), (vec![2, 2, 3], None, behind));
    refused(padded);

    // Rows of one sample along axis 0.
    let rows = squeezed(one()).floats("w", &[3, 1], &[1., 10., 100.]).node(
        "MatMul",
        &["s", "w"],
        "y",
        vec![],
    );
    assert_eq!(found(rows), (vec![2, 1], None, vec![321., 654.]));
    let columns =
        squeezed(one())
            .floats("w", &[1, 2], &[1., 10.])
            .node("MatMul", &["w", "s"], "y", vec![]);
    assert_eq!(found(columns), (vec![1, 3], None, vec![41., 52., 63.]));
    let turned = squeezed(one()).floats("w", &[2, 1], &[1., 10.]).node(
        "Gemm",
        &["s", "w"],
        "y",
        vec![int("transA", 1)],
    );
    assert_eq!(found(turned), (vec![3, 1], None, vec![41., 52., 63.]));

    fn mean(model: Model) -> Model {
        model.node("ReduceMean", &["x"], "y", vec![int("keepdims", 0)])
    }
    assert_eq!(found(mean(one())), (vec![], None, vec![3.5]));
    refused(mean);

    // Values of one sample where a convolution has its batch.
    let conv = squeezed(one())
        .ints("t", &[2, 1, 1, 3])
        .weights("w", &[1, 1, 1, 1])
        .node("Reshape", &["s", "t"], "r", vec![])
        .node("Conv", &["r", "w"], "y", vec![]);
    let message = conv.refusal();
    assert!(
        message.contains("[2, 1, 1, 3]") && message.contains("axis 0"),
        "{message}"
    );
}

/// Shapes that the file computes have the batch that it fixes.
#[test]
fn computed_shapes_keep_a_fixed_batch() {
    let graph = fixed(4, &[2, 3])
        .ints("zero", &[0])
        .ints("rest", &[-1])
        .node("Shape", &["x"], "s", vec![])
        .node("Gather", &["s", "zero"], "n", vec![])
        .node("Concat", &["n", "rest"], "t", vec![int("axis", 0)])
        .node("Reshape", &["x", "t"], "y", vec![])
        .import();
    assert_eq!(in_file_order(&graph, &[0.; 6]).0, [6]);
}
