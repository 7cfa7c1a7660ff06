//! One input of a concat, equation (17).

use super::super::params::{CopyParams, split_rows};
use core::cell::Cell;

/// Copies run number `i` of `input` into row number `i` of `output`. Cells that are already in their place keep their value.
pub(in super::super) fn copy_runs(p: &CopyParams, input: &[Cell<i8>], output: &[Cell<i8>]) {
    let rows = split_rows(output, p.row);
    for (row, run) in rows.zip(split_rows(input, p.run)) {
        for (y, x) in row.get(p.start..).unwrap_or_default().iter().zip(run) {
            y.set(x.get());
        }
    }
}
