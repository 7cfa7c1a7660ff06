//! Second moments of a layer's inputs: all a quadratic loss needs.
//!
//! The mean of `|W~ x^ - W x|^2` over positions depends on the samples only through `E[x^ x^T]`, `E[x^ x^T]` with the float inputs on
//! the right, and the means: `K x K` numbers per group, whatever the number of samples.

use super::patches::Geometry;
use crate::executor::matmul::{Right, Rows};
use crate::parallel;
use rayon::prelude::*;
use std::ops::Range;

/// Parts of a matrix of moments that are handed to threads.
const PANELS: usize = 16;

/// Positions whose products are summed in single precision before they are added up in double.
const BLOCK: usize = 2048;

/// Limit of multiply-accumulates for the moments of a layer; beyond it, positions are left out evenly.
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
    /// Sums over no position.
    pub(crate) fn none(k: usize) -> Moments {
        Moments {
            k,
            positions: 0,
            gram: vec![0.0; k * k],
            cross: vec![0.0; k * k],
            mean_quantized: vec![0.0; k],
            mean_float: vec![0.0; k],
        }
    }

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

/// Elements of a layer's input that are processed together (16 MiB).
const ELEMENTS: usize = 4 << 20;

/// Moments of every group of a layer over all samples, of the products `of` of an output.
///
/// `inputs` gives some elements of the layer's input for some samples, sample after sample: as the quantized network makes it, and as the float network
/// does; without the latter, the former stands for both.
///
/// # Errors
/// Those of `inputs`.
pub fn moments<E: Send>(
    geometry: &Geometry,
    of: Range<usize>,
    samples: usize,
    inputs: impl Fn(Range<usize>, Range<usize>) -> Result<(Vec<f32>, Option<Vec<f32>>), E> + Sync,
) -> Result<Vec<Moments>, E> {
    let positions = samples * geometry.positions();
    let k = of.len();
    let affordable = (BUDGET / (k * k * geometry.groups()).max(1)).max(LEAST * k);
    let stride = positions.div_ceil(affordable.max(1)).max(1);
    let parts = parts(geometry, samples, BLOCK * stride);
    // Where that can be, no more is read than is looked at: many inputs are many blocks.
    let narrowed = geometry.narrowed(&of);
    let (geometry, elements, of) = match &narrowed {
        Some(narrowed) => (narrowed, of, 0..k),
        None => (geometry, 0..geometry.elements(), of),
    };
    let inputs = |samples| inputs(samples, elements.clone());
    // Of some samples: their positions that are chosen, counted from the first of them.
    let chosen = |samples: &Range<usize>| -> Vec<usize> {
        let first = samples.start * geometry.positions();
        let end = samples.end * geometry.positions();
        (first.next_multiple_of(stride)..end)
            .step_by(stride)
            .map(|position| position - first)
            .collect()
    };
    let count = positions.div_ceil(stride);
    let depthwise_whole =
        geometry.per_group() == 1 && geometry.groups() > 1 && k == geometry.products();
    let found = if depthwise_whole {
        let sums = parallel::map(parts.len(), |index| {
            let samples = parts[index].clone();
            let positions = chosen(&samples);
            let (quantized, float) = inputs(samples)?;
            let float = float.as_deref().unwrap_or(&quantized);
            Ok(depthwise(geometry, &quantized, float, &positions))
        });
        let sums: Result<Vec<_>, E> = sums.into_iter().collect();
        channels(geometry, &sums?)
    } else {
        let mut sums = vec![Moments::none(k); geometry.groups()];
        let mut float_given = false;
        for samples in parts {
            let positions = chosen(&samples);
            let (quantized, float) = inputs(samples)?;
            for (group, sums) in sums.iter_mut().enumerate() {
                for block in positions.chunks(BLOCK) {
                    dense(
                        geometry,
                        &of,
                        &quantized,
                        float.as_deref(),
                        block,
                        group,
                        sums,
                    );
                }
                float_given |= float.is_some();
            }
        }
        if !float_given {
            for sums in &mut sums {
                sums.cross.clone_from(&sums.gram);
                sums.mean_float.clone_from(&sums.mean_quantized);
            }
        }
        sums
    };
    Ok(found.into_iter().map(|sums| divided(sums, count)).collect())
}

/// Samples in parts of about so many positions, and of no more elements than fit.
fn parts(geometry: &Geometry, samples: usize, positions: usize) -> Vec<Range<usize>> {
    let wanted = positions.div_ceil(geometry.positions().max(1));
    let step = wanted.min(ELEMENTS / geometry.elements().max(1)).max(1);
    (0..samples)
        .step_by(step)
        .map(|first| first..samples.min(first + step))
        .collect()
}

/// Smallest number of samples whose inputs are requested together.
const SAMPLES: usize = 8;

/// Means over all positions of a layer's inputs, `K` per group.
///
/// # Errors
/// Those of `inputs`.
pub fn mean_inputs<E: Send>(
    geometry: &Geometry,
    samples: usize,
    inputs: impl Fn(Range<usize>) -> Result<Vec<f32>, E> + Sync,
) -> Result<Vec<Vec<f64>>, E> {
    let (taps, channels) = (geometry.taps(), geometry.channels());
    let count = (samples * geometry.positions()).max(1) as f64;
    let together = BLOCK.max(SAMPLES * geometry.positions());
    let parts = parts(geometry, samples, together);
    let sums = parallel::map(parts.len(), |index| {
        let values = inputs(parts[index].clone())?;
        let samples = values.chunks_exact(geometry.elements().max(1));
        // Of one sample: few enough to be summed in single precision.
        let sums = samples.map(|sample| {
            let mut sums = vec![0.0_f32; taps * channels];
            for place in 0..geometry.positions() {
                for (tap, sums) in sums.chunks_exact_mut(channels).enumerate() {
                    if let Some(pixel) = geometry.tap(place, tap, geometry.image()) {
                        let pixel = &sample[pixel * channels..][..channels];
                        sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
                    }
                }
            }
            sums
        });
        Ok(sums.collect())
    });
    let sums: Vec<Vec<Vec<f32>>> = sums.into_iter().collect::<Result<_, E>>()?;
    let mut means = vec![0.0_f64; taps * channels];
    for sums in sums.iter().flatten() {
        for (mean, sum) in means.iter_mut().zip(sums) {
            *mean += f64::from(*sum) / count;
        }
    }
    let per_group = geometry.per_group();
    let group = |group: usize| {
        let taps = means.chunks_exact(channels.max(1));
        taps.flat_map(|tap| &tap[group * per_group..][..per_group])
            .copied()
            .collect()
    };
    Ok((0..geometry.groups()).map(group).collect())
}

/// Adds what a block of positions gives to the sums of a group; without `float` only to those of the quantized inputs.
fn dense(
    geometry: &Geometry,
    of: &Range<usize>,
    quantized: &[f32],
    float: Option<&[f32]>,
    block: &[usize],
    group: usize,
    sums: &mut Moments,
) {
    let k = of.len();
    let gathered = |inputs: &[f32]| {
        let mut patches = vec![0.0_f32; block.len() * k];
        let patch = patches.par_chunks_exact_mut(k).zip(block);
        if k == geometry.products() {
            patch.for_each(|(patch, &position)| geometry.gather(inputs, position, group, patch));
        } else {
            let whole = || vec![0.0_f32; geometry.products()];
            patch.for_each_init(whole, |whole, (patch, &position)| {
                geometry.gather(inputs, position, group, whole);
                patch.copy_from_slice(&whole[of.clone()]);
            });
        }
        patches
    };
    let hat = gathered(quantized);
    let mut transposed = vec![0.0_f32; hat.len()];
    transposed
        .par_chunks_exact_mut(block.len())
        .enumerate()
        .for_each(|(place, row)| {
            let column = hat.iter().skip(place).step_by(k);
            row.iter_mut()
                .zip(column)
                .for_each(|(to, from)| *to = *from);
        });
    let mut product = vec![0.0_f32; k * k];
    let mut add = |patches: &[f32], products: &mut [f64], means: &mut [f64], symmetric: bool| {
        let right = Right::new(patches, k);
        let panel = k.div_ceil(PANELS).max(8);
        product
            .par_chunks_mut(panel * k)
            .zip(transposed.par_chunks(panel * block.len()))
            .zip(products.par_chunks_mut(panel * k))
            .enumerate()
            .for_each(|(index, ((product, left), sums))| {
                let rows = Rows {
                    count: left.len() / block.len(),
                    stride: block.len(),
                };
                let from = if symmetric { index * panel } else { 0 };
                right.multiply_from(from, left, rows, product);
                let rows = sums.chunks_exact_mut(k).zip(product.chunks_exact(k));
                for (sums, product) in rows {
                    for (sum, value) in sums[from..].iter_mut().zip(&product[from..]) {
                        *sum += f64::from(*value);
                    }
                }
            });
        if symmetric {
            for row in panel..k {
                for column in 0..row / panel * panel {
                    products[row * k + column] = products[column * k + row];
                }
            }
        }
        for patch in patches.chunks_exact(k) {
            for (sum, value) in means.iter_mut().zip(patch) {
                *sum += f64::from(*value);
            }
        }
    };
    add(&hat, &mut sums.gram, &mut sums.mean_quantized, true);
    if let Some(float) = float {
        let patches = gathered(float);
        add(&patches, &mut sums.cross, &mut sums.mean_float, false);
    }
}

/// All channels at once: every product of two taps is a loop over channels. Sums of gram, cross and both means, each `[place][channel]`.
fn depthwise(
    geometry: &Geometry,
    quantized: &[f32],
    float: &[f32],
    positions: &[usize],
) -> Vec<f64> {
    let (k, channels) = (geometry.taps(), geometry.channels());
    let width = 2 * k * k + 2 * k;
    let ones = vec![1.0_f32; channels];
    let mut total = vec![0.0_f64; width * channels];
    for block in positions.chunks(BLOCK) {
        let mut sums = vec![0.0_f32; width * channels];
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
                let (hat, plain) = (&quantized[first..][..channels], &float[first..][..channels]);
                for &(j, other) in &taps {
                    at(i * k + j, hat, &quantized[other..][..channels]);
                    at(k * k + i * k + j, hat, &float[other..][..channels]);
                }
                at(2 * k * k + i, hat, &ones);
                at(2 * k * k + k + i, plain, &ones);
            }
        }
        for (total, value) in total.iter_mut().zip(sums) {
            *total += f64::from(value);
        }
    }
    total
}

/// Sums of all parts, channel by channel.
fn channels(geometry: &Geometry, parts: &[Vec<f64>]) -> Vec<Moments> {
    let (k, channels) = (geometry.taps(), geometry.channels());
    let sums = |channel: usize| {
        let part = |first: usize, count: usize| {
            (first..first + count)
                .map(|place| parts.iter().map(|p| p[place * channels + channel]).sum())
                .collect::<Vec<f64>>()
        };
        Moments {
            k,
            positions: 0,
            gram: part(0, k * k),
            cross: part(k * k, k * k),
            mean_quantized: part(2 * k * k, k),
            mean_float: part(2 * k * k + k, k),
        }
    };
    parallel::map(channels, sums)
}

fn multiply_add(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

fn divided(mut sums: Moments, positions: usize) -> Moments {
    sums.positions = positions;
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
