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
    Adjustment, Adjustments, Block, Halves, SingleNode, SingleNodeError, Tensors, block_samples,
    blocks,
};
use crate::random::Sequence;
use std::ops::Range as Samples;

/// Outputs of a layer are scaled by no more than this, and no less than its inverse.
const MOST_GAIN: f64 = 64.0;

/// What makes `samples` give every layer the moments that its BatchNorm recorded.
pub(crate) fn adjustments(
    graph: &Graph,
    samples: &Dataset,
) -> Result<Adjustments, SingleNodeError> {
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
    let mut found = Vec::with_capacity(graph.nodes.len());
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
                    let adjustment = adjustment(norm, &sums, count / channels.max(1));
                    known = Some(adjustment.clone());
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

/// How the noise of one of the network's inputs is distributed.
#[derive(Clone, Debug, PartialEq)]
struct Spread {
    range: Range,
    /// Of each channel.
    mean: Vec<f32>,
    /// Standard deviation of each octave of an image's noise, coarsest first.
    octaves: Vec<Octave>,
}

/// Standard deviations of one octave of noise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Octave {
    /// Of what all channels share.
    common: f32,
    /// Of what each channel has alone.
    own: f32,
}

impl Octave {
    fn variance(self) -> f32 {
        self.common * self.common + self.own * self.own
    }

    fn scaled(self, common: f32, own: f32) -> Octave {
        Octave {
            common: self.common * common,
            own: self.own * own,
        }
    }
}

/// Share of an image's deviation that all its channels have in common, where nothing is known: about that of photographs. The squares of both add up to 1.
const COMMON: f32 = 0.9;
const OWN: f32 = 0.436;

impl Spread {
    /// All that is known before the network is looked at: half of the range is about four deviations, every octave has the same power.
    fn of(range: Range, shape: &[usize]) -> Spread {
        let octaves = image(shape).map_or(0, |[h, w, _]| cells(h, w).len());
        let each = 0.25 * (range.max - range.min) / (octaves.max(1) as f32).sqrt();
        let octave = Octave {
            common: COMMON * each,
            own: OWN * each,
        };
        Spread {
            range,
            mean: vec![0.5 * (range.min + range.max); shape.last().copied().unwrap_or(1)],
            octaves: vec![octave; octaves],
        }
    }

    fn deviation(&self) -> f32 {
        let variances = self.octaves.iter().map(|octave| octave.variance());
        variances.sum::<f32>().sqrt()
    }
}

/// Noise in the ranges of the network's inputs. That of images is smooth: power falls with the square of the frequency, as in photographs, and
/// most of it is common to all channels; its means and the power of each octave are those that give the layers that read it the moments their BatchNorms recorded,
/// as far as they can. Vectors are uniform.
pub(crate) fn noise(
    graph: &Graph,
    ranges: &[Range],
    samples: usize,
    seed: u64,
) -> Result<Dataset, SingleNodeError> {
    let mut spreads = Vec::new();
    for (input, &range) in graph.inputs.iter().zip(ranges) {
        let shape = &graph.tensors[input.tensor].shape;
        let mut spread = Spread::of(range, shape);
        if image(shape).is_some() && spread.mean.len() <= MOST_CHANNELS {
            let first: Vec<_> = (graph.nodes.iter())
                .filter(|node| node.inputs[..] == [input.tensor])
                .filter_map(|node| Some((node, node.op.linear()?.folded.as_ref()?)))
                .collect();
            fit_means(graph, &first, &mut spread)?;
            fit_octaves(graph, &first, &mut spread, seed)?;
        }
        spreads.push(spread);
    }
    let mut random = Sequence::new(seed);
    let mut inputs = Vec::new();
    for _ in 0..samples {
        for (input, spread) in graph.inputs.iter().zip(&spreads) {
            let shape = &graph.tensors[input.tensor].shape;
            inputs.extend(draw(&mut random, shape, spread));
        }
    }
    Ok(Dataset {
        inputs,
        samples,
        labels: None,
        targets: None,
    })
}

/// Height, width and channels of an image.
fn image(shape: &[usize]) -> Option<[usize; 3]> {
    match *shape {
        [h, w, c] if h * w > 1 => Some([h, w, c]),
        _ => None,
    }
}

/// One sample of an input.
fn draw(random: &mut Sequence, shape: &[usize], spread: &Spread) -> Vec<f32> {
    let Range { min, max } = spread.range;
    match image(shape) {
        Some(size) => {
            let mut values = smooth(random, size, &spread.octaves);
            for pixel in values.chunks_exact_mut(size[2]) {
                for (value, mean) in pixel.iter_mut().zip(&spread.mean) {
                    *value = (mean + *value).clamp(min, max);
                }
            }
            values
        }
        // Of features nothing is known but where they lie.
        None => random.values(shape.iter().product(), min, max),
    }
}

/// Turns of the descent over an input's channels; their number is small, and its means hang together little.
const TURNS: usize = 100;

/// Channels of an image whose means are looked for: each takes a sample of its own through the first layer.
const MOST_CHANNELS: usize = 64;

/// Finds the means of an input's channels from the means that the layers which read it should have.
///
/// A layer's mean output is linear in the mean of each input channel. A normal distribution around the middle of the range, a deviation of noise
/// wide, is what is known before; each output's mean is believed up to its own deviation.
fn fit_means(
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
const FIT_SAMPLES: usize = 16;

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
fn fit_octaves(
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
fn variance_of_outputs(
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

/// Numbers close to a normal distribution with mean 0 and deviation 1.
fn normal(random: &mut Sequence, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (0..12).map(|_| random.unit()).sum::<f32>() - 6.0)
        .collect()
}

/// Octaves of noise, added up; mean about 0.
fn smooth(random: &mut Sequence, [h, w, c]: [usize; 3], octaves: &[Octave]) -> Vec<f32> {
    let mut values = vec![0.0; h * w * c];
    for (cell, octave) in cells(h, w).into_iter().zip(octaves) {
        if octave.variance() == 0.0 {
            continue;
        }
        let common = bilinear(random, [h, w], cell);
        for channel in 0..c {
            let own = bilinear(random, [h, w], cell);
            for (pixel, (common, own)) in common.iter().zip(&own).enumerate() {
                values[pixel * c + channel] += octave.common * common + octave.own * own;
            }
        }
    }
    values
}

/// Sizes of the cells of all octaves in pixels, from the whole image to one.
fn cells(h: usize, w: usize) -> Vec<usize> {
    let smaller = |cell: &usize| (*cell > 1).then(|| cell.div_ceil(2));
    std::iter::successors(Some(h.max(w)), smaller).collect()
}

/// Independent values at the corners of cells, interpolated between them; mean 0, variance about 1.
fn bilinear(random: &mut Sequence, [h, w]: [usize; 2], cell: usize) -> Vec<f32> {
    let (rows, columns) = (h.div_ceil(cell) + 1, w.div_ceil(cell) + 1);
    let grid = normal(random, rows * columns);
    // Between independent corners the variance falls: its mean along a side is that of `t^2 + (1 - t)^2`, over the pixels of a cell.
    let along = |t: f32| t * t + (1.0 - t) * (1.0 - t);
    let pixels = (0..cell).map(|pixel| along(pixel as f32 / cell as f32));
    let scale = cell as f32 / pixels.sum::<f32>();
    let mut values = Vec::with_capacity(h * w);
    for y in 0..h {
        for x in 0..w {
            let (iy, ix) = (y / cell, x / cell);
            let (ty, tx) = (
                (y % cell) as f32 / cell as f32,
                (x % cell) as f32 / cell as f32,
            );
            let at = |y: usize, x: usize| grid[y.min(rows - 1) * columns + x.min(columns - 1)];
            let top = at(iy, ix) * (1.0 - tx) + at(iy, ix + 1) * tx;
            let bottom = at(iy + 1, ix) * (1.0 - tx) + at(iy + 1, ix + 1) * tx;
            values.push(scale * (top * (1.0 - ty) + bottom * ty));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::executor::Executor;
    use crate::graph::{Conv2d, Linear, Op, Window};
    use crate::import::ImportOptions;
    use crate::passes;
    use crate::recipe::Recipe;
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
        let output = push(&mut graph, Op::Conv2d(conv), &[0], &[]);
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
            let variances = variance_of_outputs(&graph, &graph.nodes[0], |block| {
                images[block.start * 1024..block.end * 1024].to_vec()
            })
            .expect("runs");
            let norm = BatchNorm {
                gamma: variances.iter().map(|v| v.sqrt() as f32).collect(),
                beta: vec![0.0; 32],
                ..BatchNorm::affine(vec![1.0; 32], vec![0.0; 32])
            };
            let mut spread = Spread::of(range, &size);
            fit_octaves(&graph, &[(&graph.nodes[0], &norm)], &mut spread, 1).expect("runs");
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

    #[test]
    fn every_layer_gets_the_moments_that_were_recorded() {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        let range = Range {
            min: -1.0,
            max: 2.0,
        };
        let samples = noise(&graph, &[range], 16, 1).expect("runs");
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
