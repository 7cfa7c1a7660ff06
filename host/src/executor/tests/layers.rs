//! Convolutions, pools and fully connected layers, against loops over all taps.

use super::*;

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

#[test]
fn convolutions_match_plain_loops() {
    let cases = [
        // Pointwise, small and with many pixels.
        (5, 7, 1, [3, 4], window([1, 1], [1, 1], [1, 1], [0; 4])),
        (33, 18, 1, [23, 41], window([1, 1], [1, 1], [1, 1], [0; 4])),
        (70, 130, 1, [7, 7], window([1, 1], [1, 1], [1, 1], [0; 4])),
        // So many weights that threads share out the output channels, with and without a stride.
        (400, 352, 1, [3, 4], window([1, 1], [1, 1], [1, 1], [0; 4])),
        (400, 345, 1, [5, 3], window([1, 1], [2, 2], [1, 1], [0; 4])),
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
