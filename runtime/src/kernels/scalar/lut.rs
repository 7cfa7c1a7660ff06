//! Any function of one variable by table, equation (14).

use core::cell::Cell;

/// Computes `output` from `input`; the two may be the same place.
pub(in super::super) fn lut(table: &[i8; 256], input: &[Cell<i8>], output: &[Cell<i8>]) {
    for (y, x) in output.iter().zip(input) {
        // -128 comes first: flipping the sign bit adds 128.
        let [index] = x.get().to_le_bytes();
        y.set(table.get(usize::from(index ^ 0x80)).copied().unwrap_or(0));
    }
}
