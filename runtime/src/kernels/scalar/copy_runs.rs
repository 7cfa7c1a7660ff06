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

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, values};
    use super::*;

    #[test]
    fn inputs_interleave() {
        let y = cells(&[0; 6]);
        copy_runs(
            &CopyParams {
                run: 1,
                start: 0,
                row: 3,
            },
            &cells(&[1, 2]),
            &y,
        );
        copy_runs(
            &CopyParams {
                run: 2,
                start: 1,
                row: 3,
            },
            &cells(&[3, 4, 5, 6]),
            &y,
        );
        assert_eq!(values(&y), [1, 3, 4, 2, 5, 6]);
        // In its place already.
        copy_runs(
            &CopyParams {
                run: 2,
                start: 4,
                row: 6,
            },
            &y[4..],
            &y,
        );
        assert_eq!(values(&y), [1, 3, 4, 2, 5, 6]);
    }
}
