//! Rows of weights: int8, or int4 with two a byte.
//!
//! Kernels are written once over [`Row`]; a row is what starts on a byte: an output channel in OHWI and OI, a tap in 1HWO.

use super::super::params::Stage;
use core::cell::Cell;

/// Output channels that are summed together: a processor with eight registers has room for two.
pub(super) const CHANNELS: usize = if cfg!(fewbit_core = "v6m") { 2 } else { 4 };

/// Requantized outputs of a window, `len` activations behind each other.
#[inline]
pub(super) fn channels<'a, R: Row<'a>>(
    weights: &'a [i8],
    bias: &[i32],
    stage: &Stage<'_>,
    window: &[Cell<i8>],
    outputs: &[Cell<i8>],
) {
    let mut first = 0;
    for block in outputs.chunks(CHANNELS) {
        let rows: [R; CHANNELS] = core::array::from_fn(|side| {
            R::of(weights, (first + side).min(outputs.len() - 1), window.len())
        });
        let sums = R::dots(rows, window);
        for ((y, sum), o) in block.iter().zip(sums).zip(first..) {
            let acc = bias.get(o).copied().unwrap_or(0) + sum;
            y.set(stage.requantizer(o, o).requantize(acc));
        }
        first += CHANNELS;
    }
}

/// A row of weights. Starts and lengths are in weights.
pub(super) trait Row<'a>: Copy {
    /// Row number `index` of rows of `len` weights.
    fn of(weights: &'a [i8], index: usize, len: usize) -> Self;

    /// Sum of the products of `x` with the weights from `start` on.
    fn dot(self, start: usize, x: &[Cell<i8>]) -> i32;

    /// Sums of the products of `x` with the first weights of several rows.
    fn dots<const N: usize>(rows: [Self; N], x: &[Cell<i8>]) -> [i32; N];

    /// Sum of `len` weights from `start` on.
    fn sum(self, start: usize, len: usize) -> i32;

    /// The weights from `start` on; `start` is even. May yield one weight more than the row has.
    fn from(self, start: usize) -> impl Iterator<Item = i32> + 'a;
}

/// One weight a byte.
#[derive(Clone, Copy)]
pub(super) struct Int8<'a>(&'a [i8]);

/// Two weights a byte, the first in the low nibble.
#[derive(Clone, Copy)]
pub(super) struct Int4<'a>(&'a [i8]);

#[inline]
fn product(w: i8, x: &Cell<i8>) -> i32 {
    i32::from(w) * i32::from(x.get())
}

/// `index * len..(index + 1) * len` of the bytes.
#[inline]
fn bytes(weights: &[i8], index: usize, len: usize) -> &[i8] {
    weights
        .get(index * len..index * len + len)
        .unwrap_or_default()
}

impl<'a> Row<'a> for Int8<'a> {
    #[inline]
    fn of(weights: &'a [i8], index: usize, len: usize) -> Self {
        Int8(bytes(weights, index, len))
    }

    #[inline]
    fn dot(self, start: usize, x: &[Cell<i8>]) -> i32 {
        let w = self.0.get(start..).unwrap_or_default();
        w.iter().zip(x).map(|(&w, x)| product(w, x)).sum()
    }

    #[inline]
    fn dots<const N: usize>(rows: [Self; N], x: &[Cell<i8>]) -> [i32; N] {
        let rows = rows.map(|row| row.0.get(..x.len()).unwrap_or_default());
        let mut sums = [0; N];
        if rows.iter().any(|row| row.len() != x.len()) {
            return sums;
        }
        let mut iterators = rows.map(<[i8]>::iter);
        for x in x {
            let x = i32::from(x.get());
            for (sum, row) in sums.iter_mut().zip(&mut iterators) {
                if let Some(&w) = row.next() {
                    *sum += i32::from(w) * x;
                }
            }
        }
        sums
    }

    #[inline]
    fn sum(self, start: usize, len: usize) -> i32 {
        bytes(self.0.get(start..).unwrap_or_default(), 0, len)
            .iter()
            .map(|&w| i32::from(w))
            .sum()
    }

    #[inline]
    fn from(self, start: usize) -> impl Iterator<Item = i32> + 'a {
        self.0
            .get(start..)
            .unwrap_or_default()
            .iter()
            .map(|&w| i32::from(w))
    }
}

/// The first weight of a byte.
#[inline]
fn low(byte: i8) -> i8 {
    (byte << 4) >> 4
}

/// The second weight of a byte.
#[inline]
fn high(byte: i8) -> i8 {
    byte >> 4
}

impl Int4<'_> {
    /// The weight number `at`; 0 behind the end.
    #[inline]
    pub(super) fn at(self, at: usize) -> i32 {
        self.get(at).into()
    }

    /// The weight number `at`; 0 behind the end.
    #[inline]
    fn get(self, at: usize) -> i8 {
        let byte = self.0.get(at / 2).copied().unwrap_or(0);
        if at.is_multiple_of(2) {
            low(byte)
        } else {
            high(byte)
        }
    }
}

impl<'a> Row<'a> for Int4<'a> {
    #[inline]
    fn of(weights: &'a [i8], index: usize, len: usize) -> Self {
        Int4(bytes(weights, index, len.div_ceil(2)))
    }

    #[inline]
    fn dot(self, start: usize, x: &[Cell<i8>]) -> i32 {
        // A run that starts in the middle of a byte: its first weight by itself, then whole bytes.
        let (head, x) = if start % 2 == 1 {
            x.split_at_checked(1).unwrap_or((x, &[]))
        } else {
            (&[][..], x)
        };
        let mut acc: i32 = head.iter().map(|x| product(self.get(start), x)).sum();
        let pairs = x.chunks_exact(2);
        let tail = pairs.remainder();
        let first = start + head.len();
        for (&byte, pair) in self
            .0
            .get(first / 2..)
            .unwrap_or_default()
            .iter()
            .zip(pairs)
        {
            if let [even, odd] = pair {
                acc += product(low(byte), even) + product(high(byte), odd);
            }
        }
        let last = first + x.len() - tail.len();
        acc + tail.iter().map(|x| product(self.get(last), x)).sum::<i32>()
    }

    #[inline]
    fn dots<const N: usize>(rows: [Self; N], x: &[Cell<i8>]) -> [i32; N] {
        let bytes = x.len().div_ceil(2);
        let rows = rows.map(|row| row.0.get(..bytes).unwrap_or_default());
        let mut sums = [0; N];
        if rows.iter().any(|row| row.len() != bytes) {
            return sums;
        }
        let mut iterators = rows.map(<[i8]>::iter);
        let pairs = x.chunks_exact(2);
        let tail = pairs.remainder();
        for pair in pairs {
            let [even, odd] = pair else { continue };
            let (even, odd) = (i32::from(even.get()), i32::from(odd.get()));
            for (sum, row) in sums.iter_mut().zip(&mut iterators) {
                if let Some(&byte) = row.next() {
                    *sum += i32::from(low(byte)) * even + i32::from(high(byte)) * odd;
                }
            }
        }
        for x in tail {
            for (sum, row) in sums.iter_mut().zip(&mut iterators) {
                *sum += row.next().map_or(0, |&byte| product(low(byte), x));
            }
        }
        sums
    }

    #[inline]
    fn sum(self, start: usize, len: usize) -> i32 {
        (start..start + len).map(|at| i32::from(self.get(at))).sum()
    }

    #[inline]
    fn from(self, start: usize) -> impl Iterator<Item = i32> + 'a {
        let bytes = self.0.get(start / 2..).unwrap_or_default();
        bytes
            .iter()
            .flat_map(|&byte| [i32::from(low(byte)), i32::from(high(byte))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::cells;
    use super::*;

    #[test]
    fn int4_runs_start_and_end_anywhere() {
        // Weights -7..=7, packed by hand: two's complement, the first in the low nibble.
        let weights: Vec<i8> = (-7..=7).collect();
        let packed: Vec<i8> = weights
            .chunks(2)
            .map(|w| (w[0] & 15) | (w.get(1).copied().unwrap_or(0) << 4))
            .collect();
        assert_eq!(packed[0], i8::from_le_bytes([0xA9]));
        let x: Vec<i8> = (0..15).map(|i| 60 - 8 * i).collect();
        let row = Int4::of(&packed, 0, 15);
        for start in 0..=15 {
            for len in 0..=15 - start {
                let expected: i32 = (0..len)
                    .map(|i| i32::from(weights[start + i]) * i32::from(x[i]))
                    .sum();
                assert_eq!(row.dot(start, &cells(&x[..len])), expected, "{start} {len}");
                let expected: i32 = weights[start..start + len]
                    .iter()
                    .map(|&w| i32::from(w))
                    .sum();
                assert_eq!(row.sum(start, len), expected, "{start} {len}");
            }
        }
        assert_eq!(
            row.from(4).take(11).collect::<Vec<_>>(),
            (-3..=7).collect::<Vec<_>>()
        );
    }

    #[test]
    fn rows_of_odd_length_start_on_a_byte() {
        let packed = [0x21, 0x03, 0x54, 0x06];
        assert_eq!(
            Int4::of(&packed, 0, 3).from(0).take(3).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(
            Int4::of(&packed, 1, 3).from(0).take(3).collect::<Vec<_>>(),
            [4, 5, 6]
        );
    }
}
