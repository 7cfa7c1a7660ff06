//! Samples made from nothing but the network, for quantization without data.
//!
//! Noise is not what a network was trained on, and its activations behind noise are not those of training. Of these, each BatchNorm recorded
//! mean and variance, channel by channel. So smooth noise is run through the network, and every layer with a recorded distribution has its outputs scaled and shifted,
//! channel by channel, until mean and deviation over all samples are the recorded ones; the next layer reads the result. What comes
//! out has the right moments everywhere, and how channels go together is what the network's own weights make of it.
//!
//! Matching the moments that BatchNorms recorded is the idea of Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework" (2020), section 3.1, where
//! inputs are learnt for it by gradient descent; doing it layer by layer takes one run of the network.

use crate::calibrate::Range;
use crate::dataset::Dataset;
use crate::graph::{BatchNorm, Graph, Node, TensorId};
use crate::layerwise::{
    Adjustment, Adjustments, Block, Halves, SingleNode, SingleNodeError, Store, blocks,
};
use crate::random::Sequence;
use rayon::prelude::*;
use std::ops::Range as Samples;

/// Outputs of a layer are scaled by no more than this, and no less than its inverse.
const MOST_GAIN: f64 = 64.0;

/// What makes `samples` give every layer the moments that its BatchNorm recorded.
pub(crate) fn adjustments(
    graph: &Graph,
    samples: &Dataset,
) -> Result<Adjustments, SingleNodeError> {
    let mut values: Vec<Store<Halves>> = vec![Store::default(); graph.tensors.len()];
    let mut readers: Vec<usize> = (0..graph.tensors.len())
        .map(|tensor| graph.consumers(tensor).len())
        .collect();
    let elements = |tensor: TensorId| graph.tensors[tensor].elements();
    for (tensor, input) in samples.by_input(graph) {
        let block = |block: Samples<usize>| {
            let block = block.start * elements(tensor)..block.end * elements(tensor);
            Halves::new(&mut input[block].to_vec())
        };
        values[tensor] = Store(blocks(samples.samples).into_iter().map(block).collect());
    }
    let mut found = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let bare = Node {
            activation: None,
            ..node.clone()
        };
        let channels = graph.tensors[node.output].channels();
        let norm = (node.op.linear()).and_then(|linear| linear.folded.as_ref());
        let finish = |adjustment: Option<&Adjustment>, values: &mut [f32]| {
            if let Some(adjustment) = adjustment {
                adjustment.apply(values);
            }
            if let Some(activation) = &node.activation {
                activation.apply_to(values, channels);
            }
        };
        let outputs = SingleNode::new(graph, &bare).run_blocks(
            samples.samples,
            |tensor, samples| values[tensor].read(samples, elements(tensor)),
            |mut output| {
                let sums = norm.map(|_| sums(&output, channels));
                if norm.is_none() {
                    finish(None, &mut output);
                }
                (sums, Halves::new(&mut output))
            },
        )?;
        let (sums, mut outputs): (Vec<_>, Vec<Halves>) = outputs.into_iter().unzip();
        let adjustment = norm.map(|norm| {
            let count = samples.samples * elements(node.output) / channels.max(1);
            adjustment(norm, &sums.into_iter().flatten().collect::<Vec<_>>(), count)
        });
        if adjustment.is_some() {
            outputs.par_iter_mut().for_each(|output| {
                let mut values = Vec::with_capacity(output.len());
                output.read(0..output.len(), &mut values);
                finish(adjustment.as_ref(), &mut values);
                *output = Halves::new(&mut values);
            });
        }
        found.push(adjustment);
        let mut inputs = node.inputs.clone();
        inputs.sort_unstable();
        inputs.dedup();
        for input in inputs {
            readers[input] -= 1;
            if readers[input] == 0 {
                values[input] = Store::default();
            }
        }
        values[node.output] = Store(outputs);
    }
    Ok(found)
}

/// Sum and sum of squares of each channel.
fn sums(values: &[f32], channels: usize) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0_f64; 2]; channels];
    for pixel in values.chunks_exact(channels.max(1)) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            let value = f64::from(value);
            *sum = [sum[0] + value, sum[1] + value * value];
        }
    }
    sums
}

/// Of a layer whose outputs have these sums, block by block, over `count` positions.
fn adjustment(norm: &BatchNorm, blocks: &[Vec<[f64; 2]>], count: usize) -> Adjustment {
    let count = count.max(1) as f64;
    let (gain, shift) = (0..norm.channels())
        .map(|channel| {
            let sum = |which: usize| blocks.iter().map(|sums| sums[channel][which]).sum::<f64>();
            let mean = sum(0) / count;
            let deviation = (sum(1) / count - mean * mean).max(0.0).sqrt();
            let wanted = f64::from(norm.gamma[channel]).abs();
            let gain = wanted / deviation;
            let gain = if gain.is_finite() && gain > 0.0 {
                gain.clamp(1.0 / MOST_GAIN, MOST_GAIN)
            } else {
                1.0
            };
            let shift = f64::from(norm.beta[channel]) - gain * mean;
            (gain as f32, shift as f32)
        })
        .unzip();
    Adjustment { gain, shift }
}

/// The graph with all adjustments in its weights and biases.
pub(crate) fn adjusted(graph: &Graph, adjustments: &Adjustments) -> Graph {
    let mut graph = graph.clone();
    for (node, adjustment) in graph.nodes.iter_mut().zip(adjustments) {
        let (Some(linear), Some(adjustment)) = (node.op.linear_mut(), adjustment) else {
            continue;
        };
        for (row, gain) in linear.rows_mut().zip(&adjustment.gain) {
            row.iter_mut().for_each(|weight| *weight *= gain);
        }
        adjustment.apply(&mut linear.bias);
    }
    graph
}

/// Noise in the ranges of the network's inputs. That of images is smooth: power falls with the square of the frequency, as in photographs, and
/// most of it is common to all channels. Vectors are uniform.
pub(crate) fn noise(graph: &Graph, ranges: &[Range], samples: usize, seed: u64) -> Dataset {
    let mut random = Sequence::new(seed);
    let mut inputs = Vec::new();
    for _ in 0..samples {
        for (input, range) in graph.inputs.iter().zip(ranges) {
            let shape = &graph.tensors[input.tensor].shape;
            match shape[..] {
                [h, w, c] if h * w > 1 => {
                    let (middle, half) =
                        (0.5 * (range.min + range.max), 0.5 * (range.max - range.min));
                    let values = smooth(&mut random, [h, w, c]);
                    inputs.extend(
                        values
                            .iter()
                            .map(|value| (middle + 0.5 * half * value).clamp(range.min, range.max)),
                    );
                }
                // Of features nothing is known but where they lie.
                _ => inputs.extend(random.values(shape.iter().product(), range.min, range.max)),
            }
        }
    }
    Dataset {
        inputs,
        samples,
        labels: None,
    }
}

/// Numbers close to a normal distribution with mean 0 and deviation 1.
fn normal(random: &mut Sequence, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (0..12).map(|_| random.unit()).sum::<f32>() - 6.0)
        .collect()
}

/// Octaves of noise of equal power, added up; mean about 0, deviation about 1.
fn smooth(random: &mut Sequence, [h, w, c]: [usize; 3]) -> Vec<f32> {
    let common = octaves(random, h, w);
    let mut values = vec![0.0; h * w * c];
    for channel in 0..c {
        let own = octaves(random, h, w);
        for (pixel, (common, own)) in common.iter().zip(&own).enumerate() {
            values[pixel * c + channel] = 0.9 * common + 0.44 * own;
        }
    }
    values
}

fn octaves(random: &mut Sequence, h: usize, w: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; h * w];
    let mut cell = h.max(w);
    let mut count = 0_usize;
    loop {
        let (rows, columns) = (h.div_ceil(cell) + 1, w.div_ceil(cell) + 1);
        let grid = normal(random, rows * columns);
        for y in 0..h {
            for x in 0..w {
                let (fy, fx) = (y as f32 / cell as f32, x as f32 / cell as f32);
                let (iy, ix) = (fy as usize, fx as usize);
                let (ty, tx) = (fy - iy as f32, fx - ix as f32);
                let at = |y: usize, x: usize| grid[y.min(rows - 1) * columns + x.min(columns - 1)];
                let top = at(iy, ix) * (1.0 - tx) + at(iy, ix + 1) * tx;
                let bottom = at(iy + 1, ix) * (1.0 - tx) + at(iy + 1, ix + 1) * tx;
                sum[y * w + x] += top * (1.0 - ty) + bottom * ty;
            }
        }
        count += 1;
        if cell == 1 {
            break;
        }
        cell = cell.div_ceil(2);
    }
    // Interpolation between cells keeps about two thirds of the power of a cell.
    let scale = 1.0 / (0.67 * count as f32).sqrt();
    sum.iter_mut().for_each(|value| *value *= scale);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::executor::Executor;
    use crate::import::ImportOptions;
    use crate::passes;
    use crate::recipe::Recipe;

    #[test]
    fn every_layer_gets_the_moments_that_were_recorded() {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        let range = Range {
            min: -1.0,
            max: 2.0,
        };
        let samples = noise(&graph, &[range], 16, 1);
        let found = adjustments(&graph, &samples).expect("runs");
        let mut bare = adjusted(&graph, &found);
        // Before the activation: the first layer alone.
        bare.nodes.truncate(1);
        bare.nodes[0].activation = None;
        bare.outputs = vec![bare.nodes[0].output];
        let output = Executor::new(&bare)
            .expect("sound")
            .forward(&samples.inputs, samples.samples)
            .expect("runs");
        let linear = graph.nodes[0].op.linear().expect("a layer");
        let norm = linear.folded.as_ref().expect("folded");
        for channel in 0..norm.channels() {
            let values: Vec<f64> = output
                .iter()
                .skip(channel)
                .step_by(norm.channels())
                .map(|&value| f64::from(value))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance =
                values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            let (beta, gamma) = (
                f64::from(norm.beta[channel]),
                f64::from(norm.gamma[channel]),
            );
            assert!(
                (mean - beta).abs() < 1e-3 * (1.0 + beta.abs()),
                "{mean} {beta}"
            );
            assert!(
                (variance.sqrt() - gamma.abs()).abs() < 1e-2 * gamma.abs(),
                "{variance} {gamma}"
            );
        }
    }
}
