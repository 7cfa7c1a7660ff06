//! Operators that compute each value from those at its place, and softmax.

use super::*;

#[test]
fn binary_operators_broadcast_the_second_operand() {
    let (a_shape, channels) = ([5, 7, 11], 11);
    let samples = 3;
    type Function = fn(f32, f32) -> f32;
    let functions: [(Op, Function); 5] = [
        (Op::Add, |a, b| a + b),
        (Op::Sub, |a, b| a - b),
        (Op::Mul, |a, b| a * b),
        (Op::Max, f32::max),
        (Op::Min, f32::min),
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
