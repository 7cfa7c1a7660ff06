//! Sensitivities: effect of an error in any tensor on the output's error.
//!
//! For a small error `e` of one element the result moves by `J e`. Of the square of that, summed over all outputs, random signs give an
//! unbiased estimate: `E[(r . J e)^2] = |J e|^2` for `r` of independent signs (Hutchinson), and `r . J` is one walk backwards. Errors of
//! different elements are taken as independent within a channel's share. How far they are not, as in flat parts of an image, where all
//! pixels are rounded the same way, is one factor a tensor: what its rounding errors do together over what they would do apart.

use super::tape::Tape;
use super::walk::Visitor;
use crate::executor::matmul::multiply;
use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, NodeId, NodeMap, TensorId, TensorMap};
use crate::parallel;
use crate::ptq::rounding::Geometry;
use crate::random::Sequence;

/// Walks backwards of each run, with signs of their own.
const WALKS: usize = 2;

/// Elements of all tensors that a tape may hold (32 MiB).
const TAPE_ELEMENTS: usize = 8 << 20;

/// Treatment of the mean errors that rounded weights make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeanErrors {
    /// They are part of the noise.
    Kept,
    /// Biases will take them up, so that they do not count.
    Corrected,
}

/// Noise at the result for noise of variance 1 anywhere else, per sample.
#[derive(Clone, Debug)]
pub(crate) struct Sensitivity {
    /// For every tensor and channel: rounding noise of the tensor. Values at 0 or at a bound of a clamp have none, as they are represented exactly.
    pub(crate) tensors: TensorMap<Vec<f64>>,
    /// For every tensor and channel: an error of any element of it.
    pub(crate) elements: TensorMap<Vec<f64>>,
    /// For every node with weights.
    pub(crate) layers: NodeMap<Option<LayerSensitivity>>,
}

/// Of one layer with weights.
#[derive(Clone, Debug)]
pub(crate) struct LayerSensitivity {
    /// Noise of a weight, summed over the taps between an input and an output channel, `[out][in / groups]`.
    pub(crate) weights: Vec<f64>,
    /// Noise of the output before its activation, `[out]`.
    pub(crate) outputs: Vec<f64>,
}

impl Sensitivity {
    /// Of a graph around the values that `samples` samples give its tensors; `results` are the tensors whose noise counts.
    pub(crate) fn of(
        graph: &Graph,
        results: &[TensorId],
        input: &[f32],
        samples: usize,
        means: MeanErrors,
    ) -> Result<Sensitivity, crate::graph::GraphError> {
        let executor = Executor::new(graph)?;
        let elements: usize = graph.tensors.iter().map(|tensor| tensor.elements()).sum();
        let block = (TAPE_ELEMENTS / elements.max(1)).clamp(1, samples.max(1));
        let per_sample = input.len() / samples.max(1);
        let block_elements = (block * per_sample).max(1);
        // As many blocks at a time as there are threads: sums are as large as the network. Added in order, so that the same bits come out
        // whatever the number of threads.
        let threads = rayon::current_num_threads().max(1);
        let mut sums = Sums::new(graph, means);
        for (group, inputs) in input.chunks(threads * block_elements).enumerate() {
            let blocks: Vec<&[f32]> = inputs.chunks(block_elements).collect();
            let blocks: Vec<Option<Sums>> = parallel::map(blocks.len(), |index| {
                let input = blocks[index];
                // Signs of the block's own, so that blocks may be walked at the same time.
                let mut random = Sequence::new((group * threads + index) as u64);
                let count = input.len() / per_sample.max(1);
                // The length was just cut to fit.
                let tape: Result<_, ExecutorError> = Tape::record(&executor, input, count);
                Some(Sums::of(&tape.ok()?, results, means, &mut random))
            });
            blocks
                .into_iter()
                .flatten()
                .for_each(|block| sums.add(block));
        }
        Ok(sums.finish((samples * WALKS).max(1) as f64))
    }
}

impl Sensitivity {
    /// After every channel was divided by `scale(tensor, channel)`. Layers are left as they are.
    pub(crate) fn divide(&mut self, scale: impl Fn(TensorId, usize) -> f64) {
        for of in [&mut self.tensors, &mut self.elements] {
            for (tensor, channels) in of.enumerate_mut() {
                for (channel, value) in channels.iter_mut().enumerate() {
                    *value *= scale(tensor, channel).powi(2);
                }
            }
        }
    }

    /// Sensitivity of every tensor per channel: the effect of an error of any of its elements. Drops the part of the layers, which is as large as the network.
    pub(crate) fn into_elements(self) -> TensorMap<Vec<f64>> {
        self.elements
    }

    /// Of layers whose outputs are multiplied by `gain(node, channel)` in the graph that was measured and are not in the one that is meant.
    pub(crate) fn amplify(&mut self, gain: impl Fn(NodeId, usize) -> f64) {
        for (node, layer) in self.layers.enumerate_mut() {
            let Some(layer) = layer else {
                continue;
            };
            let per_row = layer.weights.len() / layer.outputs.len().max(1);
            let rows = layer.weights.chunks_exact_mut(per_row.max(1));
            for (channel, (row, output)) in rows.zip(&mut layer.outputs).enumerate() {
                let power = gain(node, channel).powi(2);
                row.iter_mut().for_each(|value| *value *= power);
                *output *= power;
            }
        }
    }
}

/// Steps of a channel's range for which rounding errors are computed.
const STEPS: f32 = 128.0;

/// Bounds of the factor by which errors that go together exceed independent ones.
const COHERENCE: [f64; 2] = [0.5, 256.0];

/// `value` to eight binary digits behind the leading one: the rest is chance, and what last bits of floating-point sums do must not reach decisions.
pub(crate) fn coarse(value: f64) -> f64 {
    const DROPPED: u32 = f64::MANTISSA_DIGITS - 1 - 8;
    let half = 1_u64 << (DROPPED - 1);
    f64::from_bits((value.to_bits() + half) >> DROPPED << DROPPED)
}

/// Sums over all walks.
struct Sums {
    found: Sensitivity,
    /// Of each tensor: the noise of its rounding errors together, and apart.
    coherence: TensorMap<[f64; 2]>,
    /// Mean of each channel of each tensor of the tape at hand; zeros where means count.
    means: TensorMap<Vec<f32>>,
    mean_errors: MeanErrors,
}

impl Sums {
    fn new(graph: &Graph, mean_errors: MeanErrors) -> Sums {
        let layer = |node: &crate::graph::Node| {
            let linear = node.op.linear()?;
            let geometry = Geometry::of(graph, node)?;
            Some(LayerSensitivity {
                weights: vec![0.0; linear.out_channels * geometry.per_group()],
                outputs: vec![0.0; linear.out_channels],
            })
        };
        Sums {
            found: Sensitivity {
                tensors: graph.tensors.map(|tensor| vec![0.0; tensor.channels()]),
                elements: graph.tensors.map(|tensor| vec![0.0; tensor.channels()]),
                layers: graph.nodes.map(layer),
            },
            coherence: graph.tensors.map(|_| [0.0; 2]),
            means: TensorMap::new(),
            mean_errors,
        }
    }

    /// Of all walks over one tape.
    fn of(
        tape: &Tape<'_>,
        results: &[TensorId],
        mean_errors: MeanErrors,
        random: &mut Sequence,
    ) -> Sums {
        let mut sums = Sums::new(tape.graph(), mean_errors);
        sums.take_means(tape);
        for _ in 0..WALKS {
            let seeds: Vec<_> = results
                .iter()
                .map(|&id| {
                    let signs = (0..tape.values(id).len())
                        .map(|_| if random.unit() < 0.5 { -1.0 } else { 1.0 })
                        .collect();
                    (id, signs)
                })
                .collect();
            tape.backward(seeds, &mut sums);
        }
        sums
    }

    /// Adds the sums of other walks.
    fn add(&mut self, other: Sums) {
        fn plus(sums: &mut [f64], others: &[f64]) {
            sums.iter_mut()
                .zip(others)
                .for_each(|(sum, other)| *sum += other);
        }
        let (found, others) = (&mut self.found, other.found);
        for (sums, others) in found.tensors.iter_mut().zip(&others.tensors) {
            plus(sums, others);
        }
        for (sums, others) in found.elements.iter_mut().zip(&others.elements) {
            plus(sums, others);
        }
        for (sums, others) in found.layers.iter_mut().zip(&others.layers) {
            if let (Some(sums), Some(others)) = (sums, others) {
                plus(&mut sums.weights, &others.weights);
                plus(&mut sums.outputs, &others.outputs);
            }
        }
        for (sums, others) in self.coherence.iter_mut().zip(&other.coherence) {
            plus(sums, others);
        }
    }

    fn take_means(&mut self, tape: &Tape<'_>) {
        let graph = tape.graph();
        let tensors: Vec<_> = graph.tensors.enumerate().collect();
        let means = parallel::map(tensors.len(), |index| {
            let (id, tensor) = tensors[index];
            let channels = tensor.channels().max(1);
            if self.mean_errors == MeanErrors::Kept {
                return vec![0.0; channels];
            }
            let mut sums = vec![0.0_f64; channels];
            for pixel in tape.values(id).chunks_exact(channels) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += f64::from(value);
                }
            }
            let pixels = (tape.values(id).len() / channels).max(1) as f64;
            sums.iter().map(|sum| (sum / pixels) as f32).collect()
        });
        self.means = means.into();
    }

    fn finish(mut self, count: f64) -> Sensitivity {
        let divide = |values: &mut Vec<f64>| {
            values
                .iter_mut()
                .for_each(|value| *value = coarse(*value / count));
        };
        self.found.tensors.iter_mut().for_each(divide);
        for (channels, [together, apart]) in self.found.tensors.iter_mut().zip(self.coherence) {
            if apart > 0.0 {
                let factor = (together / apart).clamp(COHERENCE[0], COHERENCE[1]);
                // To quarters of an octave: so few samples tell no more.
                let factor = libm::exp2((4.0 * libm::log2(factor)).round() / 4.0);
                channels.iter_mut().for_each(|value| *value *= factor);
            }
        }
        self.found.elements.iter_mut().for_each(divide);
        for layer in self.found.layers.iter_mut().flatten() {
            divide(&mut layer.weights);
            divide(&mut layer.outputs);
        }
        self.found
    }
}

impl Visitor for Sums {
    fn tensor(&mut self, tape: &Tape<'_>, id: TensorId, gradient: &[f32]) {
        let graph = tape.graph();
        let activation = graph
            .producer(id)
            .and_then(|node| graph.nodes[node].activation.as_ref());
        let per_sample = graph.tensors[id].elements();
        for [together, apart] in
            coherence(tape.values(id), gradient, per_sample, self.means[id].len())
        {
            self.coherence[id][0] += together;
            self.coherence[id][1] += apart;
        }
        let sums = &mut self.found.tensors[id];
        let all = &mut self.found.elements[id];
        let channels = sums.len().max(1);
        let upper: Vec<f32> = (0..channels)
            .map(|channel| {
                activation
                    .and_then(|activation| activation.clamp_bounds(channel))
                    .map_or(f32::INFINITY, |(_, max)| max)
            })
            .collect();
        let pixels = gradient
            .chunks_exact(channels)
            .zip(tape.values(id).chunks_exact(channels));
        for (gradient, values) in pixels {
            for (sum, g) in all.iter_mut().zip(gradient) {
                *sum += f64::from(g * g);
            }
            for (((sum, g), &x), &upper) in sums.iter_mut().zip(gradient).zip(values).zip(&upper) {
                if x != 0.0 && x < upper {
                    *sum += f64::from(g * g);
                }
            }
        }
    }

    fn layer(&mut self, tape: &Tape<'_>, id: NodeId, gradient: &[f32]) {
        let graph = tape.graph();
        let node = &graph.nodes[id];
        let (Some(geometry), Some(sums)) =
            (Geometry::of(graph, node), self.found.layers[id].as_mut())
        else {
            return;
        };
        let rows = sums.outputs.len();
        for pixel in gradient.chunks_exact(rows.max(1)) {
            for (sum, g) in sums.outputs.iter_mut().zip(pixel) {
                *sum += f64::from(g * g);
            }
        }
        let input = tape.values(node.inputs[0]);
        let mean = &self.means[node.inputs[0]];
        let per_sample = geometry.positions() * rows;
        let gradient: Vec<&[f32]> = gradient.chunks_exact(per_sample.max(1)).collect();
        let squares: Vec<Vec<f32>> = parallel::map(gradient.len(), |sample| {
            squared(&geometry, sample, input, mean, gradient[sample], rows)
        });
        for squares in squares {
            for (sum, square) in sums.weights.iter_mut().zip(squares) {
                *sum += f64::from(square);
            }
        }
    }
}

/// Of each sample, the square of what the rounding errors of all elements do together, and the sum of the squares of what each does. The mean error of a
/// channel is left out, as the next layer's bias takes it up.
fn coherence(
    values: &[f32],
    gradient: &[f32],
    per_sample: usize,
    channels: usize,
) -> Vec<[f64; 2]> {
    let channels = channels.max(1);
    let mut ends = vec![[0.0_f32; 2]; channels];
    for pixel in values.chunks_exact(channels) {
        for (end, &value) in ends.iter_mut().zip(pixel) {
            *end = [end[0].min(value), end[1].max(value)];
        }
    }
    let steps: Vec<f32> = ends
        .iter()
        .map(|[low, high]| (high - low) / STEPS)
        .collect();
    let error = |value: f32, step: f32| {
        if step > 0.0 {
            (value / step).round() * step - value
        } else {
            0.0
        }
    };
    let mut means = vec![0.0_f64; channels];
    for pixel in values.chunks_exact(channels) {
        for ((mean, &value), &step) in means.iter_mut().zip(pixel).zip(&steps) {
            *mean += f64::from(error(value, step));
        }
    }
    let pixels = (values.len() / channels).max(1) as f64;
    let means: Vec<f32> = means.iter().map(|sum| (sum / pixels) as f32).collect();
    let per_sample = per_sample.max(1);
    let samples = values
        .chunks_exact(per_sample)
        .zip(gradient.chunks_exact(per_sample));
    let samples: Vec<(&[f32], &[f32])> = samples.collect();
    parallel::map(samples.len(), |sample| {
        let (values, gradient) = samples[sample];
        let (mut together, mut apart) = (0.0_f64, 0.0_f64);
        for (values, gradient) in values
            .chunks_exact(channels)
            .zip(gradient.chunks_exact(channels))
        {
            for (channel, (&value, g)) in values.iter().zip(gradient).enumerate() {
                let moved = f64::from((error(value, steps[channel]) - means[channel]) * g);
                together += moved;
                apart += moved * moved;
            }
        }
        [together * together, apart]
    })
}

/// Squares of the gradient by each weight of one sample, about the mean of the inputs, summed over taps.
fn squared(
    geometry: &Geometry,
    sample: usize,
    input: &[f32],
    mean: &[f32],
    gradient: &[f32],
    rows: usize,
) -> Vec<f32> {
    let (k, groups, per_group) = (geometry.products(), geometry.groups(), geometry.per_group());
    let positions = geometry.positions();
    let rows_per_group = rows / groups.max(1);
    let mut found = vec![0.0; rows * per_group];
    let mut patches = vec![0.0; positions * k];
    let mut transposed = vec![0.0; rows_per_group * positions];
    let mut product = vec![0.0; rows_per_group * k];
    for group in 0..groups {
        for (position, patch) in patches.chunks_exact_mut(k.max(1)).enumerate() {
            geometry.gather(input, sample * positions + position, group, patch);
        }
        for (position, pixel) in gradient.chunks_exact(rows).enumerate() {
            let pixel = &pixel[group * rows_per_group..][..rows_per_group];
            for (row, g) in pixel.iter().enumerate() {
                transposed[row * positions + position] = *g;
            }
        }
        multiply(&transposed, &patches, k, &mut product);
        for row in 0..rows_per_group {
            let total: f32 = transposed[row * positions..][..positions].iter().sum();
            let found = &mut found[(group * rows_per_group + row) * per_group..][..per_group];
            for (place, value) in product[row * k..][..k].iter().enumerate() {
                let channel = place % per_group.max(1);
                let value = value - total * mean[(group * per_group + channel) % mean.len()];
                found[channel] += value * value;
            }
        }
    }
    found
}
