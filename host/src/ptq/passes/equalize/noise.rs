//! The scales that leave the least noise at the network's result.
//!
//! A tensor has one scale for all its channels, so its step follows its widest channel; weights likewise, per tensor or per row. Dividing
//! a channel by `s` moves width from one place to another, and with it rounding noise. What all of it adds up to at the result,
//!
//! ```text
//! N(s) =   sum over tensors t   D_t(s)^2 / 12  *  sum over channels c   A_tc s_c^2
//!        + sum over rows o      D_o(s)^2 / 12  *  s_o^2  *  sum over columns c   H_oc / s_c^2
//! ```
//!
//! with the steps `D` and the sensitivities `A`, `H` ([`crate::ptq::gradient::Sensitivity`]), is to be least. `D` is a maximum of products of powers of the scales,
//! so that `N` is a posynomial: as a function of the logarithms of the scales its logarithm is convex (Boyd et al., "A Tutorial on
//! Geometric Programming", 2007), and has one minimum, which does not depend on where a search starts. Maxima are replaced by norms of a high
//! order, which keeps that and makes `N` smooth.
//!
//! Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.1, make the ranges of neighbouring
//! weights alike. That is the minimum for two layers whose channels matter alike and whose activations are not rounded.

use super::classes::Classes;
use super::magnitudes::Magnitudes;
use super::minimize::minimize;
use crate::graph::{Graph, NodeId, Op, TensorId, TensorMap};
use crate::parallel;
use crate::ptq::gradient::Sensitivity;
use crate::quantize::{Bits, encoding_groups, moves_bytes};
use crate::recipe::{Granularity, Recipe};

/// Orders of the norms in place of maxima, each from where the one before it ended.
const ORDERS: [f64; 2] = [12.0, 40.0];

/// Iterations for each order.
const ITERATIONS: usize = 200;

/// Relative fall of the noise over ten iterations at which a search ends.
const TOLERANCE: f64 = 1e-4;

/// Pull of every logarithm towards 0, relative to the noise: decides what nothing else does.
const PULL: f64 = 1e-5;

/// Largest logarithm of a scale: factors of a million either way are no scaling any more but another network in single precision.
const MAX_LOG: f64 = 14.0;

/// Steps of an int8 tensor.
const ACTIVATION_STEPS: f64 = Bits::Int8.steps() as f64;

/// Lowest and highest value of each channel of each tensor.
pub(crate) type ChannelRanges = TensorMap<Vec<[f64; 2]>>;

/// The logarithm of the scale of every class.
pub(super) fn solve(
    graph: &Graph,
    classes: &Classes,
    ranges: &ChannelRanges,
    sensitivity: &Sensitivity,
    recipe: &Recipe,
) -> Vec<f64> {
    let mut logs = vec![0.0; classes.free.len()];
    if logs.is_empty() {
        return logs;
    }
    for order in ORDERS {
        let noise = Noise::new(graph, classes, ranges, sensitivity, recipe, order);
        logs = minimize(logs, ITERATIONS, TOLERANCE, |at, gradient| {
            noise.value(at, gradient)
        });
    }
    logs.iter()
        .map(|log| log.clamp(-MAX_LOG, MAX_LOG))
        .collect()
}

/// The noise as a function of the logarithms.
struct Noise<'a> {
    classes: &'a Classes,
    order: f64,
    activations: Vec<Shared<'a>>,
    layers: Vec<Layer<'a>>,
}

/// Tensors that share an encoding.
struct Shared<'a> {
    /// Their channels' ends, one list for the upper ends and one for the lower, each positive.
    ends: [Vec<(Option<usize>, f64)>; 2],
    /// Channels that are rounded, and how much that matters.
    rounded: Vec<(TensorId, &'a [f64])>,
}

/// A layer with weights.
struct Layer<'a> {
    id: NodeId,
    input: TensorId,
    output: TensorId,
    per_channel: bool,
    /// Largest integer weight.
    levels: f64,
    /// Largest of all weights.
    largest: f64,
    /// `(|w| / largest)^order` from each input to each output channel, `[out][in / groups]`.
    powers: Vec<f64>,
    sensitivity: &'a [f64],
    per_row: usize,
    rows_per_group: usize,
}

/// A part of the noise and its derivatives by the logarithms of classes.
type Part = (f64, Vec<(usize, f64)>);

impl<'a> Noise<'a> {
    fn new(
        graph: &'a Graph,
        classes: &'a Classes,
        ranges: &ChannelRanges,
        sensitivity: &'a Sensitivity,
        recipe: &Recipe,
        order: f64,
    ) -> Noise<'a> {
        let groups = encoding_groups(graph);
        let mut shared: TensorMap<Option<Shared<'a>>> = graph.tensors.map(|_| None);
        let rounded = |tensor: TensorId| {
            let node = graph.producer(tensor).map(|id| &graph.nodes[id]);
            node.is_none_or(|node| {
                !moves_bytes(node) && !matches!(node.op, Op::Softmax | Op::Constant(_))
            })
        };
        for tensor in graph.tensors.ids() {
            let group = shared[groups[tensor]].get_or_insert_with(|| Shared {
                ends: [Vec::new(), Vec::new()],
                rounded: Vec::new(),
            });
            for (channel, &[low, high]) in ranges[tensor].iter().enumerate() {
                let class = classes.of[tensor][channel];
                for (ends, end) in group.ends.iter_mut().zip([high, -low]) {
                    if end > 0.0 {
                        ends.push((class, end));
                    }
                }
            }
            if rounded(tensor) {
                group.rounded.push((tensor, &sensitivity.tensors[tensor]));
            }
        }
        let layers = graph.nodes.enumerate().filter_map(|(id, node)| {
            let magnitudes = Magnitudes::of(graph, node)?;
            let sensitivity = sensitivity.layers[id].as_ref()?;
            let options = recipe.layer(&node.name).weights;
            let largest = magnitudes.largest();
            (largest > 0.0).then(|| Layer {
                id,
                input: node.inputs[0],
                output: node.output,
                per_channel: options.granularity == Granularity::PerChannel,
                levels: f64::from(options.bits.max()),
                largest,
                powers: magnitudes
                    .values()
                    .iter()
                    .map(|value| libm::pow(value / largest, order))
                    .collect(),
                sensitivity: &sensitivity.weights,
                per_row: magnitudes.per_row(),
                rows_per_group: magnitudes.rows_per_group(),
            })
        });
        Noise {
            classes,
            order,
            activations: shared
                .into_iter()
                .flatten()
                .filter(|group| !group.rounded.is_empty())
                .collect(),
            layers: layers.collect(),
        }
    }

    /// Logarithm of the noise.
    fn value(&self, logs: &[f64], gradient: &mut [f64]) -> f64 {
        let count = self.activations.len();
        let parts = parallel::map(count + self.layers.len(), |part| {
            match self.activations.get(part) {
                Some(shared) => self.activation(shared, logs),
                None => self.layer(&self.layers[part - count], logs),
            }
        });
        let noise: f64 = parts.iter().map(|(noise, _)| noise).sum();
        let noise = noise.max(f64::MIN_POSITIVE);
        gradient.fill(0.0);
        for (_, slopes) in &parts {
            for &(class, slope) in slopes {
                gradient[class] += slope / noise;
            }
        }
        let mut pull = 0.0;
        for (gradient, log) in gradient.iter_mut().zip(logs) {
            *gradient += 2.0 * PULL * log;
            pull += PULL * log * log;
        }
        libm::log(noise) + pull
    }

    fn log(&self, logs: &[f64], tensor: TensorId, channel: usize) -> (Option<usize>, f64) {
        let class = self.classes.of[tensor][channel];
        (class, class.map_or(0.0, |class| logs[class]))
    }

    fn activation(&self, shared: &Shared<'_>, logs: &[f64]) -> Part {
        let mut slopes = Vec::new();
        let mut width = 0.0;
        // Derivative of the width by each class, to be multiplied by what the width decides.
        let mut width_slopes = Vec::new();
        for ends in &shared.ends {
            let scaled = |&(class, end): &(Option<usize>, f64)| {
                end * libm::exp(-class.map_or(0.0, |class| logs[class]))
            };
            let largest = ends.iter().map(scaled).fold(0.0, f64::max);
            if largest == 0.0 {
                continue;
            }
            let power = |end: &(Option<usize>, f64)| libm::pow(scaled(end) / largest, self.order);
            let sum: f64 = ends.iter().map(power).sum();
            let norm = largest * libm::pow(sum, 1.0 / self.order);
            width += norm;
            for end in ends {
                if let Some(class) = end.0 {
                    width_slopes.push((class, -norm * power(end) / sum));
                }
            }
        }
        let step = (width / ACTIVATION_STEPS).powi(2) / 12.0;
        let mut weight = 0.0;
        for &(tensor, sensitivity) in &shared.rounded {
            for (channel, &value) in sensitivity.iter().enumerate() {
                let (class, log) = self.log(logs, tensor, channel);
                let value = value * libm::exp(2.0 * log);
                weight += value;
                if let Some(class) = class {
                    slopes.push((class, 2.0 * step * value));
                }
            }
        }
        let noise = step * weight;
        if width > 0.0 {
            slopes.extend(
                width_slopes
                    .into_iter()
                    .map(|(class, slope)| (class, 2.0 * noise * slope / width)),
            );
        }
        (noise, slopes)
    }

    fn layer(&self, layer: &Layer<'_>, logs: &[f64]) -> Part {
        let rows = layer.powers.len() / layer.per_row.max(1);
        let columns = self.classes.of[layer.input].len();
        let column_logs: Vec<f64> = (0..columns)
            .map(|column| self.log(logs, layer.input, column).1)
            .collect();
        let row_logs: Vec<f64> = (0..rows)
            .map(|row| self.log(logs, layer.output, row).1)
            .collect();
        let order = self.order;
        let raised: Vec<f64> = column_logs
            .iter()
            .map(|log| libm::exp(order * log))
            .collect();
        let inverse: Vec<f64> = column_logs
            .iter()
            .map(|log| libm::exp(-2.0 * log))
            .collect();
        let first = |row: usize| row / layer.rows_per_group.max(1) * layer.per_row;
        let of = |values: &'_ [f64], row: usize| -> std::ops::Range<usize> {
            debug_assert!(row * layer.per_row < values.len());
            row * layer.per_row..(row + 1) * layer.per_row
        };
        let product = |values: &[f64], factors: &[f64], row: usize| -> f64 {
            values[of(values, row)]
                .iter()
                .zip(&factors[first(row)..])
                .map(|(value, factor)| value * factor)
                .sum()
        };
        // Sums of powers and of sensitivities of each row.
        let powers: Vec<f64> = (0..rows)
            .map(|row| product(&layer.powers, &raised, row) * libm::exp(-order * row_logs[row]))
            .collect();
        let weights: Vec<f64> = (0..rows)
            .map(|row| product(layer.sensitivity, &inverse, row) * libm::exp(2.0 * row_logs[row]))
            .collect();
        let unit = (layer.largest / layer.levels).powi(2) / 12.0;
        let step = |sum: f64| unit * libm::pow(sum, 2.0 / order);
        let mut row_slopes = vec![0.0; rows];
        // Of each row: derivative of the noise by the logarithm of its sum of powers, over that sum; and its step.
        let mut by_power = vec![0.0; rows];
        let mut steps = vec![0.0; rows];
        let mut noise = 0.0;
        if layer.per_channel {
            for row in 0..rows {
                if powers[row] > 0.0 {
                    steps[row] = step(powers[row]);
                    let part = steps[row] * weights[row];
                    noise += part;
                    by_power[row] = 2.0 / order * part / powers[row];
                }
            }
        } else {
            let total: f64 = powers.iter().sum();
            if total > 0.0 {
                steps.fill(step(total));
                noise = steps[0] * weights.iter().sum::<f64>();
                by_power.fill(2.0 / order * noise / total);
            }
        }
        let mut column_slopes = vec![0.0; columns];
        for row in 0..rows {
            row_slopes[row] +=
                2.0 * steps[row] * weights[row] - order * by_power[row] * powers[row];
            let up = order * by_power[row] * libm::exp(-order * row_logs[row]);
            let down = -2.0 * steps[row] * libm::exp(2.0 * row_logs[row]);
            let slopes = &mut column_slopes[first(row)..][..layer.per_row];
            let values = layer.powers[of(&layer.powers, row)]
                .iter()
                .zip(&layer.sensitivity[of(layer.sensitivity, row)]);
            let factors = raised[first(row)..].iter().zip(&inverse[first(row)..]);
            for ((slope, (power, sensitivity)), (raised, inverse)) in
                slopes.iter_mut().zip(values).zip(factors)
            {
                *slope += up * power * raised + down * sensitivity * inverse;
            }
        }
        let classes = |tensor: TensorId, slopes: Vec<f64>| {
            let of = &self.classes.of[tensor];
            slopes
                .into_iter()
                .enumerate()
                .filter_map(|(channel, slope)| Some((of[channel]?, slope)))
                .collect::<Vec<_>>()
        };
        let mut slopes = classes(layer.output, row_slopes);
        slopes.extend(classes(layer.input, column_slopes));
        debug_assert!(noise.is_finite(), "layer {}", layer.id);
        (noise, slopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::import::ImportOptions;
    use crate::ptq::gradient::MeanErrors;
    use crate::ptq::passes;
    use crate::ptq::passes::Sums;
    use crate::testing::Sequence;

    /// The built-in network with sensitivities and ranges on noise.
    fn network() -> (Graph, ChannelRanges, Sensitivity) {
        let mut graph = default_model::graph(&ImportOptions::default()).expect("built in");
        passes::run(&passes::float_passes(&Recipe::default()), &mut graph).expect("folds");
        let input = Sequence::new(1).values(8 * 256, -1.0, 2.0);
        let sensitivity = Sensitivity::of(&graph, &graph.outputs, &input, 8, MeanErrors::Corrected)
            .expect("sound");
        let mut ranges: ChannelRanges = graph
            .tensors
            .map(|tensor| vec![[0.0; 2]; tensor.channels()]);
        let mut hook = |id: TensorId, values: &mut [f32]| {
            let channels = ranges[id].len();
            for (place, &value) in values.iter().enumerate() {
                let [low, high] = &mut ranges[id][place % channels];
                *low = low.min(value.into());
                *high = high.max(value.into());
            }
        };
        crate::executor::Executor::new(&graph)
            .expect("sound")
            .run(&input, 8, &mut hook)
            .expect("runs");
        (graph, ranges, sensitivity)
    }

    fn recipe(granularity: Granularity) -> Recipe {
        let mut recipe = Recipe::default();
        recipe.weights.granularity = granularity;
        recipe
    }

    #[test]
    fn slopes_are_those_of_the_noise() {
        let (graph, ranges, sensitivity) = network();
        let classes = Classes::of(&graph, Sums::Scaled);
        for granularity in [Granularity::PerTensor, Granularity::PerChannel] {
            let recipe = recipe(granularity);
            let noise = Noise::new(&graph, &classes, &ranges, &sensitivity, &recipe, 12.0);
            let count = classes.free.len();
            let at: Vec<f64> = (Sequence::new(2).values(count, -0.5, 0.5).iter())
                .map(|&log| log.into())
                .collect();
            let mut slopes = vec![0.0; count];
            let mut unused = vec![0.0; count];
            noise.value(&at, &mut slopes);
            for class in (0..count).step_by(count / 40 + 1) {
                let mut moved = |by: f64| {
                    let mut at = at.clone();
                    at[class] += by;
                    noise.value(&at, &mut unused)
                };
                let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (slopes[class] - expected).abs() < 1e-6 + 1e-4 * expected.abs(),
                    "{class}: {} {expected}",
                    slopes[class]
                );
            }
        }
    }

    /// The noise with true maxima, by the formula of this module's head, written without its shortcuts.
    fn plain(
        graph: &Graph,
        classes: &Classes,
        ranges: &ChannelRanges,
        sensitivity: &Sensitivity,
        logs: &[f64],
        per_channel: bool,
    ) -> f64 {
        let s = |tensor: TensorId, channel: usize| {
            classes.of[tensor][channel].map_or(1.0, |class| libm::exp(logs[class]))
        };
        let mut noise = 0.0;
        for (tensor, ranges) in ranges.enumerate() {
            let moves = |id: NodeId| moves_bytes(&graph.nodes[id]);
            // The built-in network moves bytes only where a shape changes, and so the range stays.
            if graph.producer(tensor).is_some_and(moves) {
                continue;
            }
            let end = |side: usize| {
                let ends = ranges.iter().enumerate();
                let scaled = ends.map(|(channel, range)| range[side].abs() / s(tensor, channel));
                scaled.fold(0.0, f64::max)
            };
            let step = (end(0) + end(1)) / 255.0;
            for (channel, a) in sensitivity.tensors[tensor].iter().enumerate() {
                noise += step * step / 12.0 * a * s(tensor, channel).powi(2);
            }
        }
        for (id, node) in graph.nodes.enumerate() {
            let (Some(layer), Some(of)) =
                (Magnitudes::of(graph, node), sensitivity.layers[id].as_ref())
            else {
                continue;
            };
            let rows = layer.rows();
            let row = |row: usize| {
                layer.row(row, |column| s(node.inputs[0], column)) / s(node.output, row)
            };
            let widest = (0..rows).map(row).fold(0.0, f64::max);
            for index in 0..rows {
                let step = if per_channel { row(index) } else { widest } / 127.0;
                let first = index / layer.rows_per_group() * layer.per_row();
                for place in 0..layer.per_row() {
                    let h = of.weights[index * layer.per_row() + place];
                    let column = s(node.inputs[0], first + place);
                    noise += (step * s(node.output, index) / column).powi(2) / 12.0 * h;
                }
            }
        }
        noise
    }

    #[test]
    fn the_minimum_is_far_below_equal_ranges_and_no_step_from_it_helps() {
        let (graph, ranges, sensitivity) = network();
        let classes = Classes::of(&graph, Sums::Scaled);
        for granularity in [Granularity::PerTensor, Granularity::PerChannel] {
            let recipe = recipe(granularity);
            let per_channel = granularity == Granularity::PerChannel;
            let of =
                |logs: &[f64]| plain(&graph, &classes, &ranges, &sensitivity, logs, per_channel);
            let logs = solve(&graph, &classes, &ranges, &sensitivity, &recipe);
            let found = of(&logs);
            let weights = super::super::Weighting {
                rows: true,
                activations: 0.0,
                sums: Sums::Scaled,
            };
            let equal = super::super::solve::solve(&graph, &classes, &TensorMap::new(), weights);
            assert!(found < of(&equal), "{found} {}", of(&equal));
            assert!(found < 0.25 * of(&vec![0.0; logs.len()]));
            let mut random = Sequence::new(4);
            for size in [0.02, 0.1, 0.5] {
                for _ in 0..10 {
                    let step = random.values(logs.len(), -size, size);
                    let other: Vec<f64> = (logs.iter().zip(&step))
                        .map(|(log, step)| log + f64::from(*step))
                        .collect();
                    assert!(of(&other) > 0.99 * found, "a step of {size}");
                }
            }
        }
    }
}
