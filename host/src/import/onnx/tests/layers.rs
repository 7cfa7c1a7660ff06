//! Convolutions, pools, dense layers and BatchNorm, as each opset writes them.

use super::eval::evaluate;
use super::*;
use crate::graph::{NodeId, Op, Window};

fn window(graph: &Graph) -> Window {
    match &graph.nodes[NodeId::new(0)].op {
        Op::Conv2d(conv) => conv.window,
        Op::MaxPool(window) | Op::AveragePool { window, .. } => *window,
        op => panic!("{}", op.kind()),
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
    assert_eq!(graph.nodes[NodeId::new(0)].name, "y_node");
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
        graph.nodes[NodeId::new(0)].op,
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
    let graph = pool("MaxPool", vec![ints("dilations", &[1, 2])]).import();
    assert_eq!(output_shape(&graph), [2, 2, 2]);
    assert_eq!(window(&graph).dilation, [1, 2]);
    // A single row has none to be apart from.
    let mut single = pool("MaxPool", vec![ints("dilations", &[999, 2])]);
    single.graph().node[0]
        .attribute
        .retain(|a| a.name != "kernel_shape");
    single.graph().node[0]
        .attribute
        .push(ints("kernel_shape", &[1, 2]));
    assert_eq!(window(&single.import()).dilation, [1, 2]);
    // Taps in columns -2, 6 and 14 of 7; then in -1, 7 and 15, on either side of it.
    let dilated = |pads| {
        pool(
            "MaxPool",
            vec![ints("dilations", &[1, 8]), ints("pads", pads)],
        )
    };
    assert_eq!(output_shape(&dilated(&[0, 2, 0, 8]).import()), [2, 1, 2]);
    let refused = dilated(&[0, 1, 0, 9]);
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
    let Op::BatchNorm(norm) = &graph.nodes[NodeId::new(0)].op else {
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
