//! Elementwise tail of a kernel: bias, BatchNorm, activation.
//!
//! Applied to rows of channels while they are still in the cache. A node's own tail and the tails of nodes fused into it run the
//! same loops in the same order, so fusing changes no bit.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::graph::{Activation, BatchNorm};

use super::tiles;

/// One elementwise function.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// `x + bias`, one value a channel.
    Bias(Vec<f32>),
    /// `x * scale + shift`, one pair a channel.
    Affine { scale: Vec<f32>, shift: Vec<f32> },
    /// The same function of every element.
    Activation(Activation),
}

impl Step {
    pub(super) fn batch_norm(norm: &BatchNorm) -> Self {
        let (scale, shift) = (0..norm.channels())
            .map(|channel| norm.scale_and_shift(channel))
            .map(|(scale, shift)| (scale as f32, shift as f32))
            .unzip();
        Step::Affine { scale, shift }
    }
}

/// Functions applied one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Epilogue {
    pub(super) steps: Vec<Step>,
}

impl Epilogue {
    /// Applies all steps to rows of `len` channels, the first of which is channel `first`.
    pub(super) fn apply(&self, rows: &mut [f32], first: usize, len: usize) {
        if !self.steps.is_empty() {
            Arch::new().dispatch(Apply {
                steps: &self.steps,
                rows,
                first,
                len,
            });
        }
    }

    /// As [`Epilogue::apply`] to a whole tensor with `channels` channels, on all threads.
    pub(super) fn apply_to_all(&self, values: &mut [f32], channels: usize) {
        if !self.steps.is_empty() {
            tiles::for_each_rows(values, channels, |_, rows| self.apply(rows, 0, channels));
        }
    }
}

struct Apply<'a> {
    steps: &'a [Step],
    rows: &'a mut [f32],
    first: usize,
    len: usize,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Apply {
            steps,
            rows,
            first,
            len,
        } = self;
        let channels = first..first + len;
        // The usual pair in one pass: the same operations on each element, but half the loads and stores.
        if let [linear, Step::Activation(activation)] = steps
            && !matches!(activation, Activation::ClipPerChannel { .. })
            && let Some((min, max)) = activation.clamp_bounds(0)
        {
            match linear {
                Step::Bias(bias) => {
                    let bias = &bias[channels];
                    for row in rows.chunks_exact_mut(len) {
                        for (x, &bias) in row.iter_mut().zip(bias) {
                            *x = (*x + bias).max(min).min(max);
                        }
                    }
                    return;
                }
                Step::Affine { scale, shift } => {
                    let (scale, shift) = (&scale[channels.clone()], &shift[channels]);
                    for row in rows.chunks_exact_mut(len) {
                        for ((x, &scale), &shift) in row.iter_mut().zip(scale).zip(shift) {
                            *x = (*x * scale + shift).max(min).min(max);
                        }
                    }
                    return;
                }
                Step::Activation(_) => {}
            }
        }
        for row in rows.chunks_exact_mut(len) {
            for step in steps {
                match step {
                    Step::Bias(bias) => {
                        for (x, &bias) in row.iter_mut().zip(&bias[channels.clone()]) {
                            *x += bias;
                        }
                    }
                    Step::Affine { scale, shift } => {
                        let parameters =
                            scale[channels.clone()].iter().zip(&shift[channels.clone()]);
                        for (x, (&scale, &shift)) in row.iter_mut().zip(parameters) {
                            *x = *x * scale + shift;
                        }
                    }
                    Step::Activation(activation) => activate(activation, row, channels.clone()),
                }
            }
        }
    }
}

/// [`Activation::apply`] on every element, with the choice of function outside of the loop where the loop can be vectorized.
#[inline(always)]
fn activate(activation: &Activation, row: &mut [f32], channels: Range<usize>) {
    match *activation {
        Activation::Relu => row
            .iter_mut()
            .for_each(|x| *x = Activation::Relu.apply(0, *x)),
        Activation::Clip { min, max } => row
            .iter_mut()
            .for_each(|x| *x = Activation::Clip { min, max }.apply(0, *x)),
        Activation::ClipPerChannel { ref min, ref max } => {
            let bounds = min[channels.clone()].iter().zip(&max[channels]);
            for (x, (&min, &max)) in row.iter_mut().zip(bounds) {
                *x = x.max(min).min(max);
            }
        }
        Activation::LeakyRelu { alpha } => row
            .iter_mut()
            .for_each(|x| *x = Activation::LeakyRelu { alpha }.apply(0, *x)),
        Activation::HardSigmoid { alpha, beta } => row
            .iter_mut()
            .for_each(|x| *x = Activation::HardSigmoid { alpha, beta }.apply(0, *x)),
        Activation::HardSwish => row
            .iter_mut()
            .for_each(|x| *x = Activation::HardSwish.apply(0, *x)),
        Activation::Sigmoid | Activation::Tanh => {
            row.iter_mut().for_each(|x| *x = activation.apply(0, *x));
        }
    }
}
