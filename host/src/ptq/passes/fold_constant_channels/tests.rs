//! Each rule on a small network, which has to compute what it did.

use super::*;
use crate::executor::Executor;
use crate::graph::{Activation, BatchNorm, Conv2d, Linear, NodeId, Op, TensorId, Window};
use crate::testing::{self, Sequence, assert_close, graph_of};

const RELU6: Activation = Activation::Clip { min: 0.0, max: 6.0 };

fn graph(shape: [usize; 3]) -> Graph {
    graph_of(&[&shape])
}

/// Adds a node, whose output becomes the network's only one.
fn push(
    graph: &mut Graph,
    op: Op,
    inputs: &[TensorId],
    activation: Option<Activation>,
) -> TensorId {
    // Reshapes flatten.
    let elements = graph.tensors[inputs[0]].elements();
    let output = testing::push(graph, op, inputs, &[elements]);
    graph.nodes.last_mut().expect("just made").activation = activation;
    output
}

fn linear(weights: Vec<f32>, bias: &[f32]) -> Linear {
    Linear {
        weights,
        bias: bias.to_vec(),
        out_channels: bias.len(),
        folded: None,
    }
}

fn conv(
    weights: Vec<f32>,
    bias: &[f32],
    in_channels: usize,
    groups: usize,
    kernel: usize,
    padding: usize,
) -> Op {
    let mut window = Window::new([kernel; 2]);
    window.pad_before = [padding; 2];
    window.pad_after = [padding; 2];
    Op::Conv2d(Conv2d {
        linear: linear(weights, bias),
        in_channels,
        groups,
        window,
    })
}

/// A 1x1 convolution from two channels to as many as there are biases, whose weights are all `dead` in channel 0 and alive in the others.
fn first(graph: &mut Graph, dead: f32, bias: &[f32], activation: Option<Activation>) -> TensorId {
    let mut weights = vec![dead, -dead];
    weights.extend(Sequence::new(3).values(2 * (bias.len() - 1), 0.2, 1.0));
    push(
        graph,
        conv(weights, bias, 2, 1, 1, 0),
        &[TensorId::new(0)],
        activation,
    )
}

/// A 1x1 convolution that reads three channels, channel 0 with weights of 50.
fn last(graph: &mut Graph, input: TensorId) -> TensorId {
    let weights = vec![50.0, 0.3, -0.2, -50.0, 0.1, 0.4];
    push(
        graph,
        conv(weights, &[0.1, -0.2], 3, 1, 1, 0),
        &[input],
        None,
    )
}

fn run(graph: &Graph) -> Vec<f32> {
    let executor = Executor::new(graph).expect("sound");
    let input = Sequence::new(9).values(2 * executor.input_elements(), -1.0, 1.0);
    executor.forward(&input, 2).expect("runs")
}

/// Runs the pass with inputs in -1..1, checks that the function stays, and that a second run finds nothing.
fn folded(before: &Graph) -> (Graph, PassReport) {
    let unit = Range {
        min: -1.0,
        max: 1.0,
    };
    let pass = FoldConstantChannels { inputs: vec![unit] };
    let mut after = before.clone();
    let report = pass.run(&mut after).expect("runs");
    after.validate().expect("still sound");
    let expected = run(before);
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert_close(&run(&after), &expected, 1e-5 * largest);
    let mut again = after.clone();
    assert_eq!(pass.run(&mut again).expect("runs").changed, 0);
    assert_eq!(again, after);
    (after, report)
}

fn of(graph: &Graph, node: usize) -> &Linear {
    graph.nodes[NodeId::new(node)].op.linear().expect("a layer")
}

/// The weights with which a layer of 1x1 windows reads a channel.
fn column(linear: &Linear, channel: usize) -> Vec<f32> {
    linear.rows().map(|row| row[channel]).collect()
}

#[test]
fn what_relu6_never_lets_through_is_zero_for_its_readers() {
    for (dead, bias) in [(1e-20, -0.4), (0.1, -0.4), (0.0, 0.0), (1e-20, 0.0)] {
        let mut graph = graph([2, 2, 2]);
        let hidden = first(&mut graph, dead, &[bias, 0.1, 0.2], Some(RELU6));
        last(&mut graph, hidden);
        let (after, report) = folded(&graph);
        assert_eq!(of(&after, 0).weights[..2], [0.0, 0.0]);
        assert_eq!(of(&after, 0).bias, [0.0, 0.1, 0.2]);
        assert_eq!(column(of(&after, 1), 0), [0.0, 0.0], "{dead} {bias}");
        assert_eq!(of(&after, 1).bias, of(&graph, 1).bias);
        assert_eq!(column(of(&after, 1), 1), column(of(&graph, 1), 1));
        if dead != 0.0 {
            assert_eq!(report.changed, 2);
            assert_eq!(
                report.notes,
                ["`conv_2d`: 1 of 3 channels are constant; they set no range any more"]
            );
        }
    }
}

#[test]
fn a_channel_that_sometimes_shows_is_left_alone() {
    // Of a live channel the inputs reach up to 0.2, just above -0.19; and small beside its bias is not small.
    for (weight, bias) in [(0.1, -0.19), (1e-6, 0.0), (1e-6, 5.0)] {
        let mut graph = graph([2, 2, 2]);
        let hidden = first(&mut graph, weight, &[bias, 0.1, 0.2], Some(RELU6));
        last(&mut graph, hidden);
        let (after, report) = folded(&graph);
        assert_eq!(after, graph);
        assert_eq!((report.changed, report.notes.len()), (0, 0));
    }
}

#[test]
fn without_ranges_only_tiny_weights_count() {
    let mut graph = graph([2, 2, 2]);
    let hidden = first(&mut graph, 0.1, &[-0.4, 0.1, 0.2], Some(RELU6));
    last(&mut graph, hidden);
    let mut after = graph.clone();
    let pass = FoldConstantChannels::default();
    assert_eq!(pass.run(&mut after).expect("runs").changed, 0);
    let Some(linear) = after.nodes[NodeId::new(0)].op.linear_mut() else {
        panic!("a layer");
    };
    linear.weights[..2].fill(1e-20);
    assert_eq!(pass.run(&mut after).expect("runs").changed, 2);
}

#[test]
fn damaged_weights_are_left_for_others_to_refuse() {
    let mut graph = graph([2, 2, 2]);
    let hidden = first(&mut graph, f32::NAN, &[-0.4, 0.1, 0.2], Some(RELU6));
    last(&mut graph, hidden);
    let pass = FoldConstantChannels::default();
    assert_eq!(pass.run(&mut graph).expect("runs").changed, 0);
}

#[test]
fn a_constant_goes_into_the_bias_of_an_unpadded_layer() {
    // 2.5 is let through, 8 held at 6; neither is left in the tensor.
    for (bias, constant) in [(2.5, 2.5), (8.0, 6.0)] {
        let mut graph = graph([4, 4, 2]);
        let hidden = first(&mut graph, 1e-9, &[bias, 0.1, 0.2], Some(RELU6));
        let weights = Sequence::new(5).values(2 * 9 * 3, -1.0, 1.0);
        push(
            &mut graph,
            conv(weights, &[0.1, 0.2], 3, 1, 3, 0),
            &[hidden],
            None,
        );
        let (after, _) = folded(&graph);
        assert_eq!(of(&after, 0).bias[0], 0.0);
        assert_eq!(of(&after, 0).weights[..2], [0.0, 0.0]);
        for (row, weights) in of(&graph, 1).rows().enumerate() {
            let sum: f32 = weights.iter().step_by(3).sum();
            let expected = of(&graph, 1).bias[row] + constant * sum;
            assert!((of(&after, 1).bias[row] - expected).abs() < 1e-4);
        }
        let columns = of(&after, 1).weights.iter().step_by(3);
        assert!(columns.copied().all(|weight| weight == 0.0));
    }
}

#[test]
fn a_constant_that_a_padded_layer_reads_stays() {
    let mut graph = graph([4, 4, 2]);
    let hidden = first(&mut graph, 1e-9, &[2.5, 0.1, 0.2], Some(RELU6));
    let padded = Sequence::new(5).values(2 * 9 * 3, -1.0, 1.0);
    let padded = push(
        &mut graph,
        conv(padded, &[0.1, 0.2], 3, 1, 3, 1),
        &[hidden],
        None,
    );
    let unpadded = last(&mut graph, hidden);
    push(&mut graph, Op::Add, &[padded, unpadded], None);
    let (after, _) = folded(&graph);
    assert_eq!(of(&after, 0).weights[..2], [0.0, 0.0]);
    assert_eq!(of(&after, 0).bias[0], 2.5, "the padded layer reads it");
    assert_eq!(of(&after, 1), of(&graph, 1));
    assert_eq!(column(of(&after, 2), 0), [0.0, 0.0]);
}

#[test]
fn a_padded_layer_does_without_zeros() {
    let mut graph = graph([4, 4, 2]);
    let hidden = first(&mut graph, 1e-9, &[-1.0, 0.1, 0.2], Some(RELU6));
    let padded = Sequence::new(5).values(2 * 9 * 3, -1.0, 1.0);
    push(
        &mut graph,
        conv(padded, &[0.1, 0.2], 3, 1, 3, 1),
        &[hidden],
        None,
    );
    let (after, _) = folded(&graph);
    let mut columns = of(&after, 1).weights.iter().step_by(3);
    assert!(columns.all(|&weight| weight == 0.0));
}

/// conv, depthwise 3x3 with padding and a row of 90 in channel 0, conv.
fn separable(bias: f32, depthwise_bias: f32, padding: usize) -> Graph {
    let mut graph = graph([4, 4, 2]);
    let hidden = first(&mut graph, 1e-20, &[bias, 0.1, 0.2], Some(RELU6));
    let mut weights = vec![90.0; 9];
    weights.extend(Sequence::new(6).values(18, -1.0, 1.0));
    let biases = [depthwise_bias, 0.3, -0.3];
    let hidden = push(
        &mut graph,
        conv(weights, &biases, 3, 3, 3, padding),
        &[hidden],
        Some(RELU6),
    );
    last(&mut graph, hidden);
    graph
}

#[test]
fn constants_run_through_depthwise_layers() {
    for padding in [0, 1] {
        let graph = separable(-0.4, 0.7, padding);
        let (after, report) = folded(&graph);
        assert_eq!(report.changed, 3);
        // The depthwise channel was the constant 0.7 and is nothing now.
        assert_eq!(of(&after, 1).weights[..9], [0.0; 9]);
        assert_eq!(of(&after, 1).bias, [0.0, 0.3, -0.3]);
        assert_eq!(column(of(&after, 2), 0), [0.0, 0.0]);
        assert!((of(&after, 2).bias[0] - 35.1).abs() < 1e-4);
    }
    // Without a border a constant runs through as well, here into the clip's upper bound.
    let (after, _) = folded(&separable(0.4, 0.7, 0));
    assert_eq!(of(&after, 0).bias[0], 0.0);
    assert_eq!(of(&after, 1).weights[..9], [0.0; 9]);
    assert!((of(&after, 2).bias[0] - 300.1).abs() < 1e-3);
}

#[test]
fn a_padded_depthwise_layer_keeps_what_its_border_shows() {
    let graph = separable(0.01, -1.0, 1);
    let (after, _) = folded(&graph);
    assert_eq!(of(&after, 0).bias[0], 0.01);
    assert_eq!(of(&after, 1), of(&graph, 1));
    assert_eq!(of(&after, 2), of(&graph, 2));
}

#[test]
fn a_flattened_tensor_repeats_its_channels() {
    let mut graph = graph([2, 2, 2]);
    let hidden = first(&mut graph, 1e-20, &[2.0, 0.1, 0.2], Some(RELU6));
    let flat = push(&mut graph, Op::Reshape, &[hidden], None);
    let weights = Sequence::new(7).values(2 * 12, 0.5, 1.0);
    let layer = Op::FullyConnected(linear(weights, &[0.0, 0.1]));
    push(&mut graph, layer, &[flat], None);
    let (after, _) = folded(&graph);
    for row in of(&after, 2).rows() {
        for (place, &weight) in row.iter().enumerate() {
            assert_eq!(weight == 0.0, place % 3 == 0, "{place}");
        }
    }
    assert_eq!(of(&after, 0).bias[0], 0.0);
}

/// Two branches that meet in a sum, whose channel 0 is `a + b`.
fn residual(a: f32, b: f32, shared: bool) -> Graph {
    let mut graph = graph([2, 2, 2]);
    let left = first(&mut graph, 1e-20, &[a, 0.1, 0.2], Some(RELU6));
    let right = first(&mut graph, 1e-20, &[b, 0.3, 0.4], None);
    let sum = push(&mut graph, Op::Add, &[left, right], Some(Activation::Relu));
    let out = last(&mut graph, sum);
    if shared {
        graph.outputs = vec![out, left];
    }
    graph
}

#[test]
fn sums_of_constants_are_constants_and_go_with_their_reader() {
    let (after, _) = folded(&residual(2.0, 1.0, false));
    assert_eq!(of(&after, 0).bias[0], 0.0);
    assert_eq!(of(&after, 1).bias[0], 0.0);
    assert_eq!(column(of(&after, 3), 0), [0.0, 0.0]);
    assert!((of(&after, 3).bias[0] - 150.1).abs() < 1e-4);
}

#[test]
fn a_constant_stays_where_something_else_reads_it() {
    // The left branch is an output of the network, too.
    let (after, _) = folded(&residual(2.0, 1.0, true));
    assert_eq!(of(&after, 0).bias[0], 2.0);
    assert_eq!(of(&after, 1).bias[0], 0.0);
    // A sum of a constant and something live is live.
    let mut graph = graph([2, 2, 2]);
    let left = first(&mut graph, 1e-20, &[2.0, 0.1, 0.2], Some(RELU6));
    let right = first(&mut graph, 0.3, &[1.0, 0.3, 0.4], None);
    let sum = push(&mut graph, Op::Add, &[left, right], None);
    last(&mut graph, sum);
    let (after, _) = folded(&graph);
    assert_eq!(of(&after, 0).bias[0], 2.0);
    assert_eq!(of(&after, 0).weights[..2], [0.0, 0.0]);
    assert_eq!(of(&after, 3), of(&graph, 3));
}

#[test]
fn what_nobody_reads_is_nothing() {
    let mut graph = graph([2, 2, 2]);
    let live = first(&mut graph, 0.5, &[1.0, 0.1, 0.2], Some(RELU6));
    let pooled = push(&mut graph, Op::MaxPool(Window::new([2, 2])), &[live], None);
    let weights = vec![0.0, 0.3, -0.2, 0.0, 0.1, 0.4];
    let op = conv(weights, &[0.1, -0.2], 3, 1, 1, 0);
    push(&mut graph, op, &[pooled], None);
    let (after, report) = folded(&graph);
    assert_eq!(report.changed, 1);
    assert_eq!(of(&after, 0).weights[..2], [0.0, 0.0]);
    assert_eq!(of(&after, 0).bias[0], 0.0);
    // A clip that does not let 0 through lets its nearest bound.
    graph.nodes[NodeId::new(0)].activation = Some(Activation::ClipPerChannel {
        min: vec![0.5, 0.0, 0.0],
        max: vec![6.0; 3],
    });
    assert_eq!(of(&folded(&graph).0, 0).bias[0], 0.5);
}

#[test]
fn constants_pass_what_moves_elements() {
    let mut graph = graph([4, 4, 2]);
    let left = first(&mut graph, 1e-20, &[2.0, 0.1, 0.2], Some(RELU6));
    let right = first(&mut graph, 1e-20, &[-1.0, 0.3, 0.4], Some(RELU6));
    let joined = push(&mut graph, Op::Concat { axis: 2 }, &[left, right], None);
    let padded = Op::Pad {
        before: vec![1, 1, 0],
        after: vec![0, 0, 1],
        value: 2.0,
    };
    // The border is 2: channel 0 stays a constant, channel 3 does not, and channel 6 is new and one.
    let padded = push(&mut graph, padded, &[joined], None);
    let pool = Op::AveragePool {
        window: Window::new([2, 2]),
        count_include_pad: true,
    };
    let pooled = push(&mut graph, pool, &[padded], None);
    let sigmoid = push(
        &mut graph,
        Op::Activation(Activation::Sigmoid),
        &[pooled],
        None,
    );
    let weights = Sequence::new(8).values(14, 0.5, 1.0);
    let op = conv(weights, &[0.0, 0.0], 7, 1, 1, 0);
    push(&mut graph, op, &[sigmoid], None);
    let (after, _) = folded(&graph);
    for channel in 0..7 {
        let gone = column(of(&after, 6), channel) == [0.0, 0.0];
        assert_eq!(gone, [0, 6].contains(&channel), "{channel}");
    }
    assert_eq!(of(&after, 0).bias[0], 0.0);
    assert_eq!(of(&after, 1).bias[0], 0.0);
}

#[test]
fn a_relu_of_its_own_cuts_as_a_fused_one() {
    let mut graph = graph([2, 2, 2]);
    let hidden = first(&mut graph, 0.1, &[-0.4, 0.1, 0.2], None);
    let relu = push(
        &mut graph,
        Op::Activation(Activation::Relu),
        &[hidden],
        None,
    );
    let out = last(&mut graph, relu);
    graph.outputs = vec![out, hidden];
    let (after, _) = folded(&graph);
    assert_eq!(of(&after, 0), of(&graph, 0), "an output of the network");
    assert_eq!(column(of(&after, 2), 0), [0.0, 0.0]);
}

#[test]
fn statistics_follow_the_constant() {
    let mut graph = graph([2, 2, 2]);
    let hidden = first(&mut graph, 1e-20, &[2.0, 0.1, 0.2], Some(RELU6));
    last(&mut graph, hidden);
    let Some(layer) = graph.nodes[NodeId::new(0)].op.linear_mut() else {
        panic!("a layer");
    };
    layer.folded = Some(BatchNorm {
        gamma: vec![3.0, 1.0, 1.0],
        beta: vec![2.0, 0.1, 0.2],
        mean: vec![0.1; 3],
        variance: vec![0.9; 3],
        epsilon: 1e-3,
    });
    let (after, _) = folded(&graph);
    let norm = of(&after, 0).folded.as_ref().expect("kept");
    assert_eq!(norm.gamma, [0.0, 1.0, 1.0]);
    assert_eq!(norm.beta, [0.0, 0.1, 0.2]);
}

#[test]
fn many_layers_share_a_sentence() {
    let mut graph = graph([2, 2, 2]);
    let mut hidden = TensorId::new(0);
    for _ in 0..5 {
        let weights = vec![1e-20, 1e-20, 0.5, 0.7];
        let op = conv(weights, &[-1.0, 0.1], 2, 1, 1, 0);
        hidden = push(&mut graph, op, &[hidden], Some(RELU6));
    }
    let (_, report) = folded(&graph);
    assert_eq!(
        report.notes,
        [
            "5 of 10 channels of 5 layers are constant, 1 of 2 in `conv_2d_4`; they set no range any more"
        ]
    );
}
