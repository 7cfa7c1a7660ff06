//! Second moments of a layer's inputs: all a quadratic loss needs.
//!
//! The mean of `|W~ x^ - W x|^2` over positions depends on the samples only through `E[x^ x^T]`, `E[x^ x^T]` with the float inputs on
//! the right, and the means: `K x K` numbers a group, whatever the number of samples.

use super::patches::Geometry;
use crate::executor::matmul::Shape;
use rayon::prelude::*;

/// Positions whose products are summed in single precision before they are added up in double.
const BLOCK: usize = 2048;

/// Multiply-accumulates that may be spent on the moments of a layer; of what is beyond, positions are left out evenly.
const BUDGET: usize = 1 << 30;

/// Positions that are always affordable, as a multiple of the products of one output: moments of fewer say little.
const LEAST: usize = 8;

/// Moments of one group of a layer's inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Products of one output.
    pub k: usize,
    /// Positions that there were, of all samples.
    pub positions: usize,
    /// `E[x^ x^T]`, `k x k`: inputs as the quantized network makes them.
    pub gram: Vec<f64>,
    /// `E[x^ x^T]`, `k x k`, with the float network's inputs on the right.
    pub cross: Vec<f64>,
    /// `E[x^]`.
    pub mean_quantized: Vec<f64>,
    /// `E[x]`.
    pub mean_float: Vec<f64>,
}

impl Moments {
    /// About the means: covariances instead of products. For layers whose bias takes up the mean error.
    pub fn centred(mut self) -> Moments {
        let k = self.k;
        for row in 0..k {
            for column in 0..k {
                let place = row * k + column;
                self.gram[place] -= self.mean_quantized[row] * self.mean_quantized[column];
                self.cross[place] -= self.mean_quantized[row] * self.mean_float[column];
            }
        }
        self
    }
}

/// Moments of every group of a layer over all samples; `quantized` and `float` hold the layer's input, sample after sample.
pub fn moments(geometry: &Geometry, quantized: &[f32], float: &[f32]) -> Vec<Moments> {
    let samples = quantized.len() / geometry.elements().max(1);
    let positions = samples * geometry.positions();
    let k = geometry.products();
    let affordable = (BUDGET / (k * k * geometry.groups()).max(1)).max(LEAST * k);
    let stride = positions.div_ceil(affordable.max(1)).max(1);
    let chosen: Vec<usize> = (0..positions).step_by(stride).collect();
    if geometry.per_group() == 1 && geometry.groups() > 1 {
        return depthwise(geometry, quantized, float, &chosen);
    }
    (0..geometry.groups())
        .map(|group| Moments {
            positions,
            ..dense(geometry, quantized, float, &chosen, group)
        })
        .collect()
}

fn dense(
    geometry: &Geometry,
    quantized: &[f32],
    float: &[f32],
    positions: &[usize],
    group: usize,
) -> Moments {
    let k = geometry.products();
    let mut sums = Moments {
        k,
        positions: positions.len(),
        gram: vec![0.0; k * k],
        cross: vec![0.0; k * k],
        mean_quantized: vec![0.0; k],
        mean_float: vec![0.0; k],
    };
    let mut product = vec![0.0_f32; k * k];
    for block in positions.chunks(BLOCK) {
        let gathered = |inputs: &[f32]| {
            let mut patches = vec![0.0_f32; block.len() * k];
            patches
                .par_chunks_exact_mut(k)
                .zip(block)
                .for_each(|(patch, &position)| geometry.gather(inputs, position, group, patch));
            patches
        };
        let (hat, plain) = (gathered(quantized), gathered(float));
        let mut transposed = vec![0.0_f32; hat.len()];
        for (place, patch) in hat.chunks_exact(k).enumerate() {
            for (row, value) in patch.iter().enumerate() {
                transposed[row * block.len() + place] = *value;
            }
        }
        for (sum, right) in [(&mut sums.gram, &hat), (&mut sums.cross, &plain)] {
            let panel = k.div_ceil(8).max(8);
            product
                .par_chunks_mut(panel * k)
                .zip(transposed.par_chunks(panel * block.len()))
                .for_each(|(product, left)| {
                    let shape = Shape {
                        rows: left.len() / block.len(),
                        depth: block.len(),
                        columns: k,
                        lhs_stride: block.len(),
                        out_stride: k,
                    };
                    shape.multiply(left, right, product);
                });
            for (sum, value) in sum.iter_mut().zip(&product) {
                *sum += f64::from(*value);
            }
        }
        for (sums, patches) in [
            (&mut sums.mean_quantized, &hat),
            (&mut sums.mean_float, &plain),
        ] {
            for patch in patches.chunks_exact(k) {
                for (sum, value) in sums.iter_mut().zip(patch) {
                    *sum += f64::from(*value);
                }
            }
        }
    }
    divided(sums, positions.len())
}

/// All channels at once: every product of two taps is a loop over channels.
fn depthwise(
    geometry: &Geometry,
    quantized: &[f32],
    float: &[f32],
    positions: &[usize],
) -> Vec<Moments> {
    let (k, channels) = (geometry.taps(), geometry.channels());
    // Sums of a block: gram, cross, and both means, each `[place][channel]`.
    let width = 2 * k * k + 2 * k;
    let blocks: Vec<Vec<f32>> = positions
        .par_chunks(BLOCK)
        .map(|block| {
            let mut sums = vec![0.0_f32; width * channels];
            let ones = vec![1.0_f32; channels];
            for &position in block {
                let (sample, place) = (
                    position / geometry.positions(),
                    position % geometry.positions(),
                );
                // Taps in the padding add nothing.
                let taps: Vec<(usize, usize)> = (0..k)
                    .filter_map(|tap| {
                        let pixel = geometry.tap(place, tap, geometry.image())?;
                        Some((tap, sample * geometry.elements() + pixel * channels))
                    })
                    .collect();
                let mut at = |place: usize, a: &[f32], b: &[f32]| {
                    multiply_add(&mut sums[place * channels..][..channels], a, b);
                };
                for &(i, first) in &taps {
                    let (hat, plain) =
                        (&quantized[first..][..channels], &float[first..][..channels]);
                    for &(j, other) in &taps {
                        at(i * k + j, hat, &quantized[other..][..channels]);
                        at(k * k + i * k + j, hat, &float[other..][..channels]);
                    }
                    at(2 * k * k + i, hat, &ones);
                    at(2 * k * k + k + i, plain, &ones);
                }
            }
            sums
        })
        .collect();
    let mut total = vec![0.0_f64; width * channels];
    for block in blocks {
        for (total, value) in total.iter_mut().zip(block) {
            *total += f64::from(value);
        }
    }
    let moments = |channel: usize| {
        let part = |first: usize, count: usize| {
            (first..first + count)
                .map(|place| total[place * channels + channel])
                .collect::<Vec<f64>>()
        };
        Moments {
            k,
            positions: positions.len(),
            gram: part(0, k * k),
            cross: part(k * k, k * k),
            mean_quantized: part(2 * k * k, k),
            mean_float: part(2 * k * k + k, k),
        }
    };
    (0..channels)
        .map(|channel| divided(moments(channel), positions.len()))
        .collect()
}

fn multiply_add(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

fn divided(mut sums: Moments, positions: usize) -> Moments {
    let count = positions.max(1) as f64;
    let parts = [
        &mut sums.gram,
        &mut sums.cross,
        &mut sums.mean_quantized,
        &mut sums.mean_float,
    ];
    for part in parts {
        part.iter_mut().for_each(|value| *value /= count);
    }
    sums
}
