//! Elementwise tail of a kernel: bias, BatchNorm, activation.
//!
//! Applied to rows of channels while they are still in the cache. A node's own tail and the tails of nodes fused into it run the
//! same loops in the same order, so fusing changes no bit.

use pulp::{Arch, Simd, WithSimd};

use crate::graph::{Activation, BatchNorm};

use super::tiles;

/// One elementwise function.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// `x + bias`, one value per channel.
    Bias(Vec<f32>),
    /// `x * scale + shift`, one pair per channel.
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

/// The steps that a kernel does to its sums before it stores them: those of a usual epilogue, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail<'a> {
    bias: Option<&'a [f32]>,
    /// Scales and shifts.
    affine: Option<[&'a [f32]; 2]>,
    clamp: Option<[f32; 2]>,
}

impl Tail<'_> {
    /// The tail of the channels `first..`.
    pub(super) fn at_channel(self, first: usize) -> Self {
        Tail {
            bias: self.bias.map(|bias| &bias[first..]),
            affine: self.affine.map(|pair| pair.map(|values| &values[first..])),
            clamp: self.clamp,
        }
    }

    /// Applies the tail to rows of vectors whose first channel is `first`; what vectors have behind the last channel becomes
    /// arbitrary.
    #[expect(
        clippy::needless_range_loop,
        reason = "with iterators the compiler keeps the rows in memory, which takes a fifth longer"
    )]
    #[inline(always)]
    pub(super) fn apply<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &self,
        simd: S,
        mut rows: [[S::f32s; VECTORS]; ROWS],
        first: usize,
    ) -> [[S::f32s; VECTORS]; ROWS] {
        let load = |values: &[f32]| -> [S::f32s; VECTORS] {
            let values = values.get(first..).unwrap_or_default();
            let mut vectors = [simd.splat_f32s(0.0); VECTORS];
            if let Some(values) = values.get(..VECTORS * S::F32_LANES) {
                vectors.copy_from_slice(S::as_simd_f32s(values).0);
            } else {
                for (vector, values) in vectors.iter_mut().zip(values.chunks(S::F32_LANES)) {
                    *vector = simd.partial_load_f32s(values);
                }
            }
            vectors
        };
        if let Some(bias) = self.bias {
            let bias = load(bias);
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    rows[row][vector] = simd.add_f32s(rows[row][vector], bias[vector]);
                }
            }
        }
        if let Some([scale, shift]) = self.affine {
            let (scale, shift) = (load(scale), load(shift));
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let pair = [scale[vector], shift[vector]];
                    rows[row][vector] = affine(simd, rows[row][vector], pair);
                }
            }
        }
        if let Some(bounds) = self.clamp {
            let bounds = bounds.map(|bound| simd.splat_f32s(bound));
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    rows[row][vector] = clamp(simd, rows[row][vector], bounds);
                }
            }
        }
        rows
    }
}

impl Epilogue {
    /// Steps that kernels do themselves, and the remaining ones.
    pub(super) fn split(&self) -> (Tail<'_>, &[Step]) {
        let mut tail = Tail::default();
        let mut steps = self.steps.as_slice();
        if let [Step::Bias(bias), rest @ ..] = steps {
            tail.bias = Some(bias);
            steps = rest;
        }
        if let [Step::Affine { scale, shift }, rest @ ..] = steps {
            tail.affine = Some([scale, shift]);
            steps = rest;
        }
        if let [Step::Activation(activation), rest @ ..] = steps
            && let Some(bounds) = uniform_bounds(activation)
        {
            tail.clamp = Some(bounds);
            steps = rest;
        }
        (tail, steps)
    }

    /// Applies all steps to rows of `len` channels, the first of which is channel `first`.
    pub(super) fn apply(&self, rows: &mut [f32], first: usize, len: usize) {
        apply(&self.steps, rows, first, len);
    }

    /// As [`Epilogue::apply`] to a whole tensor with `channels` channels, on all threads.
    pub(super) fn apply_to_all(&self, values: &mut [f32], channels: usize) {
        if !self.steps.is_empty() {
            tiles::for_each_rows(values, channels, &|_, rows| self.apply(rows, 0, channels));
        }
    }
}

/// Applies `steps` to rows of `len` channels, the first of which is channel `first`.
pub(super) fn apply(steps: &[Step], rows: &mut [f32], first: usize, len: usize) {
    if !steps.is_empty() {
        Arch::new().dispatch(Apply {
            steps,
            rows,
            first,
            len,
        });
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
    fn with_simd<S: Simd>(self, simd: S) {
        let Apply {
            mut steps,
            rows,
            first,
            len,
        } = self;
        let channels = first..first + len;
        while let [step, rest @ ..] = steps {
            steps = rest;
            // The usual pair in one pass: the same operations on each element, but half the loads and stores.
            let next = match rest {
                [Step::Activation(next), ..] => uniform_bounds(next),
                _ => None,
            };
            if next.is_some() && !matches!(step, Step::Activation(_)) {
                steps = &rest[1..];
            }
            let next = next.map(|bounds| bounds.map(|bound| simd.splat_f32s(bound)));
            match step {
                Step::Bias(bias) => {
                    let bias = [&bias[channels.clone()]];
                    match next {
                        Some(bounds) => each(simd, rows, bias, |x, [bias]| {
                            clamp(simd, simd.add_f32s(x, bias), bounds)
                        }),
                        None => each(simd, rows, bias, |x, [bias]| simd.add_f32s(x, bias)),
                    }
                }
                Step::Affine { scale, shift } => {
                    let pair = [&scale[channels.clone()], &shift[channels.clone()]];
                    let affine = |x, pair| affine(simd, x, pair);
                    match next {
                        Some(bounds) => each(simd, rows, pair, |x, pair| {
                            clamp(simd, affine(x, pair), bounds)
                        }),
                        None => each(simd, rows, pair, affine),
                    }
                }
                Step::Activation(Activation::ClipPerChannel { min, max }) => {
                    let bounds = [&min[channels.clone()], &max[channels.clone()]];
                    each(simd, rows, bounds, |x, bounds| clamp(simd, x, bounds));
                }
                Step::Activation(activation) => match uniform_bounds(activation) {
                    Some(bounds) => {
                        let bounds = bounds.map(|bound| simd.splat_f32s(bound));
                        each(simd, rows, [], |x, []| clamp(simd, x, bounds));
                    }
                    None => activate(activation, rows),
                },
            }
        }
    }
}

/// Bounds of a clamp that is the same in all channels.
fn uniform_bounds(activation: &Activation) -> Option<[f32; 2]> {
    match activation {
        Activation::ClipPerChannel { .. } => None,
        activation => activation.clamp_bounds(0).map(|(min, max)| [min, max]),
    }
}

#[inline(always)]
fn affine<S: Simd>(simd: S, x: S::f32s, [scale, shift]: [S::f32s; 2]) -> S::f32s {
    simd.add_f32s(simd.mul_f32s(x, scale), shift)
}

#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, [min, max]: [S::f32s; 2]) -> S::f32s {
    simd.min_f32s(simd.max_f32s(x, min), max)
}

/// Replaces every element by a function of it and of its channel's parameters. Rows are often only a few vectors long: loops over
/// single elements, vectorized by the compiler, would spend most of their time at the ends.
#[inline(always)]
fn each<S: Simd, const PARAMETERS: usize>(
    simd: S,
    rows: &mut [f32],
    parameters: [&[f32]; PARAMETERS],
    function: impl Fn(S::f32s, [S::f32s; PARAMETERS]) -> S::f32s,
) {
    // Without parameters all rows are like one.
    let len = parameters.first().map_or(rows.len(), |values| values.len());
    let parameters = parameters.map(|values| S::as_simd_f32s(values));
    for row in rows.chunks_exact_mut(len.max(1)) {
        let (vectors, rest) = S::as_mut_simd_f32s(row);
        let whole = parameters.map(|(whole, _)| &whole[..vectors.len()]);
        for (index, x) in vectors.iter_mut().enumerate() {
            *x = function(*x, whole.map(|values| values[index]));
        }
        if !rest.is_empty() {
            let x = simd.partial_load_f32s(rest);
            let parameters = parameters.map(|(_, rest)| simd.partial_load_f32s(rest));
            simd.partial_store_f32s(rest, function(x, parameters));
        }
    }
}

/// [`Activation::apply`] on every element, with the choice of function outside of the loop where the loop can be vectorized.
#[inline(always)]
fn activate(activation: &Activation, values: &mut [f32]) {
    match *activation {
        Activation::LeakyRelu { alpha } => values
            .iter_mut()
            .for_each(|x| *x = Activation::LeakyRelu { alpha }.apply(0, *x)),
        Activation::HardSigmoid { alpha, beta } => values
            .iter_mut()
            .for_each(|x| *x = Activation::HardSigmoid { alpha, beta }.apply(0, *x)),
        Activation::HardSwish => values
            .iter_mut()
            .for_each(|x| *x = Activation::HardSwish.apply(0, *x)),
        _ => values.iter_mut().for_each(|x| *x = activation.apply(0, *x)),
    }
}
