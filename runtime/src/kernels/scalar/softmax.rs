//! Softmax over the channels, equation (15).

use super::super::params::split_rows;
use core::cell::Cell;

/// Computes `output` from `input`, rows of `channels` values each; the two may be the same place.
pub(in super::super) fn softmax(
    table: &[i32; 256],
    channels: usize,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    for (y, x) in split_rows(output, channels).zip(split_rows(input, channels)) {
        let max = x.iter().map(Cell::get).max().unwrap_or(0);
        // Entries are 0..=2^20, at most 2047 are added: S < 2^31; the largest x adds 2^20, so it is not 0 either.
        let weight = |x: &Cell<i8>| {
            let distance = usize::from(max.abs_diff(x.get()));
            table.get(distance).copied().unwrap_or(0).unsigned_abs()
        };
        let sum: u32 = x.iter().map(weight).sum();
        for (y, x) in y.iter().zip(x) {
            // 256 * 2^20 + 2^30 < 2^31.
            let rounded = (256 * weight(x) + sum / 2).checked_div(sum).unwrap_or(0);
            // 0..=256, of which the last has no int8.
            let [byte, ..] = rounded.min(255).to_le_bytes();
            y.set(i8::from_le_bytes([byte ^ 0x80]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, outputs, values};
    use super::*;

    /// Halves with every step of the input.
    fn halving() -> [i32; 256] {
        core::array::from_fn(|d| if d > 20 { 0 } else { (1 << 20) >> d })
    }

    #[test]
    fn rows_are_shared_out() {
        // 1 : 1/2 : 1/2 gives 1/2, 1/4, 1/4; alone gives 1, which saturates; three equal give 85.33 / 256.
        assert_eq!(
            outputs(3, |y| softmax(&halving(), 3, &cells(&[9, 8, 8]), y)),
            [0, -64, -64]
        );
        assert_eq!(
            outputs(2, |y| softmax(&halving(), 1, &cells(&[-128, 127]), y)),
            [127, 127]
        );
        assert_eq!(
            outputs(3, |y| softmax(&halving(), 3, &cells(&[5; 3]), y)),
            [-43; 3]
        );
        assert_eq!(
            outputs(4, |y| softmax(&halving(), 2, &cells(&[127, -128, 3, 3]), y)),
            [127, -128, 0, 0]
        );
    }

    #[test]
    fn the_longest_row_does_not_overflow() {
        let x = cells(&[0; 2047]);
        // 256 / 2047 rounds to 0.
        assert_eq!(
            outputs(2047, |y| softmax(&[1 << 20; 256], 2047, &x, y)),
            [-128; 2047]
        );
    }

    #[test]
    fn it_works_in_place() {
        let x = cells(&[9, 8, 8]);
        softmax(&halving(), 3, &x, &x);
        assert_eq!(values(&x), [0, -64, -64]);
    }
}
