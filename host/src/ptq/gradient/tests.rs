//! Gradients against differences of the executor's results, and sensitivities against noise that is really added.

use super::tape::Tape;
use super::walk::Visitor;
use super::{MeanErrors, Sensitivity};
use crate::executor::Executor;
use crate::graph::{Activation, Conv2d, Graph, Linear, NodeId, Op, TensorId, Window};
use crate::testing::{Sequence, graph_of, push};

/// Keeps all gradients.
#[derive(Default)]
struct Keep(Vec<(TensorId, Vec<f32>)>);

impl Visitor for Keep {
    fn tensor(&mut self, _: &Tape<'_>, id: TensorId, gradient: &[f32]) {
        self.0.push((id, gradient.to_vec()));
    }

    fn layer(&mut self, _: &Tape<'_>, _: NodeId, _: &[f32]) {}
}

struct Builder(Graph, Sequence);

impl Builder {
    fn new(shape: &[usize]) -> Builder {
        Builder(graph_of(&[shape]), Sequence::new(9))
    }

    fn node(&mut self, op: Op, inputs: &[TensorId], shape: &[usize]) -> TensorId {
        push(&mut self.0, op, inputs, shape)
    }

    fn linear(&mut self, weights: usize, out_channels: usize) -> Linear {
        Linear {
            weights: self.1.values(weights, -1.0, 1.0),
            bias: self.1.values(out_channels, -0.5, 0.5),
            out_channels,
            folded: None,
        }
    }
}

/// A network in which every operator occurs.
fn network() -> Graph {
    let mut b = Builder::new(&[6, 5, 4]);
    let mut window = Window::new([3, 3]);
    window.pad_before = [1, 0];
    window.pad_after = [1, 1];
    window.stride = [2, 1];
    let conv = |linear, groups, window| {
        Op::Conv2d(Conv2d {
            linear,
            in_channels: 4,
            groups,
            window,
        })
    };
    let linear = b.linear(4 * 9 * 2, 4);
    let grouped = b.node(conv(linear, 2, window), &[TensorId::new(0)], &[3, 4, 4]);
    let linear = b.linear(8 * 9, 8);
    let depthwise = b.node(conv(linear, 4, window), &[TensorId::new(0)], &[3, 4, 8]);
    let swish = b.node(
        Op::Activation(Activation::HardSwish),
        &[grouped],
        &[3, 4, 4],
    );
    let leaky = Op::Activation(Activation::LeakyRelu { alpha: 0.2 });
    let leaky = b.node(leaky, &[grouped], &[3, 4, 4]);
    let difference = b.node(Op::Sub, &[swish, leaky], &[3, 4, 4]);
    let joined = b.node(
        Op::Concat { axis: 2 },
        &[difference, depthwise],
        &[3, 4, 12],
    );
    let mut pool = Window::new([2, 2]);
    pool.pad_before = [1, 1];
    let largest = b.node(Op::MaxPool(pool), &[joined], &[3, 4, 12]);
    let mean = Op::AveragePool {
        window: pool,
        count_include_pad: true,
    };
    let mean = b.node(mean, &[joined], &[3, 4, 12]);
    let whole = Op::AveragePool {
        window: Window::new([3, 4]),
        count_include_pad: false,
    };
    let gate = b.node(whole, &[joined], &[1, 1, 12]);
    let gate = b.node(Op::Activation(Activation::Sigmoid), &[gate], &[1, 1, 12]);
    let gated = b.node(Op::Mul, &[largest, gate], &[3, 4, 12]);
    let sum = b.node(Op::Add, &[gated, mean], &[3, 4, 12]);
    let larger = b.node(Op::Max, &[sum, gated], &[3, 4, 12]);
    let smaller = b.node(Op::Min, &[larger, gate], &[3, 4, 12]);
    let padded = Op::Pad {
        before: vec![0, 1, 0],
        after: vec![1, 0, 0],
        value: 0.0,
    };
    let padded = b.node(padded, &[smaller], &[4, 5, 12]);
    let turned = Op::Transpose {
        perm: vec![1, 0, 2],
    };
    let turned = b.node(turned, &[padded], &[5, 4, 12]);
    let tanh = b.node(Op::Activation(Activation::Tanh), &[turned], &[5, 4, 12]);
    let flat = b.node(Op::Reshape, &[tanh], &[240]);
    let linear = b.linear(240 * 3, 3);
    let dense = b.node(Op::FullyConnected(linear), &[flat], &[3]);
    b.node(Op::Softmax, &[dense], &[3]);
    b.0.validate().expect("sound");
    b.0
}

/// `r . output` when `change` is added to one element of one tensor.
fn moved(graph: &Graph, input: &[f32], at: (TensorId, usize), change: f32, r: &[f32]) -> f64 {
    let mut hook = |id: TensorId, values: &mut [f32]| {
        if id == at.0 {
            values[at.1] += change;
        }
    };
    let executor = Executor::new(graph).expect("sound");
    let output = executor.run(input, 2, &mut hook).expect("runs");
    output
        .iter()
        .zip(r)
        .map(|(y, r)| f64::from(*y) * f64::from(*r))
        .sum()
}

#[test]
fn gradients_are_the_slopes_of_the_executor() {
    let graph = network();
    let mut random = Sequence::new(3);
    let input = random.values(2 * 120, -1.0, 1.0);
    let r = random.values(6, -30.0, 30.0);
    let executor = Executor::new(&graph).expect("sound");
    let tape = Tape::record(&executor, &input, 2).expect("runs");
    let mut found = Keep::default();
    tape.backward([(graph.outputs[0], r.clone())], &mut found);
    assert_eq!(found.0.len(), graph.tensors.len());
    for (id, gradient) in found.0 {
        let largest = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
        let mut wrong = 0;
        for place in (0..gradient.len()).step_by(5) {
            let step = 2e-3;
            let slope = (moved(&graph, &input, (id, place), step, &r)
                - moved(&graph, &input, (id, place), -step, &r))
                / f64::from(2.0 * step);
            let error = (slope - f64::from(gradient[place])).abs();
            // Where a maximum or a kink lies within the step, a difference is no slope.
            wrong += usize::from(error > 0.02 * f64::from(largest) + 1e-3);
        }
        let name = &graph.tensors[id].name;
        assert!(
            wrong * 40 <= gradient.len(),
            "{name}: {wrong} wrong, largest {largest}"
        );
    }
}

/// A chain of convolutions with clamps between them.
fn chain() -> Graph {
    let mut b = Builder::new(&[6, 6, 3]);
    let mut window = Window::new([3, 3]);
    (window.pad_before, window.pad_after) = ([1; 2], [1; 2]);
    let mut input = TensorId::new(0);
    for (ins, outs, groups) in [(3, 8, 1), (8, 8, 8), (8, 5, 1)] {
        let linear = b.linear(outs * 9 * ins / groups, outs);
        let op = Op::Conv2d(Conv2d {
            linear,
            in_channels: ins,
            groups,
            window,
        });
        input = b.node(op, &[input], &[6, 6, outs]);
        if outs == 8 {
            b.0.nodes.last_mut().expect("just made").activation =
                Some(Activation::Clip { min: 0.0, max: 6.0 });
        }
    }
    b.0.validate().expect("sound");
    b.0
}

/// Mean square of what the result moves by when `disturb` changes tensors in a run over `samples` samples.
fn noise(
    graph: &Graph,
    input: &[f32],
    samples: usize,
    disturb: &mut dyn FnMut(TensorId, &mut [f32]),
) -> f64 {
    let executor = Executor::new(graph).expect("sound");
    let plain = executor.forward(input, samples).expect("runs");
    let found = executor
        .run(input, samples, &mut |id: TensorId, values: &mut [f32]| {
            disturb(id, values)
        })
        .expect("runs");
    let squares = plain
        .iter()
        .zip(&found)
        .map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / samples as f64
}

#[test]
fn sensitivities_tell_what_noise_does() {
    let graph = chain();
    // So many that chance in how far errors go together stays below a tenth.
    let samples = 512;
    let input = Sequence::new(5).values(samples * 108, -1.0, 1.0);
    let found = Sensitivity::of(
        &graph,
        &[graph.outputs[0]],
        &input,
        samples,
        MeanErrors::Corrected,
    )
    .expect("sound");
    let mut random = Sequence::new(6);
    for (tensor, channel) in [(1, 2), (2, 5), (3, 0)] {
        let deviation = 1e-2_f32;
        let channels = graph.tensors[TensorId::new(tensor)].channels();
        let mut disturb = |id: TensorId, values: &mut [f32]| {
            if id == TensorId::new(tensor) {
                for value in values.iter_mut().skip(channel).step_by(channels) {
                    // Uniform, variance 1 times the deviation's square; exact values stay.
                    let step = (random.unit() - 0.5) * 12f32.sqrt() * deviation;
                    if *value != 0.0 && (id == graph.outputs[0] || *value < 6.0) {
                        *value += step;
                    }
                }
            }
        };
        let measured = noise(&graph, &input, samples, &mut disturb) / f64::from(deviation).powi(2);
        let expected = found.tensors[TensorId::new(tensor)][channel];
        let ratio = measured / expected;
        assert!(
            (0.75..1.33).contains(&ratio),
            "{tensor} {channel}: {measured} {expected}"
        );
    }
}
