//! Tests of equalization: the function stays, ranges become alike.

use super::*;
use crate::executor::Executor;
use crate::graph::{Activation, Conv2d, Linear, NodeId, Op, TensorId, TensorMap, Window};
use crate::testing::{Sequence, graph_of, push};

/// Builds graphs node by node.
struct Builder {
    graph: Graph,
    random: Sequence,
}

impl Builder {
    fn new(seed: u64, shape: &[usize]) -> (Self, TensorId) {
        let graph = graph_of(&[shape]);
        let random = Sequence::new(seed);
        (Builder { graph, random }, TensorId::new(0))
    }

    fn node(
        &mut self,
        op: Op,
        inputs: &[TensorId],
        activation: Option<Activation>,
        shape: Option<Vec<usize>>,
    ) -> TensorId {
        let output = push(&mut self.graph, op, inputs, &shape.unwrap_or_default());
        self.graph.nodes.last_mut().expect("just made").activation = activation;
        output
    }

    /// Rows and columns of very different size.
    fn linear(&mut self, outputs: usize, products: usize) -> Linear {
        let mut weights = self.random.values(outputs * products, -1.0, 1.0);
        for row in weights.chunks_exact_mut(products) {
            let factor = 10_f32.powf(2.0 * self.random.unit() - 1.0);
            row.iter_mut().for_each(|weight| *weight *= factor);
        }
        Linear {
            weights,
            bias: self.random.values(outputs, -0.5, 0.5),
            out_channels: outputs,
            folded: None,
        }
    }

    fn conv(
        &mut self,
        input: TensorId,
        outputs: usize,
        kernel: usize,
        groups: usize,
        activation: Option<Activation>,
    ) -> TensorId {
        let in_channels = self.graph.tensors[input].channels();
        let linear = self.linear(outputs, kernel * kernel * in_channels / groups);
        let mut window = Window::new([kernel; 2]);
        window.pad_before = [kernel / 2; 2];
        window.pad_after = [kernel / 2; 2];
        let conv = Conv2d {
            linear,
            in_channels,
            groups,
            window,
        };
        self.node(Op::Conv2d(conv), &[input], activation, None)
    }

    fn dense(&mut self, input: TensorId, outputs: usize) -> TensorId {
        let linear = self.linear(outputs, self.graph.tensors[input].elements());
        self.node(Op::FullyConnected(linear), &[input], None, None)
    }

    fn finish(mut self, output: TensorId) -> Graph {
        self.graph.outputs = vec![output];
        self.graph.validate().expect("sound");
        self.graph
    }
}

const RELU: Option<Activation> = Some(Activation::Relu);
const RELU6: Option<Activation> = Some(Activation::Clip { min: 0.0, max: 6.0 });
const CLIP: Option<Activation> = Some(Activation::Clip {
    min: -0.5,
    max: 1.5,
});

/// Networks with every kind of operator that scales pass through, or do not.
fn networks(seed: u64) -> Vec<Graph> {
    let mut graphs = Vec::new();
    for activation in [None, RELU, RELU6, CLIP] {
        let (mut b, x) = Builder::new(seed, &[6, 5, 3]);
        let a = b.conv(x, 8, 3, 1, activation.clone());
        let d = b.conv(a, 8, 3, 8, activation.clone());
        let wide = b.conv(d, 16, 3, 8, activation.clone());
        let grouped = b.conv(wide, 8, 1, 2, activation);
        let out = b.conv(grouped, 4, 1, 1, None);
        graphs.push(b.finish(out));
    }
    // Pools, LeakyRelu, Pad, Reshape and a dense layer.
    let (mut b, x) = Builder::new(seed, &[8, 8, 3]);
    let a = b.conv(x, 6, 3, 1, None);
    let leaky = b.node(
        Op::Activation(Activation::LeakyRelu { alpha: 0.1 }),
        &[a],
        None,
        None,
    );
    let mut window = Window::new([2, 2]);
    window.stride = [2, 2];
    let pooled = b.node(Op::MaxPool(window), &[leaky], None, None);
    let pad = Op::Pad {
        before: vec![1, 0, 0],
        after: vec![0, 1, 0],
        value: 0.0,
    };
    let padded = b.node(pad, &[pooled], None, None);
    let second = b.conv(padded, 5, 3, 1, RELU6);
    let average = Op::AveragePool {
        window: Window::new([2, 2]),
        count_include_pad: false,
    };
    let averaged = b.node(average, &[second], None, None);
    let elements = b.graph.tensors[averaged].elements();
    let flat = b.node(Op::Reshape, &[averaged], None, Some(vec![elements]));
    let hidden = b.dense(flat, 7);
    let relu = b.node(Op::Activation(Activation::Relu), &[hidden], None, None);
    let out = b.dense(relu, 4);
    graphs.push(b.finish(out));
    // Residual sum, concat, and a gate.
    let (mut b, x) = Builder::new(seed, &[4, 4, 3]);
    let a = b.conv(x, 6, 1, 1, RELU);
    let c = b.conv(a, 6, 3, 1, None);
    let sum = b.node(Op::Add, &[a, c], RELU, None);
    let left = b.conv(sum, 4, 1, 1, RELU6);
    let right = b.conv(sum, 3, 3, 1, RELU);
    let joined = b.node(Op::Concat { axis: 2 }, &[left, right], None, None);
    let gate = b.conv(joined, 7, 1, 1, None);
    let gate = b.node(Op::Activation(Activation::Sigmoid), &[gate], None, None);
    let gated = b.node(Op::Mul, &[joined, gate], None, None);
    let out = b.conv(gated, 2, 1, 1, None);
    graphs.push(b.finish(out));
    // One-dimensional.
    let (mut b, x) = Builder::new(seed, &[1, 20, 2]);
    let a = b.conv(x, 6, 1, 1, RELU);
    let d = b.conv(a, 6, 3, 6, RELU6);
    let out = b.conv(d, 3, 1, 1, None);
    graphs.push(b.finish(out));
    graphs
}

fn outputs(graph: &Graph) -> (Vec<f32>, TensorMap<Vec<f32>>) {
    let executor = Executor::new(graph).expect("sound");
    let input = Sequence::new(99).values(3 * executor.input_elements(), -2.0, 2.0);
    let mut largest: TensorMap<Vec<f32>> = graph.tensors.map(|tensor| vec![0.0; tensor.channels()]);
    let mut hook = |tensor: TensorId, values: &mut [f32]| {
        let channels = &mut largest[tensor];
        for pixel in values.chunks_exact(channels.len()) {
            for (largest, value) in channels.iter_mut().zip(pixel) {
                *largest = largest.max(value.abs());
            }
        }
    };
    let output = executor.run(&input, 3, &mut hook).expect("runs");
    (output, largest)
}

fn assert_same(found: &[f32], expected: &[f32]) {
    let largest = expected
        .iter()
        .fold(0.0_f32, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-5 * largest,
            "{found} {expected} of {largest}"
        );
    }
}

#[test]
fn the_function_stays() {
    for seed in 0..4 {
        for graph in networks(seed) {
            let (expected, ranges) = outputs(&graph);
            for (rows, activations, sums) in [
                (true, 0.0, Sums::Scaled),
                (true, 0.5, Sums::Kept),
                (true, 1.0, Sums::Scaled),
                (false, 0.0, Sums::Scaled),
                (false, 0.5, Sums::Scaled),
            ] {
                let mut scaled = graph.clone();
                let changed = equalize(
                    &mut scaled,
                    &ranges,
                    Weighting {
                        rows,
                        activations,
                        sums,
                    },
                );
                assert!(changed > 0, "nothing was scaled");
                scaled.validate().expect("still sound");
                assert_same(&outputs(&scaled).0, &expected);
            }
            let mut scaled = graph.clone();
            aimet::equalize(&mut scaled);
            assert_same(&outputs(&scaled).0, &expected);
        }
    }
}

#[test]
fn what_only_scales_never_reaches_inputs_and_outputs() {
    for graph in networks(7) {
        let classes = Classes::of(&graph, Sums::Scaled);
        let fixed = |tensor: TensorId| classes.of[tensor].iter().all(Option::is_none);
        assert!(fixed(graph.inputs[0].tensor) && fixed(graph.outputs[0]));
    }
}

#[test]
fn a_second_time_changes_nothing() {
    for graph in networks(11) {
        let mut once = graph.clone();
        equalize(
            &mut once,
            &TensorMap::new(),
            Weighting {
                rows: true,
                activations: 0.0,
                sums: Sums::Scaled,
            },
        );
        let classes = Classes::of(&once, Sums::Scaled);
        let weighting = Weighting {
            rows: true,
            activations: 0.0,
            sums: Sums::Scaled,
        };
        let logs = solve::solve(&once, &classes, &TensorMap::new(), weighting);
        // Classes that nothing alive decides follow their tensor, which is not a fixed point to hold them to.
        let largest = logs
            .iter()
            .fold(0.0_f64, |largest, log| largest.max(log.abs()));
        assert!(largest < 1e-3, "{largest}");
    }
}

fn row_magnitude(graph: &Graph, node: usize, row: usize) -> f64 {
    Magnitudes::of(graph, &graph.nodes[NodeId::new(node)])
        .expect("a layer")
        .row(row, |_| 1.0)
}

fn column_magnitude(graph: &Graph, node: usize, column: usize) -> f64 {
    Magnitudes::of(graph, &graph.nodes[NodeId::new(node)])
        .expect("a layer")
        .column(column, |_| 1.0)
}

use super::magnitudes::Magnitudes;

#[test]
fn a_triple_gets_the_scales_of_the_closed_form() {
    let (mut b, x) = Builder::new(5, &[6, 6, 3]);
    let a = b.conv(x, 8, 1, 1, RELU);
    let d = b.conv(a, 8, 3, 8, RELU);
    let out = b.conv(d, 4, 1, 1, None);
    let graph = b.finish(out);
    let (mut ours, mut theirs) = (graph.clone(), graph);
    equalize(
        &mut ours,
        &TensorMap::new(),
        Weighting {
            rows: true,
            activations: 0.0,
            sums: Sums::Scaled,
        },
    );
    aimet::equalize(&mut theirs);
    for channel in 0..8 {
        let ranges = [
            row_magnitude(&ours, 0, channel),
            row_magnitude(&ours, 1, channel),
            column_magnitude(&ours, 2, channel),
        ];
        for range in ranges {
            assert!((range / ranges[0] - 1.0).abs() < 1e-3, "{ranges:?}");
        }
        let other = row_magnitude(&theirs, 1, channel);
        assert!((other / ranges[1] - 1.0).abs() < 1e-3, "{other} {ranges:?}");
    }
}

#[test]
fn dead_channels_neither_blow_up_nor_change_the_function() {
    for dead in [0.0, 1e-20, 1e-38] {
        let (mut b, x) = Builder::new(3, &[4, 4, 2]);
        let a = b.conv(x, 6, 1, 1, RELU6);
        let d = b.conv(a, 6, 3, 6, RELU);
        let out = b.conv(d, 3, 1, 1, None);
        let mut graph = b.finish(out);
        let linear = graph.nodes[NodeId::new(0)]
            .op
            .linear_mut()
            .expect("a layer");
        linear.weights[2..4].fill(dead);
        linear.weights[4..6].fill(90.0);
        let linear = graph.nodes[NodeId::new(1)]
            .op
            .linear_mut()
            .expect("a layer");
        linear.weights[27..36].fill(dead);
        let (expected, ranges) = outputs(&graph);
        for activations in [0.0, 0.5] {
            let mut scaled = graph.clone();
            equalize(
                &mut scaled,
                &ranges,
                Weighting {
                    rows: true,
                    activations,
                    sums: Sums::Scaled,
                },
            );
            for node in &scaled.nodes {
                let linear = node.op.linear().expect("a layer");
                let numbers = linear.weights.iter().chain(&linear.bias);
                assert!(numbers.into_iter().all(|x| x.abs() < 1e6), "blown up");
            }
            assert_same(&outputs(&scaled).0, &expected);
        }
    }
}

#[test]
fn clips_get_bounds_of_their_own_and_sums_do_not() {
    let (mut b, x) = Builder::new(3, &[4, 4, 2]);
    let a = b.conv(x, 6, 1, 1, RELU6);
    let c = b.conv(a, 6, 1, 1, RELU);
    let sum = b.node(Op::Add, &[c, c], RELU6, None);
    let out = b.conv(sum, 2, 1, 1, None);
    let mut graph = b.finish(out);
    equalize(
        &mut graph,
        &TensorMap::new(),
        Weighting {
            rows: true,
            activations: 0.0,
            sums: Sums::Scaled,
        },
    );
    assert!(matches!(
        graph.nodes[NodeId::new(0)].activation,
        Some(Activation::ClipPerChannel { .. })
    ));
    assert_eq!(graph.nodes[NodeId::new(2)].activation, RELU6);
}
