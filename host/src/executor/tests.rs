//! Every operator against plain loops, and what runs promise.
//!
//! The same bits whatever threads, hooks and chunks.

use crate::dataset::Dataset;
use crate::graph::{Activation, BatchNorm, Conv2d, Graph, Input, Linear, Node, Op, Window};

use super::*;

/// Values in -1..1.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    Dataset::uniform_noise(1, len, -1.0, 1.0, seed).inputs
}

fn empty_graph(inputs: &[&[usize]]) -> Graph {
    let mut graph = Graph {
        name: "test".to_owned(),
        tensors: Vec::new(),
        nodes: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        output_layouts: Vec::new(),
    };
    for shape in inputs {
        let name = graph.unique_tensor_name("input");
        let tensor = graph.add_tensor(name, shape.to_vec());
        graph.inputs.push(Input {
            tensor,
            source_shape: shape.to_vec(),
            source_axes: (0..shape.len()).collect(),
        });
    }
    graph
}

/// Appends a node; its output's shape is inferred, or `shape` for a reshape or a constant.
fn push(graph: &mut Graph, op: Op, inputs: &[TensorId], shape: &[usize]) -> TensorId {
    let name = graph.unique_tensor_name(op.kind());
    let output = graph.add_tensor(name.clone(), shape.to_vec());
    graph.nodes.push(Node {
        name,
        op,
        inputs: inputs.to_vec(),
        output,
        activation: None,
    });
    let inferred = graph.output_shape(graph.nodes.last().unwrap()).unwrap();
    graph.tensors[output].shape = inferred;
    graph.outputs = vec![output];
    output
}

fn single(op: Op, inputs: &[&[usize]], shape: &[usize]) -> Graph {
    let mut graph = empty_graph(inputs);
    let ids: Vec<_> = (0..inputs.len()).collect();
    push(&mut graph, op, &ids, shape);
    graph
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let tolerance = 2e-5 * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= tolerance,
            "element {index}: found {found}, expected {expected}"
        );
    }
}

fn window(
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pads: [usize; 4],
) -> Window {
    Window {
        kernel,
        stride,
        dilation,
        pad_before: [pads[0], pads[1]],
        pad_after: [pads[2], pads[3]],
    }
}

/// Calls `tap(out_y, out_x, kernel_y, kernel_x, y, x)` for every tap, with `None` for a position in the padding.
fn for_each_tap(
    window: &Window,
    size: [usize; 2],
    mut tap: impl FnMut([usize; 2], [usize; 2], Option<[usize; 2]>),
) {
    let out = [0, 1].map(|axis| window.output_size(axis, size[axis]).unwrap());
    for oy in 0..out[0] {
        for ox in 0..out[1] {
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let at = |axis: usize, o: usize, k: usize| {
                        let position = o * window.stride[axis] + k * window.dilation[axis];
                        position
                            .checked_sub(window.pad_before[axis])
                            .filter(|&p| p < size[axis])
                    };
                    let position = at(0, oy, ky).zip(at(1, ox, kx)).map(|(y, x)| [y, x]);
                    tap([oy, ox], [ky, kx], position);
                }
            }
        }
    }
}

fn naive_conv(conv: &Conv2d, size: [usize; 2], input: &[f32]) -> Vec<f32> {
    let out_w = conv.window.output_size(1, size[1]).unwrap();
    let out_h = conv.window.output_size(0, size[0]).unwrap();
    let outs = conv.linear.out_channels;
    let per_group = conv.in_channels / conv.groups;
    let mut sums = vec![0.0f64; out_h * out_w * outs];
    for (index, sum) in sums.iter_mut().enumerate() {
        *sum = f64::from(conv.linear.bias[index % outs]);
    }
    for_each_tap(&conv.window, size, |[oy, ox], [ky, kx], position| {
        let Some([y, x]) = position else { return };
        for o in 0..outs {
            let group = o / (outs / conv.groups);
            for i in 0..per_group {
                let kernel = &conv.window.kernel;
                let weight = ((o * kernel[0] + ky) * kernel[1] + kx) * per_group + i;
                let from = (y * size[1] + x) * conv.in_channels + group * per_group + i;
                sums[(oy * out_w + ox) * outs + o] +=
                    f64::from(conv.linear.weights[weight]) * f64::from(input[from]);
            }
        }
    });
    sums.into_iter().map(|sum| sum as f32).collect()
}

fn conv(ins: usize, outs: usize, groups: usize, window: Window) -> Conv2d {
    let len = outs * window.kernel[0] * window.kernel[1] * ins / groups;
    Conv2d {
        linear: Linear {
            weights: noise(len, 1),
            bias: noise(outs, 2),
            out_channels: outs,
            folded: None,
        },
        in_channels: ins,
        groups,
        window,
    }
}

#[test]
fn convolutions_match_plain_loops() {
    let cases = [
        // Pointwise, small and with many pixels.
        (5, 7, 1, [3, 4], window([1, 1], [1, 1], [1, 1], [0; 4])),
        (33, 18, 1, [23, 41], window([1, 1], [1, 1], [1, 1], [0; 4])),
        (70, 130, 1, [7, 7], window([1, 1], [1, 1], [1, 1], [0; 4])),
        // Pointwise with stride, and with padding.
        (6, 9, 1, [7, 9], window([1, 1], [2, 2], [1, 1], [0; 4])),
        (
            6,
            9,
            1,
            [5, 6],
            window([1, 1], [1, 1], [1, 1], [1, 0, 0, 2]),
        ),
        // Square, asymmetric pads as TensorFlow has them, long kernel, one channel.
        (16, 16, 1, [32, 32], window([3, 3], [1, 1], [1, 1], [1; 4])),
        (
            3,
            16,
            1,
            [33, 31],
            window([3, 3], [2, 2], [1, 1], [0, 0, 1, 1]),
        ),
        (
            1,
            11,
            1,
            [49, 10],
            window([10, 4], [2, 2], [1, 1], [4, 1, 5, 1]),
        ),
        (
            3,
            5,
            1,
            [9, 12],
            window([3, 2], [2, 3], [2, 3], [2, 1, 1, 3]),
        ),
        (
            2,
            3,
            1,
            [4, 5],
            window([5, 5], [1, 1], [1, 1], [3, 4, 4, 3]),
        ),
        // Dilation with pads that reach beyond the input.
        (
            2,
            3,
            1,
            [2, 3],
            window([3, 3], [1, 1], [2, 2], [3, 3, 3, 3]),
        ),
        // Groups.
        (6, 9, 3, [5, 6], window([3, 3], [1, 1], [1, 1], [1; 4])),
        (8, 4, 2, [6, 5], window([1, 1], [1, 1], [1, 1], [0; 4])),
        (
            8,
            12,
            4,
            [6, 5],
            window([2, 3], [1, 2], [2, 1], [1, 0, 1, 1]),
        ),
        // Depthwise: odd channel counts for all block sizes, multipliers, dilation.
        (13, 13, 13, [9, 7], window([3, 3], [1, 1], [1, 1], [1; 4])),
        (
            75,
            75,
            75,
            [6, 9],
            window([5, 5], [2, 2], [1, 1], [1, 1, 2, 2]),
        ),
        (
            8,
            16,
            8,
            [7, 6],
            window([3, 3], [2, 1], [1, 1], [0, 1, 1, 1]),
        ),
        (
            5,
            15,
            5,
            [7, 6],
            window([2, 4], [1, 1], [2, 2], [1, 3, 2, 3]),
        ),
        (64, 64, 64, [25, 25], window([3, 3], [1, 1], [1, 1], [1; 4])),
    ];
    for (ins, outs, groups, size, window) in cases {
        let conv = conv(ins, outs, groups, window);
        let graph = single(Op::Conv2d(conv.clone()), &[&[size[0], size[1], ins]], &[]);
        let samples = 3;
        let elements = size[0] * size[1] * ins;
        let input = noise(samples * elements, 3);
        let found = Executor::new(&graph).unwrap().forward(&input, samples);
        let expected: Vec<_> = input
            .chunks_exact(elements)
            .flat_map(|sample| naive_conv(&conv, size, sample))
            .collect();
        println!("{ins} -> {outs}, {groups} groups, {size:?}, {window:?}");
        assert_close(&found.unwrap(), &expected);
    }
}

#[test]
fn pools_match_plain_loops() {
    let cases = [
        ([8, 8], window([2, 2], [2, 2], [1, 1], [0; 4])),
        ([7, 9], window([3, 2], [2, 1], [1, 1], [1, 0, 1, 1])),
        ([6, 5], window([6, 5], [1, 1], [1, 1], [0; 4])),
        ([9, 8], window([2, 3], [1, 2], [3, 2], [1, 2, 2, 1])),
    ];
    let channels = 43;
    for (size, window) in cases {
        let elements = size[0] * size[1] * channels;
        let samples = 2;
        // All below zero: zeros of the padding would win.
        let input: Vec<_> = noise(samples * elements, 4)
            .iter()
            .map(|x| x - 2.0)
            .collect();
        let out = [0, 1].map(|axis| window.output_size(axis, size[axis]).unwrap());
        let mut expected = [Vec::new(), Vec::new(), Vec::new()];
        for sample in input.chunks_exact(elements) {
            let len = out[0] * out[1] * channels;
            let mut max = vec![f32::NEG_INFINITY; len];
            let mut sum = vec![0.0f64; len];
            let mut count = vec![0; len];
            for_each_tap(&window, size, |[oy, ox], _, position| {
                let Some([y, x]) = position else { return };
                for c in 0..channels {
                    let value = sample[(y * size[1] + x) * channels + c];
                    let to = (oy * out[1] + ox) * channels + c;
                    max[to] = max[to].max(value);
                    sum[to] += f64::from(value);
                    count[to] += 1;
                }
            });
            let area = (window.kernel[0] * window.kernel[1]) as f64;
            expected[0].extend(max);
            expected[1].extend(sum.iter().map(|sum| (sum / area) as f32));
            expected[2].extend(
                sum.iter()
                    .zip(count)
                    .map(|(s, n)| (s / f64::from(n)) as f32),
            );
        }
        let average = |count_include_pad| Op::AveragePool {
            window,
            count_include_pad,
        };
        let ops = [Op::MaxPool(window), average(true), average(false)];
        for (op, expected) in ops.into_iter().zip(&expected) {
            let graph = single(op, &[&[size[0], size[1], channels]], &[]);
            let executor = Executor::new(&graph).unwrap();
            assert_close(&executor.forward(&input, samples).unwrap(), expected);
        }
    }
}

#[test]
fn fully_connected_layers_match_plain_loops() {
    for (ins, outs) in [(1, 1), (3, 5), (640, 128), (37, 66), (1280, 37)] {
        let linear = Linear {
            weights: noise(ins * outs, 5),
            bias: noise(outs, 6),
            out_channels: outs,
            folded: None,
        };
        let graph = single(Op::FullyConnected(linear.clone()), &[&[ins]], &[]);
        let samples = 3;
        let input = noise(samples * ins, 7);
        let mut expected = Vec::new();
        for sample in input.chunks_exact(ins) {
            for (row, &bias) in linear.rows().zip(&linear.bias) {
                let products = row.iter().zip(sample);
                let sum: f64 = products.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                expected.push((sum + f64::from(bias)) as f32);
            }
        }
        let executor = Executor::new(&graph).unwrap();
        assert_close(&executor.forward(&input, samples).unwrap(), &expected);
    }
}

#[test]
fn binary_operators_broadcast_the_second_operand() {
    let (a_shape, channels) = ([5, 7, 11], 11);
    let samples = 3;
    type Function = fn(f32, f32) -> f32;
    let functions: [(Op, Function); 3] = [
        (Op::Add, |a, b| a + b),
        (Op::Sub, |a, b| a - b),
        (Op::Mul, |a, b| a * b),
    ];
    for b_shape in [&[5, 7, 11][..], &[1, 1, 11], &[11], &[1], &[1, 1, 1], &[]] {
        for (op, function) in &functions {
            let graph = single(op.clone(), &[&a_shape, b_shape], &[]);
            let executor = Executor::new(&graph).unwrap();
            let a_len = 5 * 7 * channels;
            let b_len: usize = b_shape.iter().product();
            let input = noise(samples * (a_len + b_len), 8);
            let mut expected = Vec::new();
            for sample in input.chunks_exact(a_len + b_len) {
                let (a, b) = sample.split_at(a_len);
                expected.extend((0..a_len).map(|i| {
                    let index = match b_len {
                        1 => 0,
                        11 => i % channels,
                        _ => i,
                    };
                    function(a[i], b[index])
                }));
            }
            assert_eq!(executor.forward(&input, samples).unwrap(), expected);
        }
    }
}

#[test]
fn elementwise_operators_match_their_formulas() {
    let norm = BatchNorm {
        gamma: noise(19, 9),
        beta: noise(19, 10),
        mean: noise(19, 11),
        variance: noise(19, 12).iter().map(|x| x.abs() + 0.1).collect(),
        epsilon: 1e-3,
    };
    let input = noise(2 * 6 * 19, 13);
    let graph = single(Op::BatchNorm(norm.clone()), &[&[6, 1, 19]], &[]);
    let expected: Vec<_> = (0..input.len())
        .map(|i| {
            let c = i % 19;
            (input[i] - norm.mean[c]) / (norm.variance[c] + norm.epsilon).sqrt() * norm.gamma[c]
                + norm.beta[c]
        })
        .collect();
    let executor = Executor::new(&graph).unwrap();
    assert_close(&executor.forward(&input, 2).unwrap(), &expected);

    for activation in [
        Activation::Relu,
        Activation::Clip {
            min: -0.25,
            max: 0.5,
        },
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::Sigmoid,
        Activation::HardSigmoid {
            alpha: 0.5,
            beta: 0.5,
        },
        Activation::HardSwish,
        Activation::Tanh,
    ] {
        let graph = single(Op::Activation(activation.clone()), &[&[6, 1, 19]], &[]);
        let executor = Executor::new(&graph).unwrap();
        let expected: Vec<_> = input.iter().map(|&x| activation.apply(0, x)).collect();
        assert_eq!(executor.forward(&input, 2).unwrap(), expected);
    }
}

#[test]
fn softmax_neither_overflows_nor_mixes_rows() {
    let graph = single(Op::Softmax, &[&[2, 3]], &[]);
    let input = [1000.0, 1000.0, -1000.0, 0.0, 1.0f32.ln(), 2.0f32.ln()];
    let found = Executor::new(&graph).unwrap().forward(&input, 1).unwrap();
    assert_close(&found, &[0.5, 0.5, 0.0, 0.25, 0.25, 0.5]);
}

#[test]
fn layout_operators_move_elements() {
    let input: Vec<f32> = (0..2 * 24).map(|i| i as f32).collect();
    let run = |graph: &Graph| Executor::new(graph).unwrap().forward(&input, 2).unwrap();
    let shape = [2, 3, 4];

    let graph = single(
        Op::Transpose {
            perm: vec![2, 0, 1],
        },
        &[&shape],
        &[],
    );
    let mut expected = Vec::new();
    for sample in 0..2 {
        for c in 0..4 {
            for y in 0..2 {
                for x in 0..3 {
                    expected.push((sample * 24 + (y * 3 + x) * 4 + c) as f32);
                }
            }
        }
    }
    assert_eq!(run(&graph), expected);

    let pad = Op::Pad {
        before: vec![1, 0, 2],
        after: vec![0, 2, 1],
        value: -7.0,
    };
    let graph = single(pad, &[&shape], &[]);
    let mut expected = Vec::new();
    for sample in 0..2 {
        for y in 0..3 {
            for x in 0..5 {
                for c in 0..7 {
                    let inside = y >= 1 && x < 3 && (2..6).contains(&c);
                    expected.push(match inside {
                        true => (sample * 24 + ((y - 1) * 3 + x) * 4 + c - 2) as f32,
                        false => -7.0,
                    });
                }
            }
        }
    }
    assert_eq!(run(&graph), expected);

    let graph = single(Op::Reshape, &[&shape], &[6, 4]);
    assert_eq!(run(&graph), input);
}

#[test]
fn concat_joins_along_every_axis() {
    for axis in 0..3 {
        let mut shapes = [[2, 3, 4]; 3];
        shapes[1][axis] = 5;
        shapes[2][axis] = 1;
        let refs: Vec<&[usize]> = shapes.iter().map(|shape| &shape[..]).collect();
        let graph = single(Op::Concat { axis }, &refs, &[]);
        let executor = Executor::new(&graph).unwrap();
        let lens = shapes.map(|shape| shape.iter().product::<usize>());
        let input: Vec<f32> = (0..2 * lens.iter().sum::<usize>())
            .map(|i| i as f32)
            .collect();
        let out = graph.tensors[graph.outputs[0]].shape.clone();
        let mut expected = Vec::new();
        for sample in input.chunks_exact(lens.iter().sum()) {
            for index in 0..out.iter().product() {
                let mut at = [
                    index / (out[1] * out[2]),
                    index / out[2] % out[1],
                    index % out[2],
                ];
                let mut part = 0;
                while at[axis] >= shapes[part][axis] {
                    at[axis] -= shapes[part][axis];
                    part += 1;
                }
                let start: usize = lens[..part].iter().sum();
                let shape = shapes[part];
                expected.push(sample[start + (at[0] * shape[1] + at[1]) * shape[2] + at[2]]);
            }
        }
        assert_eq!(executor.forward(&input, 2).unwrap(), expected);
    }
}

/// A small residual network with every kind of sharing: fused tails, a tensor read twice, constants, operands that survive.
fn residual() -> Graph {
    let mut graph = empty_graph(&[&[17, 19, 3]]);
    let same = |kernel| window(kernel, [1, 1], [1, 1], [kernel[0] / 2; 4]);
    let norm =
        |channels| Op::BatchNorm(BatchNorm::affine(noise(channels, 20), noise(channels, 21)));
    let stem = push(
        &mut graph,
        Op::Conv2d(conv(3, 24, 1, same([3, 3]))),
        &[0],
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
    let mut sums = vec![Vec::new(); graph.tensors.len()];
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
    let by_node = |index: usize| &sums[graph.nodes[index].output];
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
    graph.outputs = vec![graph.nodes[0].output, 0];
    let output = Executor::new(&graph)
        .unwrap()
        .forward(&[-1.0, 2.0, -3.0, 4.0], 1);
    assert_eq!(output.unwrap(), [0.0, 2.0, 0.0, 4.0, -1.0, 2.0, -3.0, 4.0]);
}

#[test]
fn wrong_inputs_are_errors() {
    let graph = single(Op::Softmax, &[&[4]], &[]);
    let executor = Executor::new(&graph).unwrap();
    let error = executor.forward(&[0.0; 7], 2).unwrap_err();
    assert!(error.to_string().contains("7 elements"), "{error}");
    assert!(error.to_string().contains("2 samples of 4"), "{error}");
    assert!(executor.forward(&[0.0; 4], usize::MAX).is_err());
    assert_eq!(executor.forward(&[], 0).unwrap(), [0.0; 0]);
}

#[test]
fn unsound_graphs_are_errors() {
    let good = window([3, 3], [1, 1], [1, 1], [1; 4]);
    let build = |op| {
        let mut graph = empty_graph(&[&[5, 5, 4]]);
        let output = graph.add_tensor("out", vec![5, 5, 4]);
        graph.nodes.push(Node {
            name: "bad".to_owned(),
            op,
            inputs: vec![0],
            output,
            activation: None,
        });
        graph.outputs = vec![output];
        graph
    };
    let problem = |graph: &Graph| Executor::new(graph).unwrap_err().to_string();
    assert!(Executor::new(&build(Op::Conv2d(conv(4, 4, 1, good)))).is_ok());

    let zero_stride = Window {
        stride: [0, 1],
        ..good
    };
    let message = problem(&build(Op::MaxPool(zero_stride)));
    assert!(
        message.contains("`bad`") && message.contains("stride"),
        "{message}"
    );
    let zero_kernel = Window {
        kernel: [0, 3],
        ..good
    };
    assert!(problem(&build(Op::MaxPool(zero_kernel))).contains("kernel"));
    let mut short = conv(4, 4, 1, good);
    short.linear.weights.pop();
    assert!(problem(&build(Op::Conv2d(short))).contains("143 weights"));
    let mut norm = BatchNorm::affine(vec![1.0; 4], vec![0.0; 4]);
    norm.mean.pop();
    assert!(problem(&build(Op::BatchNorm(norm))).contains("differ"));
    let mut outside = build(Op::Softmax);
    outside.nodes[0].inputs[0] = 9;
    assert!(problem(&outside).contains("tensor 9"));
    outside = build(Op::Softmax);
    outside.outputs[0] = 7;
    assert!(problem(&outside).contains("tensor 7"));
    let mut empty = build(Op::Softmax);
    empty
        .tensors
        .iter_mut()
        .for_each(|tensor| tensor.shape[1] = 0);
    assert!(problem(&empty).contains("elements"));
    // A window of a pool that sees nothing but padding has no maximum and no mean.
    let padding = window([2, 2], [1, 1], [1, 1], [0, 2, 0, 2]);
    let mut graph = build(Op::MaxPool(padding));
    graph.tensors[1].shape = vec![4, 8, 4];
    assert!(problem(&graph).contains("padding"));
}
