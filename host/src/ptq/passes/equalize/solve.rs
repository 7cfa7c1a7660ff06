//! Which scales make ranges alike.
//!
//! Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.1, equations (9) to (11): of a
//! pair of layers, `s = sqrt(r1 / r2)` makes the range `r1 / s` of the rows that write a channel equal to the range `s * r2` of the
//! columns that read it. Repeated over all channels this converges, for chains of any length, to rows and columns that are all alike.
//!
//! Ranges of activations join in as a third party: an activation tensor has one scale for all its channels, so that a channel which
//! is `k` times smaller than the largest has `k` times fewer steps. `activations` says how much of the scale they decide.

use super::classes::{Class, Classes, Sums};
use super::magnitudes::Magnitudes;
use crate::graph::{Graph, NodeMap, TensorId, TensorMap};

/// Sweeps at the most; a chain needs about as many as it has layers.
const MAX_SWEEPS: usize = 200;

/// Largest change of a logarithm of a scale at which the sweeps end.
const CONVERGED: f64 = 1e-6;

/// Rows and columns smaller than their layer's largest by this factor are dead: they are noise, and equalizing noise with weights would
/// only make large scales.
const DEAD: f64 = 1e-7;

/// Largest logarithm of a scale: factors of a million either way are no scaling any more but another network in single precision.
const MAX_LOG: f64 = 14.0;

/// Who decides the scale of a class, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighting {
    /// Whether the rows that write a channel count. They do where a weight tensor has one scale; where each row has its own, only the
    /// columns do.
    pub rows: bool,
    /// Share of the activations, 0 to 1.
    pub activations: f64,
    /// Treatment of channels that meet in a sum.
    pub sums: Sums,
}

/// The logarithm of the scale of every class.
///
/// `ranges` gives the logarithm of the largest magnitude of each channel of a tensor, infinite where the channel is zero; it is read only where
/// the weighting's share of activations is not 0.
pub(super) fn solve(
    graph: &Graph,
    classes: &Classes,
    ranges: &TensorMap<Vec<f64>>,
    weighting: Weighting,
) -> Vec<f64> {
    let magnitudes = graph.nodes.map(|node| Magnitudes::of(graph, node));
    let dead = dead_limits(&magnitudes);
    let solver = Solver {
        graph,
        classes,
        magnitudes,
        dead,
        floors: ranges.map(|channels| floor(channels)),
        weighting,
    };
    let mut logs = vec![0.0; classes.free.len()];
    for _ in 0..MAX_SWEEPS {
        let next = solver.sweep(&logs, ranges);
        let change = logs.iter().zip(&next).fold(0.0_f64, |largest, (old, new)| {
            largest.max((old - new).abs())
        });
        logs = next;
        if change < CONVERGED {
            break;
        }
    }
    logs
}

/// For every layer, the magnitude below which a row or column is dead.
fn dead_limits(magnitudes: &NodeMap<Option<Magnitudes>>) -> NodeMap<f64> {
    let largest = |layer: &Magnitudes| {
        (0..layer.rows()).fold(0.0_f64, |largest, row| largest.max(layer.row(row, |_| 1.0)))
    };
    magnitudes.map(|layer| layer.as_ref().map_or(0.0, |layer| DEAD * largest(layer)))
}

/// Channels whose range is so much smaller than their tensor's carry next to nothing; weights alone decide their scale.
const LEAST_RANGE: f64 = 1.0 / 256.0;

fn floor(channels: &[f64]) -> f64 {
    channels.iter().copied().fold(f64::NEG_INFINITY, f64::max) + libm::log(LEAST_RANGE)
}

struct Solver<'a> {
    graph: &'a Graph,
    classes: &'a Classes,
    magnitudes: NodeMap<Option<Magnitudes>>,
    dead: NodeMap<f64>,
    /// Logarithm of the least range of each tensor's channels that counts.
    floors: TensorMap<f64>,
    weighting: Weighting,
}

impl Solver<'_> {
    /// All scales anew, from the last ones.
    fn sweep(&self, logs: &[f64], ranges: &TensorMap<Vec<f64>>) -> Vec<f64> {
        let from_weights: Vec<Option<f64>> = self
            .classes
            .free
            .iter()
            .map(|class| self.weights_choice(class, logs))
            .collect();
        // Classes of the same tensor are compared with each other.
        let group = |class: &Class| class.channels[0].0;
        let share = self.weighting.activations;
        let mut offsets = self.graph.tensors.map(|_| (0.0, 0_usize));
        let activation = |class: &Class| {
            let largest = class
                .channels
                .iter()
                .filter(|&&(tensor, channel)| ranges[tensor][channel] >= self.floors[tensor])
                .map(|&(tensor, channel)| ranges[tensor][channel])
                .fold(f64::NEG_INFINITY, f64::max);
            largest.is_finite().then_some(largest)
        };
        if share > 0.0 {
            for (class, log) in self.classes.free.iter().zip(&from_weights) {
                if let (Some(log), Some(range)) = (log, activation(class)) {
                    let (sum, count) = &mut offsets[group(class)];
                    *sum += log - range;
                    *count += 1;
                }
            }
        }
        let typical = self.typical(&from_weights);
        let mixed = self
            .classes
            .free
            .iter()
            .zip(&from_weights)
            .map(|(class, log)| {
                // What is dead goes with its tensor, so that a constant stays as large beside the others as it was.
                let Some(log) = *log else {
                    return typical[group(class)];
                };
                let (sum, count) = offsets[group(class)];
                let range = if count > 0 { activation(class) } else { None };
                let log = match range {
                    Some(range) => (1.0 - share) * log + share * (range + sum / count as f64),
                    None => log,
                };
                log.clamp(-MAX_LOG, MAX_LOG)
            });
        mixed.collect()
    }

    /// Mean logarithm of the scales of each tensor's classes that are alive; 0 where none is.
    fn typical(&self, logs: &[Option<f64>]) -> TensorMap<f64> {
        let mut sums = self.graph.tensors.map(|_| (0.0, 0_usize));
        for (class, log) in self.classes.free.iter().zip(logs) {
            if let Some(log) = log {
                let (sum, count) = &mut sums[class.channels[0].0];
                *sum += log;
                *count += 1;
            }
        }
        sums.map(|&(sum, count)| if count == 0 { 0.0 } else { sum / count as f64 })
    }

    /// Effect of the layers around a class; `None` if one of them is dead there.
    fn weights_choice(&self, class: &Class, logs: &[f64]) -> Option<f64> {
        let scale = |tensor: TensorId, channel: usize| {
            self.classes.of[tensor][channel].map_or(1.0, |place| libm::exp(logs[place]))
        };
        let mut rows = Vec::new();
        for &(id, row) in &class.rows {
            let node = &self.graph.nodes[id];
            let layer = self.magnitudes[id].as_ref()?;
            if layer.row(row, |_| 1.0) <= self.dead[id] {
                continue;
            }
            rows.push(libm::log(
                layer.row(row, |column| scale(node.inputs[0], column)),
            ));
        }
        let mut columns = Vec::new();
        for &(id, column) in &class.columns {
            let node = &self.graph.nodes[id];
            let layer = self.magnitudes[id].as_ref()?;
            if layer.column(column, |_| 1.0) <= self.dead[id] {
                continue;
            }
            columns.push(libm::log(
                layer.column(column, |row| 1.0 / scale(node.output, row)),
            ));
        }
        if rows.is_empty() || columns.is_empty() {
            return None;
        }
        let mean = |logs: &[f64]| logs.iter().sum::<f64>() / logs.len() as f64;
        let (rows, columns) = (mean(&rows), mean(&columns));
        let log = if self.weighting.rows {
            (rows - columns) / 2.0
        } else {
            -columns
        };
        log.is_finite().then_some(log)
    }
}
