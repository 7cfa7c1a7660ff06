//! Properties of the training images, estimated from BatchNorm statistics.
//!
//! Those that read the input tell its means and how fine and colourful images were; all others how much one image differs from the next.

use super::matching::{matched, sums};
use super::noise::{Octave, Spread, drawn, image, smooth};
use crate::executor::{SingleNode, SingleNodeError};
use crate::graph::{BatchNorm, Graph, Node, TensorId};
use crate::random::Sequence;
use std::ops::Range as Samples;

/// Turns of the descent over an input's channels; their number is small, and its means hang together little.
const TURNS: usize = 100;

/// Channels of an image whose means are looked for: each takes a sample of its own through the first layer.
pub(super) const MOST_CHANNELS: usize = 64;

/// Finds the means of an input's channels from the means that the layers which read it should have.
///
/// A layer's mean output is linear in the mean of each input channel. A normal distribution around the middle of the range, a deviation of noise
/// wide, is what is known before; each output's mean is believed up to its own deviation.
pub(super) fn means(
    graph: &Graph,
    first: &[(&Node, &BatchNorm)],
    spread: &mut Spread,
) -> Result<(), SingleNodeError> {
    let channels = spread.mean.len();
    let wide = f64::from(spread.deviation());
    // Rows of slopes, and what is to be reached, both in deviations.
    let mut rows: Vec<(Vec<f64>, f64)> = Vec::new();
    for (node, norm) in first {
        let samples = channels + 1;
        // The middle everywhere; then one channel after the other a deviation above it.
        let probe = |_, block: Samples<usize>| {
            let elements = graph.tensors[node.inputs[0]].elements();
            let sample = |sample: usize| {
                (0..elements).map(move |place| sample > 0 && place % channels == sample - 1)
            };
            let values = block.flat_map(|index| sample(index).enumerate().collect::<Vec<_>>());
            values
                .map(|(place, raised)| {
                    spread.mean[place % channels] + if raised { wide as f32 } else { 0.0 }
                })
                .collect()
        };
        let outputs = moments(graph, node, samples, probe)?;
        for (channel, (&gamma, &beta)) in norm.gamma.iter().zip(&norm.beta).enumerate() {
            let deviation = f64::from(gamma).abs();
            if deviation == 0.0 {
                continue;
            }
            let mut means = outputs.iter().map(|sums| sums[channel].0 / deviation);
            let middle = means.next().unwrap_or(0.0);
            let slopes = means.map(|mean| mean - middle).collect();
            rows.push((slopes, f64::from(beta) / deviation - middle));
        }
    }
    let mut shifts = vec![0.0_f64; channels];
    for _ in 0..TURNS {
        for channel in 0..channels {
            let (mut pull, mut weight) = (0.0, 1.0);
            for (slopes, wanted) in &rows {
                let others = slopes.iter().zip(&shifts).map(|(a, b)| a * b).sum::<f64>();
                pull += slopes[channel] * (wanted - others + slopes[channel] * shifts[channel]);
                weight += slopes[channel] * slopes[channel];
            }
            shifts[channel] = pull / weight;
        }
    }
    for (mean, shift) in spread.mean.iter_mut().zip(shifts) {
        let shifted = f64::from(*mean) + shift * wide;
        if shifted.is_finite() {
            *mean = (shifted as f32).clamp(spread.range.min, spread.range.max);
        }
    }
    Ok(())
}

/// Samples of each octave on which its share is found.
pub(super) const FIT_SAMPLES: usize = 16;

/// An input's deviation is divided by no more than this.
const MOST_NARROWED: f64 = 4.0;

/// Turns of the fit of powers.
const POWER_TURNS: usize = 300;

/// Finds the power of each octave of an input's noise from the deviations that the layers which read it should have: a layer that compares
/// neighbouring pixels tells how fine the images of training were, one that compares channels how colourful.
///
/// A channel's variance is the sum of what each octave brings, in proportion to the octave's power. The powers are the likeliest ones if outputs are normal: of least
/// Itakura-Saito divergence, by its multiplicative updates (Fevotte, Bertin and Durrieu 2009, algorithm 1, with the square root that makes them
/// monotone). What no layer tells stays as it is: the default is believed as much as one channel.
pub(super) fn octaves(
    graph: &Graph,
    first: &[(&Node, &BatchNorm)],
    spread: &mut Spread,
    seed: u64,
) -> Result<(), SingleNodeError> {
    // Both parts of every octave, alone.
    let parts: Vec<Vec<Octave>> = (0..2 * spread.octaves.len())
        .map(|part| {
            let mut alone = vec![Octave::default(); spread.octaves.len()];
            let whole = spread.octaves[part / 2];
            alone[part / 2] = match part % 2 {
                0 => whole.scaled(1.0, 0.0),
                _ => whole.scaled(0.0, 1.0),
            };
            alone
        })
        .collect();
    // Of every channel: what each part brings, over the variance that it should have.
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (node, norm) in first {
        let shape = &graph.tensors[node.inputs[0]].shape;
        let Some(size) = image(shape) else { continue };
        let elements: usize = shape.iter().product();
        let mut variances = Vec::with_capacity(parts.len());
        for alone in &parts {
            let mut random = Sequence::new(seed);
            let drawn: Vec<f32> = (0..FIT_SAMPLES)
                .flat_map(|_| smooth(&mut random, size, alone))
                .collect();
            variances.push(variance_of_outputs(graph, node, |block| {
                drawn[block.start * elements..block.end * elements].to_vec()
            })?);
        }
        for (channel, &gamma) in norm.gamma.iter().enumerate() {
            let wanted = f64::from(gamma).powi(2);
            let row: Vec<f64> = (variances.iter()).map(|of| of[channel] / wanted).collect();
            let sum: f64 = row.iter().sum();
            if sum.is_finite() && sum > 0.0 {
                rows.push(row);
            }
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let logs: f64 = rows.iter().map(|row| libm::log(row.iter().sum())).sum();
    let all = libm::exp(-logs / rows.len() as f64).max(MOST_NARROWED.powi(-2));
    let mut powers = vec![all; parts.len()];
    for _ in 0..POWER_TURNS {
        let found: Vec<f64> = (rows.iter())
            .map(|row| row.iter().zip(&powers).map(|(a, b)| a * b).sum())
            .collect();
        for (part, power) in powers.iter_mut().enumerate() {
            let (mut more, mut less) = (all / (*power * *power), 1.0 / *power);
            for (row, found) in rows.iter().zip(&found) {
                more += row[part] / (found * found);
                less += row[part] / found;
            }
            *power *= (more / less).sqrt();
        }
    }
    if powers.iter().any(|power| !power.is_finite()) {
        return Ok(());
    }
    for (octave, powers) in spread.octaves.iter_mut().zip(powers.chunks_exact(2)) {
        *octave = octave.scaled(powers[0].sqrt() as f32, powers[1].sqrt() as f32);
    }
    // Nothing in a range spreads much wider than what fills it evenly.
    let even = (spread.range.max - spread.range.min) / 12.0_f32.sqrt();
    let narrowed = (even / spread.deviation()).min(1.0);
    for octave in &mut spread.octaves {
        *octave = octave.scaled(narrowed, narrowed);
    }
    Ok(())
}

/// Variance of each channel of a node's output before its activation, over [`FIT_SAMPLES`] samples.
pub(super) fn variance_of_outputs(
    graph: &Graph,
    node: &Node,
    read: impl Fn(Samples<usize>) -> Vec<f32> + Sync,
) -> Result<Vec<f64>, SingleNodeError> {
    let outputs = moments(graph, node, FIT_SAMPLES, |_, block| read(block))?;
    let channels = graph.tensors[node.output].channels();
    let variance = |channel: usize| {
        let mean = |of: fn(&(f64, f64)) -> f64| {
            outputs.iter().map(|sums| of(&sums[channel])).sum::<f64>() / FIT_SAMPLES as f64
        };
        (mean(|sums| sums.1) - mean(|sums| sums.0).powi(2)).max(0.0)
    };
    Ok((0..channels).map(variance).collect())
}

/// Mean and mean square of each channel of a node's output before its activation, sample by sample.
fn moments(
    graph: &Graph,
    node: &Node,
    samples: usize,
    read: impl Fn(TensorId, Samples<usize>) -> Vec<f32> + Sync,
) -> Result<Vec<Vec<(f64, f64)>>, SingleNodeError> {
    let bare = Node {
        activation: None,
        ..node.clone()
    };
    let elements = graph.tensors[node.output].elements();
    let channels = graph.tensors[node.output].channels();
    let positions = (elements / channels.max(1)).max(1) as f64;
    let read = |tensor, samples| Ok(read(tensor, samples));
    let blocks = SingleNode::new(graph, &bare).run_blocks(samples, read, |output| {
        let samples = output.chunks_exact(elements.max(1));
        let sums = samples.map(|sample| {
            let sums = sums(sample, channels).into_iter();
            let means = sums.map(|[sum, square]| (sum / positions, square / positions));
            means.collect::<Vec<_>>()
        });
        sums.collect::<Vec<_>>()
    })?;
    Ok(blocks.into_iter().flatten().collect())
}

/// Standard deviations of the logarithm of contrast that are tried. Photographs differ: one in fog has a fraction of the contrast of one in the sun.
const CONTRASTS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Share of what was found that is taken. Where it is too much, few images of great contrast decide, and most networks lose more than too little costs them.
const TAKEN: f32 = 0.5;

/// Samples on which they are compared at least and at most, and multiply-accumulates that one comparison may take.
const CONTRAST_SAMPLES: [usize; 2] = [16, 48];
const CONTRAST_MACS: u64 = 8_000_000_000;

/// Finds how much images differ in contrast: as much as makes the recorded distributions of all layers likeliest.
///
/// Variances of the first layer are the same for few images of much contrast and for many of middling one. Behind an activation they are not: what it cuts off depends on
/// how an output is distributed, and with it the means and variances that the next layers recorded. Of these, the least divergence decides, as in
/// Cai et al. (2020), section 3.1, with normal distributions compared instead of moments.
pub(super) fn contrast(
    graph: &Graph,
    spreads: &mut [Spread],
    samples: usize,
    seed: u64,
) -> Result<(), SingleNodeError> {
    let [few, many] = CONTRAST_SAMPLES;
    let affordable = usize::try_from(CONTRAST_MACS / graph.macs().max(1)).unwrap_or(many);
    let samples = samples.min(affordable.clamp(few, many));
    let mut best = (f64::INFINITY, 0.0);
    for contrast in CONTRASTS {
        set_contrast(spreads, contrast);
        let noise = drawn(graph, spreads, samples, seed);
        let (_, divergence) = matched(graph, &noise)?;
        if divergence < best.0 {
            best = (divergence, contrast);
        }
    }
    set_contrast(spreads, TAKEN * best.1);
    Ok(())
}

fn set_contrast(spreads: &mut [Spread], contrast: f32) {
    for spread in spreads {
        spread.contrast = contrast;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{adjusted, noise};
    use super::*;
    use crate::graph::{Activation, Conv2d, Linear, NodeId, Op, Window};
    use crate::range::Range;
    use crate::testing::{graph_of, push};

    /// A network of one convolution without padding, from an image to an image.
    fn one_convolution(
        from: [usize; 3],
        to: [usize; 3],
        kernel: [usize; 2],
        weights: Vec<f32>,
        folded: Option<BatchNorm>,
    ) -> Graph {
        let mut graph = graph_of(&[&from]);
        let conv = Conv2d {
            linear: Linear {
                weights,
                bias: vec![0.0; to[2]],
                out_channels: to[2],
                folded,
            },
            in_channels: from[2],
            groups: 1,
            window: Window::new(kernel),
        };
        let output = push(&mut graph, Op::Conv2d(conv), &[TensorId::new(0)], &[]);
        assert_eq!(graph.tensors[output].shape, to);
        graph
    }

    #[test]
    fn an_image_gets_the_moments_that_its_readers_recorded() {
        // Two channels of 8 x 8 pixels, read by a pointwise convolution with four outputs.
        let (truth, weights) = (
            [0.5_f32, -0.25],
            [1.0_f32, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, -2.0],
        );
        let mean = |row: &[f32]| row[0] * truth[0] + row[1] * truth[1];
        let rows = weights.chunks_exact(2);
        let norm = BatchNorm {
            gamma: vec![0.05; 4],
            beta: rows.map(mean).collect(),
            ..BatchNorm::affine(vec![1.0; 4], vec![0.0; 4])
        };
        let graph = one_convolution([8, 8, 2], [8, 8, 4], [1, 1], weights.to_vec(), Some(norm));
        let range = Range {
            min: -1.0,
            max: 1.0,
        };
        let samples = noise(&graph, &[range], 64, 1).expect("runs");
        let half = samples.inputs.len() as f32 / 2.0;
        for (channel, truth) in truth.iter().enumerate() {
            let own = samples.inputs.iter().skip(channel).step_by(2);
            let mean = own.sum::<f32>() / half;
            assert!((mean - truth).abs() < 0.05, "{mean} instead of {truth}");
        }
        assert!(samples.inputs.iter().all(|x| (-1.0..=1.0).contains(x)));
    }

    /// The variance of a pixel and of the difference to its neighbour tell smooth images from fine ones.
    #[test]
    fn noise_is_as_fine_as_the_first_layer_saw() {
        let size = [32, 32, 1];
        let range = Range {
            min: -1.0,
            max: 1.0,
        };
        let default = Spread::of(range, &size).octaves;
        // What is looked for: all power in the coarse half, or in the fine one.
        for fine in [false, true] {
            let mut truth = default.clone();
            for (place, octave) in truth.iter_mut().enumerate() {
                let kept = (place >= default.len() / 2) == fine;
                *octave = octave.scaled(f32::from(u8::from(kept)), f32::from(u8::from(kept)));
            }
            let weights = [1.0, 0.0, 1.0, -1.0].repeat(16);
            let graph = one_convolution(size, [32, 31, 32], [1, 2], weights, None);
            let mut random = Sequence::new(99);
            let images: Vec<f32> = (0..FIT_SAMPLES)
                .flat_map(|_| smooth(&mut random, size, &truth))
                .collect();
            let variances = variance_of_outputs(&graph, &graph.nodes[NodeId::new(0)], |block| {
                images[block.start * 1024..block.end * 1024].to_vec()
            })
            .expect("runs");
            let norm = BatchNorm {
                gamma: variances.iter().map(|v| v.sqrt() as f32).collect(),
                beta: vec![0.0; 32],
                ..BatchNorm::affine(vec![1.0; 32], vec![0.0; 32])
            };
            let mut spread = Spread::of(range, &size);
            octaves(
                &graph,
                &[(&graph.nodes[NodeId::new(0)], &norm)],
                &mut spread,
                1,
            )
            .expect("runs");
            let share = |octaves: &[Octave]| {
                let variance =
                    |octaves: &[Octave]| octaves.iter().map(|o| o.variance()).sum::<f32>();
                variance(&octaves[octaves.len() / 2..]) / variance(octaves)
            };
            let (before, after) = (share(&default), share(&spread.octaves));
            let moved = if fine { after - before } else { before - after };
            assert!(moved > 0.05, "fine: {fine}, {before} became {after}");
        }
    }

    /// Images of one contrast or of many, in a network that recorded its distributions on them.
    #[test]
    fn contrast_differs_as_much_as_it_did_when_the_network_was_trained() {
        let size = [16, 16, 1];
        let range = Range {
            min: -4.0,
            max: 4.0,
        };
        let conv = |channels: [usize; 2], seed| Conv2d {
            linear: Linear {
                weights: Sequence::new(seed).values(9 * channels[0] * channels[1], -1.0, 1.0),
                bias: vec![0.0; channels[1]],
                out_channels: channels[1],
                folded: Some(BatchNorm::affine(
                    vec![1.0; channels[1]],
                    vec![0.0; channels[1]],
                )),
            },
            in_channels: channels[0],
            groups: 1,
            window: Window::new([3, 3]),
        };
        let mut found = Vec::new();
        for truth in [0.0, 0.9] {
            let mut graph = graph_of(&[&size]);
            let mut last = TensorId::new(0);
            for (layer, channels) in [[1, 16], [16, 16], [16, 16]].into_iter().enumerate() {
                last = push(
                    &mut graph,
                    Op::Conv2d(conv(channels, layer as u64)),
                    &[last],
                    &[],
                );
                graph.nodes[NodeId::new(layer)].activation = Some(Activation::Relu);
            }
            let mut spread = Spread::of(range, &size);
            spread.contrast = truth;
            let images = drawn(&graph, &[spread.clone()], 256, 77);
            let (adjustments, _) = matched(&graph, &images).expect("runs");
            // A network whose layers all had mean 0 and deviation 1 on these images, as it says.
            let graph = adjusted(&graph, &adjustments);
            spread.contrast = 0.0;
            contrast(&graph, std::slice::from_mut(&mut spread), 48, 5).expect("runs");
            found.push(spread.contrast);
        }
        assert!(found[0] < found[1], "{found:?}");
    }
}
