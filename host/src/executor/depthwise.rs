//! The inner loops of depthwise convolution with one filter per channel.
//!
//! Output pixels side by side share the loads of the weights, and their sums stay in registers while the loops go through the
//! taps, always in the same order. Vector lanes are channels, so the width of the vectors changes no sum.

use pulp::Simd;

use super::fused::multiply_add;
use super::taps::Taps;

/// Output pixels that are computed together, at most.
pub(super) const MOST_PIXELS: usize = 4;

/// Vectors of channels that are computed together, where there are so many.
const VECTORS: usize = 2;

/// Output pixels side by side that see the same taps, those of one `step` elements behind those of the one before.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    /// Index of the first output element.
    pub(super) out: usize,
    pub(super) pixels: usize,
    pub(super) taps: Taps,
    pub(super) step: usize,
}

/// The tile of one sample.
pub(super) struct Tile<'a> {
    pub(super) input: &'a [f32],
    pub(super) out: &'a mut [f32],
    /// `[kernel_h][kernel_w][channels]`.
    pub(super) weights: &'a [f32],
    pub(super) channels: usize,
    /// All pixels of the tile.
    pub(super) parts: &'a [Pixels],
}

impl Tile<'_> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(&mut self, simd: S) {
        for &part in self.parts {
            match part.pixels {
                1 => self.pixels::<S, 1>(simd, part),
                2 => self.pixels::<S, 2>(simd, part),
                3 => self.pixels::<S, 3>(simd, part),
                MOST_PIXELS => self.pixels::<S, MOST_PIXELS>(simd, part),
                _ => {}
            }
        }
    }

    /// All channels of some pixels.
    #[inline(always)]
    fn pixels<S: Simd, const PIXELS: usize>(&mut self, simd: S, part: Pixels) {
        let lanes = S::F32_LANES;
        let end = self.channels;
        let mut at = 0;
        while end - at >= VECTORS * lanes {
            self.whole::<S, VECTORS, PIXELS>(simd, part, at);
            at += VECTORS * lanes;
        }
        while end - at >= lanes {
            self.whole::<S, 1, PIXELS>(simd, part, at);
            at += lanes;
        }
        if at < end {
            self.rest::<S, PIXELS>(simd, part, at, end - at);
        }
    }

    /// The channels of some vectors.
    #[inline(always)]
    fn whole<S: Simd, const VECTORS: usize, const PIXELS: usize>(
        &mut self,
        simd: S,
        part: Pixels,
        first: usize,
    ) {
        let none = [simd.splat_f32s(0.0); VECTORS];
        let load = |values: &[f32], at: usize| -> [S::f32s; VECTORS] {
            let at = at + first;
            let vectors = S::as_simd_f32s(&values[at..at + VECTORS * S::F32_LANES]).0;
            vectors.first_chunk().copied().unwrap_or(none)
        };
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; PIXELS];
        part.taps.for_each(|at, tap| {
            let w = load(self.weights, tap * self.channels);
            for (pixel, sums) in sums.iter_mut().enumerate() {
                let x = load(self.input, at + pixel * part.step);
                for vector in 0..VECTORS {
                    sums[vector] = multiply_add(simd, x[vector], w[vector], sums[vector]);
                }
            }
        });
        for (pixel, sums) in sums.iter().enumerate() {
            let at = part.out + pixel * self.channels + first;
            let out = &mut self.out[at..at + VECTORS * S::F32_LANES];
            S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
        }
    }

    /// The `len` channels behind the last whole vector.
    #[inline(always)]
    fn rest<S: Simd, const PIXELS: usize>(
        &mut self,
        simd: S,
        part: Pixels,
        first: usize,
        len: usize,
    ) {
        let load = |values: &[f32], at: usize| simd.partial_load_f32s(&values[at + first..][..len]);
        let mut sums = [simd.splat_f32s(0.0); PIXELS];
        part.taps.for_each(|at, tap| {
            let w = load(self.weights, tap * self.channels);
            for (pixel, sum) in sums.iter_mut().enumerate() {
                let x = load(self.input, at + pixel * part.step);
                *sum = multiply_add(simd, x, w, *sum);
            }
        });
        for (pixel, &sum) in sums.iter().enumerate() {
            let at = part.out + pixel * self.channels + first;
            simd.partial_store_f32s(&mut self.out[at..at + len], sum);
        }
    }
}
