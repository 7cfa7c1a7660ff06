//! Gradients of a layer's output error, by all samples at once or by batches.

use super::patches::Geometry;
use super::problem::{LayerProblem, Samples};
use super::quadratic::Group;
use crate::executor::matmul::{Right, Rows, multiply};
use crate::graph::Activation;
use crate::random::Sequence;

/// The quadratic loss in single precision: `G` and `b` of each group.
pub(super) struct FullBatch {
    groups: Vec<(Right, Vec<f32>, f64)>,
    k: usize,
    rows_per_group: usize,
}

impl FullBatch {
    pub(super) fn new(problem: &LayerProblem<'_>, groups: &[Group]) -> FullBatch {
        let k = problem.k;
        let rows_per_group = problem.out_channels / groups.len().max(1);
        let parts = groups
            .iter()
            .zip(problem.weights.chunks_exact(rows_per_group * k));
        let groups = parts
            .map(|(group, weights)| {
                let gram: Vec<f32> = group.gram.iter().map(|&value| value as f32).collect();
                let mut targets = Vec::with_capacity(weights.len());
                // The part of the loss that no rounding changes, were the inputs those of the float network.
                let mut constant = 0.0;
                for row in weights.chunks_exact(k) {
                    let target = group.target(row);
                    constant += target
                        .iter()
                        .zip(row)
                        .map(|(b, &w)| b * f64::from(w))
                        .sum::<f64>();
                    targets.extend(target.iter().map(|&value| value as f32));
                }
                (Right::new(&gram, k), targets, constant)
            })
            .collect();
        FullBatch {
            groups,
            k,
            rows_per_group,
        }
    }

    /// Writes the gradient by the weights and returns the loss.
    pub(super) fn gradient(&self, weights: &[f32], slope: &mut [f32]) -> f64 {
        let len = self.rows_per_group * self.k;
        let mut loss = 0.0;
        let parts = self
            .groups
            .iter()
            .zip(weights.chunks_exact(len).zip(slope.chunks_exact_mut(len)));
        for ((gram, targets, constant), (weights, slope)) in parts {
            let rows = Rows {
                count: self.rows_per_group,
                stride: self.k,
            };
            gram.multiply(weights, rows, slope);
            loss += constant;
            for ((slope, target), weight) in slope.iter_mut().zip(targets).zip(weights) {
                loss += f64::from(*weight) * f64::from(*slope - 2.0 * target);
                *slope = 2.0 * (*slope - target);
            }
        }
        loss
    }
}

/// Error on samples drawn at random, after the activation if requested.
pub(super) struct Batches<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) samples: Samples<'a>,
    pub(super) activation: Option<&'a Activation>,
    pub(super) batch: usize,
    pub(super) random: Sequence,
}

impl Batches<'_> {
    /// Draws a batch, writes the gradient by the weights and returns the loss.
    pub(super) fn gradient(
        &mut self,
        problem: &LayerProblem<'_>,
        weights: &[f32],
        slope: &mut [f32],
    ) -> f64 {
        let (geometry, k) = (self.geometry, problem.k);
        let count = self.samples.input.len() / geometry.elements().max(1);
        let positions: Vec<usize> = (0..self.batch.min(count))
            .map(|_| (self.random.unit() * count as f32) as usize)
            .flat_map(|sample| {
                let first = sample.min(count - 1) * geometry.positions();
                first..first + geometry.positions()
            })
            .collect();
        let rows = problem.out_channels / geometry.groups();
        let mut loss = 0.0;
        let mut patches = vec![0.0_f32; positions.len() * k];
        let mut errors = vec![0.0_f32; rows * positions.len()];
        for group in 0..geometry.groups() {
            for (patch, &position) in patches.chunks_exact_mut(k).zip(&positions) {
                geometry.gather(self.samples.input, position, group, patch);
            }
            let weights = &weights[group * rows * k..][..rows * k];
            // Outputs, `[row][position]`: weights times patches, transposed.
            let mut transposed = vec![0.0_f32; patches.len()];
            for (place, patch) in patches.chunks_exact(k).enumerate() {
                for (row, value) in patch.iter().enumerate() {
                    transposed[row * positions.len() + place] = *value;
                }
            }
            multiply(weights, &transposed, positions.len(), &mut errors);
            for (row, errors) in errors.chunks_exact_mut(positions.len()).enumerate() {
                let channel = group * rows + row;
                for (error, &position) in errors.iter_mut().zip(&positions) {
                    let found = *error + self.samples.bias[channel];
                    let wanted = self.samples.output[position * problem.out_channels + channel];
                    *error = self.error(channel, found, wanted);
                    loss += f64::from(*error) * f64::from(*error);
                }
            }
            let slope = &mut slope[group * rows * k..][..rows * k];
            multiply(&errors, &patches, k, slope);
            let factor = 2.0 / positions.len() as f32;
            slope.iter_mut().for_each(|slope| *slope *= factor);
        }
        loss / positions.len().max(1) as f64
    }

    /// The error behind the activation, 0 where the activation is flat: error times the activation's slope, whose square is the error's
    /// share of the loss wherever that slope is 0 or 1.
    fn error(&self, channel: usize, found: f32, wanted: f32) -> f32 {
        let Some(activation) = self.activation else {
            return found - wanted;
        };
        let error = activation.apply(channel, found) - activation.apply(channel, wanted);
        match activation.clamp_bounds(channel) {
            Some((min, max)) if found < min || found > max => 0.0,
            _ => error,
        }
    }
}
