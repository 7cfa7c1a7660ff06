//! Moments behind synthetic samples, made those that BatchNorms recorded.

use crate::dataset::Dataset;
use crate::executor::{SingleNodeError, block_samples, blocks};
use crate::graph::{BatchNorm, Graph, Node, NodeMap};
use crate::ptq::layerwise::{Adjustment, Adjustments, Block, Halves, Tensors};
use std::ops::Range as Samples;

/// Outputs of a layer are scaled by no more than this, and no less than its inverse.
const MOST_GAIN: f64 = 64.0;

/// Adjustments that give every layer the moments that its BatchNorm recorded, on `samples`.
pub(crate) fn adjustments(
    graph: &Graph,
    samples: &Dataset,
) -> Result<Adjustments, SingleNodeError> {
    Ok(matched(graph, samples)?.0)
}

/// The adjustments of `samples`, and how far from the recorded distributions the layers' outputs are without their own: the mean of all layers, infinite where there are none.
pub(super) fn matched(
    graph: &Graph,
    samples: &Dataset,
) -> Result<(Adjustments, f64), SingleNodeError> {
    let mut divergences = Vec::new();
    let mut tensors: Tensors<'_, Halves> = Tensors::new(graph, samples.samples);
    for (tensor, input) in samples.by_input(graph) {
        let elements = graph.tensors[tensor].elements();
        let block = |block: Samples<usize>| {
            let block = block.start * elements..block.end * elements;
            Halves::new(&mut input[block].to_vec())
        };
        let blocks = blocks(samples.samples, block_samples(graph));
        tensors.set(tensor, blocks.into_iter().map(block).collect());
    }
    let mut found = NodeMap::new();
    for node in &graph.nodes {
        let bare = Node {
            activation: None,
            ..node.clone()
        };
        let channels = graph.tensors[node.output].channels();
        let activate = move |values: &mut [f32]| {
            if let Some(activation) = &node.activation {
                activation.apply_to(values, channels);
            }
        };
        let norm = (node.op.linear()).and_then(|linear| linear.folded.as_ref());
        let mut known = None;
        match norm {
            Some(norm) => tensors.run_then(
                &bare,
                |output| sums(output, channels),
                |mut output| Halves::new(&mut output),
                |sums| {
                    let count = samples.samples * graph.tensors[node.output].elements();
                    let found = moments(&sums, channels, count / channels.max(1));
                    let adjustment = adjustment(norm, &found);
                    known = Some(adjustment.clone());
                    divergences.push(divergence(norm, &found));
                    move |output: Halves| {
                        let mut values = Vec::with_capacity(output.len());
                        output.read(0..output.len(), &mut values);
                        adjustment.apply(&mut values);
                        activate(&mut values);
                        Halves::new(&mut values)
                    }
                },
            )?,
            None => tensors.pass(&bare, move |mut output| {
                activate(&mut output);
                Halves::new(&mut output)
            })?,
        }
        found.push(known);
        tensors.finish(node);
    }
    let divergence = match divergences.len() {
        0 => f64::INFINITY,
        layers => divergences.iter().sum::<f64>() / layers as f64,
    };
    Ok((found, divergence))
}

/// Sum and sum of squares of each channel.
pub(super) fn sums(values: &[f32], channels: usize) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0_f64; 2]; channels];
    for pixel in values.chunks_exact(channels.max(1)) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            let value = f64::from(value);
            *sum = [sum[0] + value, sum[1] + value * value];
        }
    }
    sums
}

/// Mean and variance of each channel, of sums block by block over `count` positions.
fn moments(blocks: &[Vec<[f64; 2]>], channels: usize, count: usize) -> Vec<[f64; 2]> {
    let count = count.max(1) as f64;
    (0..channels)
        .map(|channel| {
            let sum = |which: usize| blocks.iter().map(|sums| sums[channel][which]).sum::<f64>();
            let mean = sum(0) / count;
            [mean, (sum(1) / count - mean * mean).max(0.0)]
        })
        .collect()
}

/// Of a layer whose outputs have these means and variances.
fn adjustment(norm: &BatchNorm, moments: &[[f64; 2]]) -> Adjustment {
    let (gain, shift) = moments
        .iter()
        .enumerate()
        .map(|(channel, &[mean, variance])| {
            let wanted = f64::from(norm.gamma[channel]).abs();
            let gain = wanted / variance.sqrt();
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

/// A channel that is as far off as this says no more by being further off.
const MOST_DIVERGENCE: f64 = 1.0;

/// Mean over the channels of the Kullback-Leibler divergence of a normal distribution with these moments from the one that was recorded, no channel's more than
/// [`MOST_DIVERGENCE`]. Channels without a spread tell nothing.
fn divergence(norm: &BatchNorm, moments: &[[f64; 2]]) -> f64 {
    let (mut sum, mut channels) = (0.0, 0_u32);
    for (&[mean, variance], (&gamma, &beta)) in
        moments.iter().zip(norm.gamma.iter().zip(&norm.beta))
    {
        let wanted = f64::from(gamma).powi(2);
        let (ratio, off) = (variance / wanted, mean - f64::from(beta));
        let of_channel = 0.5 * (ratio - 1.0 - libm::log(ratio) + off * off / wanted);
        if of_channel.is_finite() {
            sum += of_channel.min(MOST_DIVERGENCE);
            channels += 1;
        }
    }
    sum / f64::from(channels.max(1))
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
