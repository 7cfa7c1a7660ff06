//! Dense sums of products: the inner loops of convolutions.
//!
//! A block of output pixels and channels stays in registers while the kernel goes through the whole window, and reads the input
//! where it lies: no matrix of windows is gathered, and no operand is packed but the weights, once. Every sum goes through its
//! products in the order of the weights, alone, each added in one rounding, so that neither tiles nor vectors nor processors change it.
//! Bias, BatchNorm and clamp follow before it is stored.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::aligned::Aligned;
use super::epilogue::Tail;
use super::fused::multiply_add;
use super::tiles;

/// Vectors of output channels in a panel, at most: with [`most_rows`], as many sums as registers hold beside the operands.
const MOST_VECTORS: usize = 3;

/// Output pixels that share the loads of a panel's weights, at most: few where there are few registers, and enough that one
/// sum need not wait for its last product.
const fn most_rows(vectors: usize, registers: usize) -> usize {
    match (vectors, registers >= 32) {
        (1, _) | (2, true) => MOST_ROWS,
        (2, false) => 6,
        (_, true) => 8,
        (_, false) => 4,
    }
}

/// The most of [`most_rows`].
const MOST_ROWS: usize = 12;

/// Weights of one group as the kernel reads them: panels of a few vectors of output channels, each `[depth][channels of the panel]`,
/// zeros behind the last channel.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    values: Aligned,
    depth: usize,
    columns: usize,
    /// Width of the vectors for which the weights were laid out.
    lanes: usize,
}

impl Panels {
    /// `rows` has the weights of one output channel after the other, `depth` of each.
    pub(super) fn new(rows: &[f32], depth: usize) -> Self {
        let columns = rows.len() / depth;
        Panels::for_lanes(machine_lanes(), columns, depth, |first, width, panel| {
            for (column, row) in rows.chunks_exact(depth).skip(first).take(width).enumerate() {
                for (weights, &weight) in panel.chunks_exact_mut(width).zip(row) {
                    weights[column] = weight;
                }
            }
        })
    }

    /// `matrix` has the weights of all output channels for one product after the other: `[depth][columns]`.
    pub(super) fn of_matrix(matrix: &[f32], columns: usize) -> Self {
        Panels::of_matrix_for_lanes(machine_lanes(), matrix, columns)
    }

    fn of_matrix_for_lanes(lanes: usize, matrix: &[f32], columns: usize) -> Self {
        let depth = matrix.len() / columns;
        Panels::for_lanes(lanes, columns, depth, |first, width, panel| {
            let last = columns.min(first + width);
            let rows = matrix.chunks_exact(columns);
            for (weights, row) in panel.chunks_exact_mut(width).zip(rows) {
                weights[..last - first].copy_from_slice(&row[first..last]);
            }
        })
    }

    /// `fill(first, width, panel)` writes the panel of the channels `first..first + width`.
    fn for_lanes(
        lanes: usize,
        columns: usize,
        depth: usize,
        fill: impl Fn(usize, usize, &mut [f32]),
    ) -> Self {
        let mut values = Aligned::zeros(columns.div_ceil(lanes) * lanes * depth);
        for (first, vectors) in panels(columns, lanes) {
            let width = vectors * lanes;
            fill(first, width, &mut values[first * depth..][..width * depth]);
        }
        Panels {
            values,
            depth,
            columns,
            lanes,
        }
    }
}

impl Panels {
    /// Cuts the columns into at most `most` ranges of whole panels, which only differ by one panel.
    pub(super) fn parts(&self, most: usize) -> impl Iterator<Item = Range<usize>> {
        let starts: Vec<usize> = panels(self.columns, self.lanes)
            .map(|(first, _)| first)
            .collect();
        let most = starts.len().div_ceil(most);
        let start = move |panel: usize| starts.get(panel).copied().unwrap_or(self.columns);
        tiles::even_parts(panels(self.columns, self.lanes).count(), most)
            .map(move |part| start(part.start)..start(part.end))
    }
}

/// First channel and vectors of every panel. Pairs of vectors need the fewest loads of weights; one panel of three takes an odd
/// vector, which alone would leave the multipliers idle.
fn panels(columns: usize, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = columns.div_ceil(lanes);
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = vectors - first / lanes;
        let width = match left {
            0 => return None,
            1 => 1,
            odd if odd % 2 == 1 => MOST_VECTORS,
            _ => 2,
        };
        let panel = (first, width);
        first += width * lanes;
        Some(panel)
    })
}

/// Numbers in the machine's vectors.
fn machine_lanes() -> usize {
    Arch::new().dispatch(Lanes)
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Output pixels of one group: pixel `i` is at `out[i]` and sums, over all `runs`, the products of
/// `source[bases[i] + run..][..run_len]` with the weights.
pub(super) struct Products<'a, 'o> {
    pub(super) source: &'a [f32],
    pub(super) bases: &'a [usize],
    pub(super) runs: &'a [usize],
    pub(super) run_len: usize,
    pub(super) panels: &'a Panels,
    /// The columns that are wanted; others of the same panels may be written too, where `out` has them.
    pub(super) wanted: Range<usize>,
    /// Function applied to each sum.
    pub(super) tail: Tail<'a>,
    /// Columns of each pixel, beginning with column `origin`.
    pub(super) out: &'a mut [&'o mut [f32]],
    pub(super) origin: usize,
}

impl Products<'_, '_> {
    pub(super) fn run(self) {
        debug_assert_eq!(self.runs.len() * self.run_len, self.panels.depth);
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Products<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Panels {
            columns,
            lanes,
            depth,
            ref values,
        } = *self.panels;
        assert_eq!(lanes, S::F32_LANES, "weights laid out for other vectors");
        for (first, vectors) in panels(columns, lanes) {
            if first + vectors * lanes <= self.wanted.start || first >= self.wanted.end {
                continue;
            }
            let weights = &values[first * depth..][..vectors * lanes * depth];
            let weights = S::as_simd_f32s(weights).0;
            let most = most_rows(vectors, S::REGISTER_COUNT);
            for rows in tiles::even_parts(self.bases.len(), most) {
                match vectors {
                    1 => self.rows::<S, 1>(simd, rows, weights, first),
                    2 => self.rows::<S, 2>(simd, rows, weights, first),
                    _ => self.rows::<S, MOST_VECTORS>(simd, rows, weights, first),
                }
            }
        }
    }
}

/// The block with as many rows as there are, of those that there may be; others are not compiled, as the conditions are constants.
macro_rules! block {
    ($products:ident.block($simd:ident, $rows:ident, $weights:ident, $first:ident), $($count:literal)*) => {
        match $rows.len() {
            $($count if const { $count <= most_rows(VECTORS, S::REGISTER_COUNT) } => {
                $products.block::<S, $count, VECTORS>($simd, $rows.start, $weights, $first);
            })*
            _ => {}
        }
    };
}

impl Products<'_, '_> {
    /// The block of the pixels `rows` and the panel whose first channel is `first`.
    #[inline(always)]
    fn rows<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        rows: Range<usize>,
        weights: &[S::f32s],
        first: usize,
    ) {
        let weights = weights.as_chunks::<VECTORS>().0;
        block!(self.block(simd, rows, weights, first), 1 2 3 4 5 6 7 8 9 10 11 12);
    }

    #[inline(always)]
    fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        weights: &[[S::f32s; VECTORS]],
        first: usize,
    ) {
        let Some(bases) = self.bases[row..].first_chunk::<ROWS>() else {
            return;
        };
        let len = self.run_len;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (&run, weights) in self.runs.iter().zip(weights.chunks_exact(len)) {
            let mut sources: [&[f32]; ROWS] = [&[]; ROWS];
            for (source, base) in sources.iter_mut().zip(bases) {
                *source = &self.source[base + run..][..len];
            }
            for k in 0..len {
                let weights = weights[k];
                for row in 0..ROWS {
                    let x = simd.splat_f32s(sources[row][k]);
                    for vector in 0..VECTORS {
                        let sum = &mut sums[row][vector];
                        *sum = multiply_add(simd, x, weights[vector], *sum);
                    }
                }
            }
        }
        let sums = self.tail.apply(simd, sums, first);
        let columns = self.panels.columns - first;
        for (out, sums) in self.out[row..].iter_mut().zip(&sums) {
            let out = &mut out[first - self.origin..];
            if columns >= VECTORS * S::F32_LANES {
                let out = &mut out[..VECTORS * S::F32_LANES];
                S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
            } else {
                for (out, &sum) in out[..columns].chunks_mut(S::F32_LANES).zip(sums) {
                    simd.partial_store_f32s(out, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Sequence;
    use pulp::{Scalar, Scalar128b, Scalar256b, Scalar512b};

    /// `lhs * rhs` with the vectors of `simd`.
    fn product<S: Simd>(
        simd: S,
        lhs: &[f32],
        rhs: &[f32],
        columns: usize,
        from: usize,
    ) -> Vec<f32> {
        let panels = Panels::of_matrix_for_lanes(S::F32_LANES, rhs, columns);
        let rows = lhs.len() / panels.depth;
        let bases: Vec<usize> = (0..rows).map(|row| row * panels.depth).collect();
        let mut out = vec![f32::NAN; rows * columns];
        let mut lines: Vec<_> = out.chunks_mut(columns).collect();
        Products {
            source: lhs,
            bases: &bases,
            runs: &[0],
            run_len: panels.depth,
            panels: &panels,
            wanted: from..columns,
            tail: Tail::default(),
            out: &mut lines,
            origin: 0,
        }
        .with_simd(simd);
        out
    }

    #[test]
    fn no_vector_changes_a_bit() {
        let mut random = Sequence::new(5);
        let shapes = [
            (1, 1, 1),
            (7, 3, 5),
            (6, 200, 16),
            (13, 65, 49),
            (5, 17, 97),
        ];
        for (rows, depth, columns) in shapes {
            let mut numbers = |count: usize| -> Vec<f32> {
                let each = |_| (random.unit() - 0.5) * libm::exp2f(random.unit() * 40.0 - 20.0);
                (0..count).map(each).collect()
            };
            let (lhs, rhs) = (numbers(rows * depth), numbers(depth * columns));
            let expected: Vec<u32> = (0..rows * columns)
                .map(|place| {
                    let (row, column) = (place / columns, place % columns);
                    let add = |sum: f32, k: usize| {
                        lhs[row * depth + k].mul_add(rhs[k * columns + column], sum)
                    };
                    (0..depth).fold(0.0, add).to_bits()
                })
                .collect();
            let found = [
                product(Scalar, &lhs, &rhs, columns, 0),
                product(Scalar128b, &lhs, &rhs, columns, 0),
                product(Scalar256b, &lhs, &rhs, columns, 0),
                product(Scalar512b, &lhs, &rhs, columns, 0),
            ];
            for found in found {
                let found: Vec<u32> = found.iter().map(|value| value.to_bits()).collect();
                assert_eq!(found, expected, "{rows} x {depth} x {columns}");
            }
            // The columns that are wanted are the same without those before them.
            let from = columns / 2;
            let part = product(Scalar256b, &lhs, &rhs, columns, from);
            for (place, value) in part.iter().enumerate() {
                if place % columns >= from {
                    assert_eq!(value.to_bits(), expected[place]);
                }
            }
        }
    }
}
