//! Softmax whose output has a scale of its own, equation (20).

use super::super::params::split_rows;
use core::cell::Cell;

/// Computes `output` from `input`, rows of `channels` values each, in units of `1 / steps`; the two may be the same place.
pub(in super::super) fn scaled_softmax(
    table: &[i32; 256],
    steps: u32,
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
        let sum = u64::from(x.iter().map(weight).sum::<u32>());
        // At most 2^19 steps, and S >= 2^20: the quotient is at most 2^31, and a product below 2^52.
        let factor = ((u64::from(steps) << 32) + sum / 2)
            .checked_div(sum)
            .unwrap_or(0);
        for (y, x) in y.iter().zip(x) {
            let rounded = (u64::from(weight(x)) * factor + (1 << 31)) >> 32;
            let [byte, ..] = rounded.min(255).to_le_bytes();
            y.set(i8::from_le_bytes([byte ^ 0x80]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, outputs, values};
    use super::*;

    const FLAT: [i32; 256] = [1 << 20; 256];

    #[test]
    fn rows_are_shared_out_in_steps() {
        // Four equal values are 1/4 each: 257 / 4 = 64.25, 1000 / 4 = 250, and 1024 / 4 = 256 saturates.
        for (steps, expected) in [(257, 64), (1000, 250), (1020, 255), (1024, 255)] {
            assert_eq!(
                outputs(4, |y| scaled_softmax(&FLAT, steps, 4, &cells(&[3; 4]), y)),
                [(expected - 128) as i8; 4],
                "{steps}"
            );
        }
        // Two rows: 2/3 and 1/3 of 300 steps, and 1/2 each.
        let mut halves = [0; 256];
        (halves[0], halves[1]) = (1 << 20, 1 << 19);
        let x = cells(&[9, 8, -128, -128]);
        scaled_softmax(&halves, 300, 2, &x, &x);
        assert_eq!(
            values(&x),
            [200, 100, 150, 150].map(|y: i32| (y - 128) as i8)
        );
    }

    #[test]
    fn the_limits_do_not_overflow() {
        let x = cells(&[0; 2047]);
        // 2^19 / 2047 = 256.1 saturates, 2^18 / 2047 = 128.06.
        for (steps, expected) in [(1 << 19, 127), (1 << 18, 0)] {
            assert_eq!(
                outputs(2047, |y| scaled_softmax(&FLAT, steps, 2047, &x, y)),
                [expected; 2047]
            );
        }
        // S = 2^20, the largest factor.
        let mut one = [0; 256];
        one[0] = 1 << 20;
        assert_eq!(
            outputs(2, |y| scaled_softmax(&one, 1 << 19, 2, &cells(&[5, 4]), y)),
            [127, -128]
        );
    }
}
