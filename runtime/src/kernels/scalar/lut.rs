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

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, outputs, values};
    use super::*;

    #[test]
    fn entries_start_at_the_smallest_value() {
        let table = core::array::from_fn(|i| (i as i32 - 128) as i8 ^ 0x55);
        let x: Vec<i8> = (-128..=127).collect();
        let expected: Vec<i8> = x.iter().map(|x| x ^ 0x55).collect();
        let cells = cells(&x);
        assert_eq!(outputs(256, |y| lut(&table, &cells, y)), expected);
        lut(&table, &cells, &cells);
        assert_eq!(values(&cells), expected);
    }
}
