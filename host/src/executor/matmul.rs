//! Matrix product on row-major slices.
//!
//! Each sum goes through its products in their order, as those of convolutions do, so that the result is the same on every processor
//! and for every way to share the work out. Libraries for matrix products cut the sums by sizes of caches and width of vectors.

use super::epilogue::Tail;
use super::products::{Panels, Products};

/// The right operand, laid out for the machine's vectors, for any number of left ones.
#[derive(Clone, Debug)]
pub(crate) struct Right {
    panels: Panels,
    depth: usize,
    columns: usize,
}

/// Rows of a left operand or a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) count: usize,
    /// Elements from row to row.
    pub(crate) stride: usize,
}

impl Right {
    /// Columns of a matrix `[depth][columns]`.
    ///
    /// # Panics
    /// If there are no columns.
    pub(crate) fn new(matrix: &[f32], columns: usize) -> Right {
        Right {
            panels: Panels::of_matrix(matrix, columns),
            depth: matrix.len() / columns,
            columns,
        }
    }

    /// `out = lhs * self`, `out` without gaps between its rows.
    ///
    /// # Panics
    /// If a slice is shorter than its shape.
    pub(crate) fn multiply(&self, lhs: &[f32], rows: Rows, out: &mut [f32]) {
        self.multiply_from(0, lhs, rows, out);
    }

    /// As [`Right::multiply`], but of the columns before `from` any may be left out of the result.
    pub(crate) fn multiply_from(&self, from: usize, lhs: &[f32], rows: Rows, out: &mut [f32]) {
        if self.depth == 0 {
            out[..rows.count * self.columns].fill(0.0);
            return;
        }
        let bases: Vec<usize> = (0..rows.count).map(|row| row * rows.stride).collect();
        let out = &mut out[..rows.count * self.columns];
        let mut out: Vec<_> = out.chunks_exact_mut(self.columns).collect();
        Products {
            source: lhs,
            bases: &bases,
            runs: &[0],
            run_len: self.depth,
            panels: &self.panels,
            wanted: from..self.columns,
            tail: Tail::default(),
            out: &mut out,
            origin: 0,
        }
        .run();
    }
}

/// `out = lhs * rhs` of matrices without gaps, `rows x depth` and `depth x columns`.
pub(crate) fn multiply(lhs: &[f32], rhs: &[f32], columns: usize, out: &mut [f32]) {
    if rhs.is_empty() {
        out.fill(0.0);
        return;
    }
    let depth = rhs.len() / columns;
    let rows = Rows {
        count: lhs.len() / depth,
        stride: depth,
    };
    Right::new(rhs, columns).multiply(lhs, rows, out);
}
