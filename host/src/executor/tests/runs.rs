//! A whole network: threads, samples, hooks, outputs.

use super::*;
use crate::graph::NodeId;

/// A small residual network with every kind of sharing: fused tails, a tensor read twice, constants, operands that survive.
fn residual() -> Graph {
    let mut graph = graph_of(&[&[17, 19, 3]]);
    let same = |kernel| window(kernel, [1, 1], [1, 1], [kernel[0] / 2; 4]);
    let norm =
        |channels| Op::BatchNorm(BatchNorm::affine(noise(channels, 20), noise(channels, 21)));
    let stem = push(
        &mut graph,
        Op::Conv2d(conv(3, 24, 1, same([3, 3]))),
        &[TensorId::new(0)],
        &[],
    );
    let stem = push(&mut graph, norm(24), &[stem], &[]);
    let stem = push(&mut graph, Op::Activation(Activation::Relu), &[stem], &[]);
    let deep = push(
        &mut graph,
        Op::Conv2d(conv(24, 24, 24, same([3, 3]))),
        &[stem],
        &[],
    );
    let deep = push(&mut graph, norm(24), &[deep], &[]);
    graph.nodes.last_mut().unwrap().activation = Some(Activation::Clip {
        min: -1.0,
        max: 6.0,
    });
    let deep = push(
        &mut graph,
        Op::Conv2d(conv(24, 24, 1, same([1, 1]))),
        &[deep],
        &[],
    );
    let sum = push(&mut graph, Op::Add, &[stem, deep], &[]);
    let difference = push(&mut graph, Op::Sub, &[sum, stem], &[]);
    let twice = push(&mut graph, Op::Add, &[difference, difference], &[]);
    let constant = push(&mut graph, Op::Constant(noise(24, 22)), &[], &[24]);
    let scaled = push(&mut graph, Op::Mul, &[twice, constant], &[]);
    let joined = push(
        &mut graph,
        Op::Concat { axis: 2 },
        &[scaled, stem, sum],
        &[],
    );
    let pooled = Op::AveragePool {
        window: Window::new([17, 19]),
        count_include_pad: false,
    };
    let pooled = push(&mut graph, pooled, &[joined], &[]);
    let flat = push(&mut graph, Op::Reshape, &[pooled], &[72]);
    let linear = Linear {
        weights: noise(72 * 10, 23),
        bias: noise(10, 24),
        out_channels: 10,
        folded: None,
    };
    let logits = push(&mut graph, Op::FullyConnected(linear), &[flat], &[]);
    let softmax = push(&mut graph, Op::Softmax, &[logits], &[]);
    graph.outputs = vec![softmax, logits, sum];
    graph.validate().unwrap();
    graph
}

fn in_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(work)
}

#[test]
fn results_are_the_same_bits_with_any_number_of_threads_and_samples() {
    let graph = residual();
    let executor = Executor::new(&graph).unwrap();
    let samples = 37;
    let input = noise(samples * executor.input_elements(), 25);
    let one = in_threads(1, || executor.forward(&input, samples).unwrap());
    for threads in [2, 3] {
        let more = in_threads(threads, || executor.forward(&input, samples).unwrap());
        assert!(one == more, "{threads} threads");
    }
    // Each sample alone gives what it gives among others.
    let alone: Vec<f32> = input
        .chunks_exact(executor.input_elements())
        .flat_map(|sample| executor.forward(sample, 1).unwrap())
        .collect();
    assert!(one == alone);
}

#[test]
fn observed_runs_give_the_same_bits_and_show_every_tensor_in_order() {
    let graph = residual();
    let executor = Executor::new(&graph).unwrap();
    let samples = executor.chunk_samples() + 3;
    let input = noise(samples * executor.input_elements(), 26);
    let mut seen = Vec::new();
    let mut sums = graph.tensors.map(|_| Vec::new());
    let mut hook = |id: TensorId, values: &mut [f32]| {
        seen.push(id);
        sums[id].extend_from_slice(values);
    };
    let observed = executor.run(&input, samples, &mut hook).unwrap();
    assert!(observed == executor.forward(&input, samples).unwrap());
    let mut order = vec![graph.inputs[0].tensor];
    order.extend(graph.nodes.iter().map(|node| node.output));
    let chunks = [order.clone(), order].concat();
    assert_eq!(seen, chunks);
    for (values, tensor) in sums.iter().zip(&graph.tensors) {
        assert_eq!(values.len(), samples * tensor.elements(), "{}", tensor.name);
    }
    // What the hook saw is consistent: the sum is that of its operands.
    let by_node = |index: usize| &sums[graph.nodes[NodeId::new(index)].output];
    let expected: Vec<_> = by_node(2)
        .iter()
        .zip(by_node(5))
        .map(|(a, b)| a + b)
        .collect();
    assert_eq!(by_node(6), &expected);
}

#[test]
fn what_a_hook_writes_is_what_readers_get() {
    let graph = residual();
    let executor = Executor::new(&graph).unwrap();
    let input = noise(executor.input_elements(), 27);
    let logits = graph.outputs[1];
    let mut hook = |id: TensorId, values: &mut [f32]| {
        if id == logits {
            values.fill(3.0);
        }
    };
    let output = executor.run(&input, 1, &mut hook).unwrap();
    assert_close(&output[..10], &[0.1; 10]);
    assert_eq!(&output[10..20], &[3.0; 10]);
}

#[test]
fn inputs_that_are_outputs_survive() {
    let mut graph = single(Op::Activation(Activation::Relu), &[&[4]], &[]);
    graph.outputs = vec![graph.nodes[NodeId::new(0)].output, TensorId::new(0)];
    let output = Executor::new(&graph)
        .unwrap()
        .forward(&[-1.0, 2.0, -3.0, 4.0], 1);
    assert_eq!(output.unwrap(), [0.0, 2.0, 0.0, 4.0, -1.0, 2.0, -3.0, 4.0]);
}

#[test]
fn threads_that_share_out_channels_give_the_same_bits() {
    let pointwise = window([1, 1], [1, 1], [1, 1], [0; 4]);
    let mut graph = single(
        Op::Conv2d(conv(400, 345, 1, pointwise)),
        &[&[3, 5, 400]],
        &[],
    );
    let norm = Op::BatchNorm(BatchNorm::affine(noise(345, 30), noise(345, 31)));
    let normed = push(&mut graph, norm, &[TensorId::new(1)], &[]);
    let leaky = Op::Activation(Activation::LeakyRelu { alpha: 0.1 });
    let output = push(&mut graph, leaky, &[normed], &[]);
    graph.outputs = vec![output];
    let executor = Executor::new(&graph).unwrap();
    let input = noise(executor.input_elements(), 32);
    let observed = executor.run(&input, 1, &mut |_, _: &mut [f32]| {}).unwrap();
    for threads in [1, 2, 3, 40] {
        let found = in_threads(threads, || executor.forward(&input, 1).unwrap());
        assert!(found == observed, "{threads} threads");
    }
}

#[test]
fn inputs_are_read_where_they_lie() {
    // In place over the input, whose buffer nobody has filled.
    let relu = Op::Activation(Activation::Relu);
    let graph = single(relu.clone(), &[&[4]], &[]);
    let executor = Executor::new(&graph).unwrap();
    let input = [-1.0, 2.0, -3.0, 4.0];
    for _ in 0..2 {
        assert_eq!(executor.forward(&input, 1).unwrap(), [0.0, 2.0, 0.0, 4.0]);
    }
    assert_eq!(input, [-1.0, 2.0, -3.0, 4.0]);
    // Read again, as the second operand and as both.
    let mut graph = single(relu, &[&[4]], &[]);
    let sum = push(
        &mut graph,
        Op::Add,
        &[TensorId::new(1), TensorId::new(0)],
        &[],
    );
    let square = push(&mut graph, Op::Mul, &[TensorId::new(0); 2], &[]);
    let output = push(&mut graph, Op::Sub, &[sum, square], &[]);
    graph.outputs = vec![output];
    let executor = Executor::new(&graph).unwrap();
    let found = executor.forward(&input, 1).unwrap();
    assert_eq!(found, [-2.0, 0.0, -12.0, -8.0]);
}
