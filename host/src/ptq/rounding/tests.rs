//! Tests of rounding: moments by hand, optima by brute force, and never worse than nearest.

use super::*;
use crate::graph::{Conv2d, Graph, Linear, NodeId, Op, TensorId, Window};
use crate::testing::{Sequence, graph_of, push};

/// A convolution on `[h, w, c]`, alone in a graph.
fn layer(
    shape: [usize; 3],
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    groups: usize,
) -> Graph {
    let mut window = Window::new([kernel; 2]);
    window.stride = [stride; 2];
    window.pad_before = [padding; 2];
    window.pad_after = [padding; 2];
    let products = kernel * kernel * shape[2] / groups;
    let conv = Conv2d {
        linear: Linear {
            weights: Sequence::new(9).values(outputs * products, -1.0, 1.0),
            bias: vec![0.0; outputs],
            out_channels: outputs,
            folded: None,
        },
        in_channels: shape[2],
        groups,
        window,
    };
    let mut graph = graph_of(&[&shape]);
    push(&mut graph, Op::Conv2d(conv), &[TensorId::new(0)], &[]);
    graph
}

/// Moments of samples that lie side by side.
fn of_samples(geometry: &Geometry, quantized: &[f32], float: &[f32]) -> Vec<Moments> {
    let elements = geometry.elements();
    moments(
        geometry,
        0..geometry.products(),
        quantized.len() / elements,
        |samples, of| {
            assert_eq!(of, 0..elements);
            let of =
                |values: &[f32]| values[samples.start * elements..samples.end * elements].to_vec();
            Ok::<_, ()>((of(quantized), Some(of(float))))
        },
    )
    .expect("no error")
}

#[test]
fn moments_are_means_of_products_over_all_positions() {
    for (channels, outputs, kernel, stride, padding, groups) in [
        (3, 4, 3, 2, 1, 1),
        (4, 4, 3, 1, 1, 4),
        (2, 6, 3, 2, 0, 2),
        (6, 4, 1, 1, 0, 2),
        (5, 5, 5, 3, 2, 5),
    ] {
        let graph = layer([7, 6, channels], outputs, kernel, stride, padding, groups);
        let geometry = Geometry::of(&graph, &graph.nodes[NodeId::new(0)]).expect("a layer");
        let samples = 3;
        let hat = Sequence::new(1).values(samples * 42 * channels, -1.0, 2.0);
        let plain = Sequence::new(2).values(samples * 42 * channels, -1.0, 2.0);
        let found = of_samples(&geometry, &hat, &plain);
        assert_eq!(found.len(), groups);
        let [out_h, out_w] = [
            (7 + 2 * padding - kernel) / stride + 1,
            (6 + 2 * padding - kernel) / stride + 1,
        ];
        let per_group = channels / groups;
        let k = kernel * kernel * per_group;
        // Indexed by hand, without the code under test.
        let at = |x: &[f32],
                  sample: usize,
                  (oy, ox): (usize, usize),
                  group: usize,
                  place: usize|
         -> f64 {
            let (tap, channel) = (place / per_group, place % per_group);
            let y = (oy * stride + tap / kernel) as isize - padding as isize;
            let x_ = (ox * stride + tap % kernel) as isize - padding as isize;
            if !(0..7).contains(&y) || !(0..6).contains(&x_) {
                return 0.0;
            }
            let place = ((sample * 7 + y as usize) * 6 + x_ as usize) * channels
                + group * per_group
                + channel;
            f64::from(x[place])
        };
        for (group, found) in found.iter().enumerate() {
            for i in 0..k {
                for j in 0..k {
                    let (mut gram, mut cross, mut count) = (0.0, 0.0, 0.0);
                    for sample in 0..samples {
                        for position in (0..out_h).flat_map(|y| (0..out_w).map(move |x| (y, x))) {
                            let left = at(&hat, sample, position, group, i);
                            gram += left * at(&hat, sample, position, group, j);
                            cross += left * at(&plain, sample, position, group, j);
                            count += 1.0;
                        }
                    }
                    assert!((found.gram[i * k + j] - gram / count).abs() < 1e-5);
                    assert!((found.cross[i * k + j] - cross / count).abs() < 1e-5);
                }
            }
        }
    }
}

fn scales(searched: bool) -> Scales {
    if searched {
        Scales::Searched
    } else {
        Scales::Given
    }
}

/// Correlated inputs and a problem on them.
struct Case {
    graph: Graph,
    inputs: Vec<f32>,
    moments: Vec<Moments>,
    scales: Vec<f64>,
    max: i8,
}

impl Case {
    fn new(seed: u64, k: usize, outputs: usize, max: i8) -> Case {
        let mut graph = layer([1, 1, k], outputs, 1, 1, 0, 1);
        let mut random = Sequence::new(seed);
        let weights = random.values(outputs * k, -1.0, 1.0);
        graph.nodes[NodeId::new(0)]
            .op
            .linear_mut()
            .expect("a layer")
            .weights = weights.clone();
        let mixing = random.values(k * k, -1.0, 1.0);
        let inputs: Vec<f32> = (0..64)
            .flat_map(|_| {
                let source = random.values(k, -1.0, 1.0);
                let common = random.unit();
                (0..k)
                    .map(|row| {
                        common
                            + mixing[row * k..][..k]
                                .iter()
                                .zip(&source)
                                .map(|(a, b)| a * b)
                                .sum::<f32>()
                    })
                    .collect::<Vec<f32>>()
            })
            .collect();
        let geometry = Geometry::of(&graph, &graph.nodes[NodeId::new(0)]).expect("a layer");
        let moments = of_samples(&geometry, &inputs, &inputs);
        let scales = weights
            .chunks(k)
            .map(|row| f64::from(row.iter().fold(0.0_f32, |m, w| m.max(w.abs()))) / f64::from(max))
            .collect();
        Case {
            graph,
            inputs,
            moments,
            scales,
            max,
        }
    }

    fn weights(&self) -> &[f32] {
        &self.graph.nodes[NodeId::new(0)]
            .op
            .linear()
            .expect("a layer")
            .weights
    }

    fn round(
        &self,
        options: &AdaRoundOptions,
        search_scales: bool,
        per_channel: bool,
        least: &[f64],
    ) -> Rounded {
        let outputs = self.scales.len();
        let k = self.weights().len() / outputs;
        let problem = LayerProblem {
            weights: self.weights(),
            out_channels: outputs,
            k,
            max: self.max,
            per_channel,
            scales: &self.scales,
            least_scales: least,
        };
        let geometry =
            Geometry::of(&self.graph, &self.graph.nodes[NodeId::new(0)]).expect("a layer");
        let output: Vec<f32> = self
            .inputs
            .chunks(k)
            .flat_map(|x| {
                let dot = move |w: &[f32]| w.iter().zip(x).map(|(a, b)| a * b).sum::<f32>();
                self.weights().chunks(k).map(dot)
            })
            .collect();
        let bias = vec![0.0; outputs];
        let samples = Samples {
            input: &self.inputs,
            output: &output,
            bias: &bias,
            activation: None,
        };
        let data = LayerData {
            geometry: &geometry,
            positions: self.inputs.len() / k,
            moments: &|_| self.moments.clone(),
            samples,
            seed: 1,
        };
        round_layer(
            &problem,
            data,
            scales(search_scales),
            options,
            &mut |_, _| {},
        )
    }

    /// Mean squared error of the outputs, summed over them, computed on the samples.
    fn error(&self, values: &[i8], scales: &[f64]) -> f64 {
        let k = self.weights().len() / scales.len();
        let squares = self.inputs.chunks(k).map(|x| {
            let rows = self.weights().chunks(k).zip(values.chunks(k)).zip(scales);
            rows.map(|((weights, values), scale)| {
                let terms = x.iter().zip(weights).zip(values);
                let error: f64 = terms
                    .map(|((x, w), q)| f64::from(*x) * (f64::from(*q) * scale - f64::from(*w)))
                    .sum();
                error * error
            })
            .sum::<f64>()
        });
        squares.sum::<f64>() / 64.0
    }

    fn nearest(&self) -> Vec<i8> {
        let k = self.weights().len() / self.scales.len();
        self.weights()
            .iter()
            .enumerate()
            .map(|(place, weight)| (f64::from(*weight) / self.scales[place / k]).round() as i8)
            .collect()
    }
}

/// Little damping, so that the loss is the error on the samples.
fn options(method: RoundingMethod) -> AdaRoundOptions {
    AdaRoundOptions {
        method,
        iterations: 300,
        damping: 1e-9,
        ..AdaRoundOptions::default()
    }
}

#[test]
fn the_loss_is_the_error_on_the_samples() {
    let case = Case::new(4, 8, 3, 7);
    let rounded = case.round(&options(RoundingMethod::Descent), false, true, &[0.0; 3]);
    let (found, nearest) = (
        case.error(&rounded.values, &rounded.scales),
        case.error(&case.nearest(), &case.scales),
    );
    let difference = nearest - found;
    assert!((rounded.cost_nearest - rounded.cost - difference).abs() < 1e-4 * nearest);
}

#[test]
fn descent_is_close_to_the_best_of_all_roundings() {
    let (mut best_sum, mut found_sum) = (0.0, 0.0);
    for seed in 0..40 {
        let case = Case::new(seed, 5, 1, 7);
        let nearest = case.nearest();
        let mut best = f64::INFINITY;
        for code in 0..3_usize.pow(5) {
            let values: Vec<i8> = (0..5)
                .map(|place| {
                    (nearest[place] + (code / 3_usize.pow(place as u32) % 3) as i8 - 1).clamp(-7, 7)
                })
                .collect();
            best = best.min(case.error(&values, &case.scales));
        }
        let rounded = case.round(&options(RoundingMethod::Descent), false, true, &[0.0]);
        let found = case.error(&rounded.values, &rounded.scales);
        assert!(found <= case.error(&nearest, &case.scales) * (1.0 + 1e-9));
        best_sum += best;
        found_sum += found;
    }
    assert!(found_sum < 1.1 * best_sum, "{found_sum} against {best_sum}");
}

#[test]
fn no_method_is_worse_than_nearest_and_all_gain_on_correlated_inputs() {
    for method in [
        RoundingMethod::Descent,
        RoundingMethod::Adaround,
        RoundingMethod::AdaroundBatch,
    ] {
        let (mut nearest, mut found) = (0.0, 0.0);
        for seed in 0..6 {
            let case = Case::new(seed, 12, 4, 7);
            let rounded = case.round(&options(method), false, true, &[0.0; 4]);
            assert!(
                rounded.cost <= rounded.cost_nearest + 1e-9
                    || method == RoundingMethod::AdaroundBatch
            );
            nearest += case.error(&case.nearest(), &case.scales);
            found += case.error(&rounded.values, &rounded.scales);
        }
        assert!(
            found < 0.7 * nearest,
            "{method:?}: {found} against {nearest}"
        );
    }
}

#[test]
fn searching_scales_helps_and_keeps_to_the_least() {
    for per_channel in [true, false] {
        for method in [RoundingMethod::Nearest, RoundingMethod::Descent] {
            let mut case = Case::new(3, 12, 4, 7);
            if !per_channel {
                let largest = case.scales.iter().copied().fold(0.0, f64::max);
                case.scales.fill(largest);
            }
            let plain = case.round(&options(method), false, per_channel, &[0.0; 4]);
            let searched = case.round(&options(method), true, per_channel, &[0.0; 4]);
            assert!(searched.cost <= plain.cost + 1e-12);
            if !per_channel {
                assert!(
                    searched
                        .scales
                        .iter()
                        .all(|&scale| scale == searched.scales[0])
                );
            }
            let least = [0.0, case.scales[1] * 1.5, 0.0, 0.0];
            case.scales[1] = least[1];
            let raised = case.round(&options(method), true, per_channel, &least);
            assert!(raised.scales[1] >= least[1]);
        }
    }
}

#[test]
fn inputs_that_say_nothing_do_no_harm() {
    for inputs in [
        vec![0.0; 64 * 6],
        vec![1.0; 64 * 6],
        [0.0, 1.0, 0.0, 0.0, 2.0, 0.0].repeat(64),
    ] {
        let mut case = Case::new(3, 6, 2, 7);
        case.inputs = inputs;
        let geometry =
            Geometry::of(&case.graph, &case.graph.nodes[NodeId::new(0)]).expect("a layer");
        case.moments = of_samples(&geometry, &case.inputs, &case.inputs)
            .into_iter()
            .map(Moments::centred)
            .collect();
        for method in [RoundingMethod::Descent, RoundingMethod::Adaround] {
            let rounded = case.round(
                &AdaRoundOptions {
                    method,
                    ..AdaRoundOptions::default()
                },
                true,
                true,
                &[0.0; 2],
            );
            assert!(
                rounded.cost.is_finite()
                    && rounded.scales.iter().all(|&s| s.is_finite() && s > 0.0)
            );
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let case = Case::new(8, 40, 24, 7);
    for method in [RoundingMethod::Descent, RoundingMethod::Adaround] {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads");
            pool.install(|| case.round(&options(method), true, true, &[0.0; 24]))
        };
        assert_eq!(on(1), on(3));
    }
}

#[test]
fn senseless_parameters_are_named() {
    assert_eq!(AdaRoundOptions::default().problem(), None);
    let wrong: [fn(&mut AdaRoundOptions); 4] = [
        |options| options.learning_rate = f64::NAN,
        |options| options.iterations = 0,
        |options| options.warm_start = 1.0,
        |options| options.zeta = 0.9,
    ];
    for (change, name) in
        wrong
            .into_iter()
            .zip(["learning-rate", "iterations", "warm-start", "zeta"])
    {
        let mut options = AdaRoundOptions::default();
        change(&mut options);
        assert!(
            options
                .problem()
                .is_some_and(|problem| problem.contains(name))
        );
    }
}

/// Moments of some of the inputs: a part of those of all.
fn part(moments: &Moments, of: std::ops::Range<usize>) -> Moments {
    let square = |values: &[f64]| {
        let rows = values.chunks_exact(moments.k).skip(of.start).take(of.len());
        rows.flat_map(|row| row[of.clone()].to_vec()).collect()
    };
    Moments {
        k: of.len(),
        positions: moments.positions,
        gram: square(&moments.gram),
        cross: square(&moments.cross),
        mean_quantized: moments.mean_quantized[of.clone()].to_vec(),
        mean_float: moments.mean_float[of.clone()].to_vec(),
    }
}

#[test]
fn moments_of_some_products_are_a_part_of_all() {
    let layers = [
        // No more than the products is read where they are the elements themselves.
        (layer([1, 1, 40], 4, 1, 1, 0, 1), 35),
        (layer([3, 3, 4], 4, 3, 1, 0, 1), 31),
        // A window that leaves elements out, padding, many positions, groups.
        (layer([4, 4, 4], 4, 3, 2, 0, 1), 64),
        (layer([3, 3, 4], 4, 3, 3, 1, 1), 36),
        (layer([5, 4, 4], 4, 3, 1, 1, 1), 80),
        (layer([5, 4, 4], 4, 3, 1, 1, 2), 80),
        (layer([3, 3, 4], 4, 3, 1, 0, 2), 36),
    ];
    for (graph, read) in layers {
        let geometry = Geometry::of(&graph, &graph.nodes[NodeId::new(0)]).expect("a layer");
        let groups = geometry.groups();
        let inputs = Sequence::new(3).values(6 * geometry.elements(), -1.0, 1.0);
        let all = of_samples(&geometry, &inputs, &inputs);
        let of = 3..geometry.products() - 2;
        let found = moments(&geometry, of.clone(), 6, |samples, of| {
            assert_eq!(of.len(), read);
            let inputs = inputs.chunks_exact(geometry.elements());
            let samples = inputs.skip(samples.start).take(samples.len());
            let values = samples.flat_map(|sample| &sample[of.clone()]).copied();
            Ok::<_, ()>((values.collect(), None))
        })
        .expect("no error");
        assert_eq!(found.len(), groups);
        for (found, all) in found.iter().zip(&all) {
            let expected = part(all, of.clone());
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close(&found.gram, &expected.gram) && found.k == expected.k);
            assert!(close(&found.mean_quantized, &expected.mean_quantized));
        }
    }
}

#[test]
fn blocks_are_as_wide_as_positions_can_tell() {
    use super::wide::widest;
    assert_eq!(widest(2048, 1), 2048);
    assert_eq!(widest(40_000, 512), 1024);
    assert_eq!(widest(40_000, 8), 512);
    assert_eq!(widest(4608, 3136), 2048);
}

/// If inputs of different blocks are uncorrelated, blocks leave nothing out.
#[test]
fn blocks_of_independent_inputs_are_as_good_as_the_whole() {
    for (max, search_scales, per_channel) in [(127, false, true), (7, true, true), (7, true, false)]
    {
        let case = Case::new(5, 24, 5, max);
        let k = 24;
        let whole = &mut case.moments[0].clone();
        // As if there were samples enough: damping depends on their number by input.
        whole.positions = 1_000_000;
        for (place, value) in whole.gram.iter_mut().chain(&mut whole.cross).enumerate() {
            let (row, column) = (place / k % k, place % k);
            if row / 8 != column / 8 {
                *value = 0.0;
            }
        }
        let least = vec![0.0; 5];
        let problem = LayerProblem {
            weights: case.weights(),
            out_channels: 5,
            k,
            max,
            per_channel,
            scales: &case.scales,
            least_scales: &least,
        };
        let options = AdaRoundOptions {
            damping: 1e-9,
            ..AdaRoundOptions::default()
        };
        let rounded = |widest: usize| {
            let moments = |of: std::ops::Range<usize>| vec![part(whole, of)];
            let watch = &mut |_, _| {};
            super::wide::in_blocks(
                &problem,
                &moments,
                widest,
                scales(search_scales),
                &options,
                watch,
            )
        };
        let (at_once, in_blocks) = (rounded(k), rounded(8));
        if !search_scales {
            assert_eq!(in_blocks.values, at_once.values);
        }
        // Costs have a constant left out: the distance to nearest at the range's scale is what was gained.
        let loss = |rounded: &Rounded| {
            let rows = rounded.values.chunks_exact(k).zip(&rounded.scales);
            let rows = rows.zip(case.weights().chunks_exact(k));
            rows.map(|((values, scale), weights)| {
                let error: Vec<f64> = (values.iter().zip(weights))
                    .map(|(&value, &weight)| f64::from(value) * scale - f64::from(weight))
                    .collect();
                let products = whole.gram.chunks_exact(k).zip(&error);
                products
                    .map(|(row, e)| e * row.iter().zip(&error).map(|(a, b)| a * b).sum::<f64>())
                    .sum::<f64>()
            })
            .sum::<f64>()
        };
        let nearest = Rounded {
            values: (case.weights().chunks_exact(k).zip(&case.scales))
                .flat_map(|(row, scale)| {
                    row.iter()
                        .map(move |w| (f64::from(*w) / scale).round() as i8)
                })
                .collect(),
            scales: case.scales.clone(),
            ..at_once.clone()
        };
        let (nearest, at_once, in_blocks) = (loss(&nearest), loss(&at_once), loss(&in_blocks));
        assert!(
            in_blocks < 0.8 * nearest && in_blocks < 1.15 * at_once,
            "nearest {nearest}, at once {at_once}, in blocks {in_blocks}"
        );
    }
}
