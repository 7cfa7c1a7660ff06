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
