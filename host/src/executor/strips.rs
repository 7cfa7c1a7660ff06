//! The inner loops of depthwise convolution with the usual small kernels.
//!
//! A strip of output pixels side by side keeps its sums in registers. Each element of the input is loaded once a line of the kernel
//! and multiplied for every pixel whose window it lies in; elements from left to right are, for each sum, taps in the order of the
//! weights. Elements in the padding are left out, not replaced by zeros. A vector's channels go through all strips of a tile before
//! the next ones, so that their weights and inputs stay in the first-level cache.

use std::ops::Range;

use pulp::Simd;

use super::epilogue::Tail;
use super::fused::multiply_add;

/// Output pixels of a strip, at most.
pub(super) const MOST_PIXELS: usize = 8;

/// Input columns that a strip sees, at most: with a stride of two and a kernel five wide.
const MOST_COLUMNS: usize = 19;

/// Output pixels side by side in one line.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    /// Index of the first output element.
    pub(super) out: usize,
    pub(super) pixels: usize,
    /// Lines of the kernel that are inside the input.
    pub(super) lines: Range<usize>,
    /// Columns that are inside the input, counted from the first pixel's first tap.
    pub(super) columns: Range<usize>,
    /// Index of the input element at the first of these lines and columns.
    pub(super) input: usize,
}

/// The tile of one sample.
pub(super) struct Tile<'a> {
    pub(super) input: &'a [f32],
    pub(super) out: &'a mut [f32],
    /// `[kernel_h][kernel_w][channels]`.
    pub(super) weights: &'a [f32],
    pub(super) channels: usize,
    /// Input elements from a line of the kernel to the next.
    pub(super) line_step: usize,
    /// Width of the kernel and step from pixel to pixel, both in columns; see [`has_kernel`].
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) strips: &'a [Strip],
    /// Function applied to each sum.
    pub(super) tail: Tail<'a>,
}

/// Whether there are loops for kernels of this width with this stride.
pub(super) fn has_kernel(width: usize, stride: usize) -> bool {
    matches!((width, stride), (3 | 5, 1 | 2))
}

/// `step` for each column, as constants: sums stay in registers only if no index is a variable.
macro_rules! for_columns {
    ($step:ident, $($column:literal)*) => {
        $($step!($column);)*
    };
}

impl Tile<'_> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(&mut self, simd: S) {
        match (self.kernel, self.stride) {
            (3, 1) => self.channels::<S, 3, 1>(simd),
            (3, 2) => self.channels::<S, 3, 2>(simd),
            (5, 1) => self.channels::<S, 5, 1>(simd),
            (5, 2) => self.channels::<S, 5, 2>(simd),
            _ => {}
        }
    }

    #[inline(always)]
    fn channels<S: Simd, const KERNEL: usize, const STRIDE: usize>(&mut self, simd: S) {
        let lanes = S::F32_LANES;
        let end = self.channels;
        let mut at = 0;
        // Two vectors of sums, of weights and of the input take 28 registers. As constants, conditions keep loops that never
        // run from being compiled.
        if const { S::REGISTER_COUNT >= 32 } {
            while end - at >= 2 * lanes {
                self.whole::<S, KERNEL, STRIDE, 2>(simd, at);
                at += 2 * lanes;
            }
        }
        while end - at >= lanes {
            self.whole::<S, KERNEL, STRIDE, 1>(simd, at);
            at += lanes;
        }
        if const { S::F32_LANES > 1 } && at < end {
            self.rest::<S, KERNEL, STRIDE>(simd, at, end - at);
        }
    }

    /// All strips, of the channels of some vectors that begin with `first`.
    #[inline(always)]
    fn whole<S: Simd, const KERNEL: usize, const STRIDE: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        first: usize,
    ) {
        let none = [simd.splat_f32s(0.0); VECTORS];
        for strip in self.strips {
            let load = |values: &[f32], at: usize| -> [S::f32s; VECTORS] {
                let vectors = S::as_simd_f32s(&values[at..at + VECTORS * S::F32_LANES]).0;
                vectors.first_chunk().copied().unwrap_or(none)
            };
            let sums = self.sums::<S, KERNEL, STRIDE, VECTORS>(simd, strip, first, load);
            let sums = self.tail.apply(simd, sums, first);
            for (pixel, sums) in sums.iter().take(strip.pixels).enumerate() {
                let at = strip.out + pixel * self.channels + first;
                let out = &mut self.out[at..at + VECTORS * S::F32_LANES];
                S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
            }
        }
    }

    /// All strips, of the `len` channels behind the last whole vector.
    #[inline(always)]
    fn rest<S: Simd, const KERNEL: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        first: usize,
        len: usize,
    ) {
        for strip in self.strips {
            let load = |values: &[f32], at: usize| [simd.partial_load_f32s(&values[at..at + len])];
            let sums = self.sums::<S, KERNEL, STRIDE, 1>(simd, strip, first, load);
            let sums = self.tail.apply(simd, sums, first);
            for (pixel, &[sum]) in sums.iter().take(strip.pixels).enumerate() {
                let at = strip.out + pixel * self.channels + first;
                simd.partial_store_f32s(&mut self.out[at..at + len], sum);
            }
        }
    }

    /// The sums of a strip; those of pixels that it does not have are meaningless.
    #[inline(always)]
    fn sums<S: Simd, const KERNEL: usize, const STRIDE: usize, const VECTORS: usize>(
        &self,
        simd: S,
        strip: &Strip,
        first: usize,
        load: impl Fn(&[f32], usize) -> [S::f32s; VECTORS],
    ) -> [[S::f32s; VECTORS]; MOST_PIXELS] {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; MOST_PIXELS];
        let Range { start, end } = strip.columns;
        let mut at = strip.input + first;
        for line in strip.lines.clone() {
            let mut weights = [[simd.splat_f32s(0.0); VECTORS]; KERNEL];
            for (tap, weights) in weights.iter_mut().enumerate() {
                *weights = load(self.weights, (line * KERNEL + tap) * self.channels + first);
            }
            let row = &self.input[at..];
            macro_rules! column {
                ($column:literal) => {
                    if $column < (MOST_PIXELS - 1) * STRIDE + KERNEL
                        && (start..end).contains(&$column)
                    {
                        let x = load(row, ($column - start) * self.channels);
                        for tap in 0..KERNEL.min($column + 1) {
                            let pixel = ($column - tap) / STRIDE;
                            if ($column - tap) % STRIDE == 0 && pixel < MOST_PIXELS {
                                for vector in 0..VECTORS {
                                    let sum = &mut sums[pixel][vector];
                                    *sum =
                                        multiply_add(simd, x[vector], weights[tap][vector], *sum);
                                }
                            }
                        }
                    }
                };
            }
            for_columns!(column, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
            at += self.line_step;
        }
        sums
    }
}

const _: () = assert!(MOST_COLUMNS == (MOST_PIXELS - 1) * 2 + 5);
