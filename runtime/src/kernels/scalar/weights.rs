//! Rows of weights: int8, or int4 with two per byte.
//!
//! Kernels are written once over [`Row`]; a row starts on a byte: an output channel in OHWI and OI, a tap in 1HWO.

use super::super::params::Stage;
use core::cell::Cell;

/// Requantized outputs of a window, `len` activations behind each other.
///
/// Four output channels share a window's activations.
#[inline]
pub(super) fn channels<'a, R: Row<'a>>(
    weights: &'a [i8],
    bias: &[i32],
    stage: &Stage<'_>,
    window: &[Cell<i8>],
    outputs: &[Cell<i8>],
) {
    let row = |o: usize| R::of(weights, o.min(outputs.len() - 1), window.len());
    let put = |y: &Cell<i8>, o: usize, sum: i32| {
        let acc = bias.get(o).copied().unwrap_or(0) + sum;
        y.set(stage.requantizer(o, o).requantize(acc));
    };
    let mut o = 0;
    for block in outputs.chunks(4) {
        let sums = if let [_, _, _, _] = block {
            R::dots4(weights, o, window)
        } else {
            let [a, b] = R::dots2([row(o), row(o + 1)], window);
            let [c, _] = R::dots2([row(o + 2), row(o + 2)], window);
            [a, b, c, 0]
        };
        for (y, sum) in block.iter().zip(sums) {
            put(y, o, sum);
            o += 1;
        }
    }
}

/// A row of weights. Starts and lengths are in weights.
pub(super) trait Row<'a>: Copy {
    /// Row number `index` of rows of `len` weights.
    fn of(weights: &'a [i8], index: usize, len: usize) -> Self;

    /// Sum of the products of `x` with the weights from `start` on.
    fn dot(self, start: usize, x: &[Cell<i8>]) -> i32;

    /// Sums of the products of `x` with the first weights of two rows.
    fn dots2(rows: [Self; 2], x: &[Cell<i8>]) -> [i32; 2];

    /// Sums of the products of `x` with the rows of its length `first..first + 4`.
    fn dots4(weights: &'a [i8], first: usize, x: &[Cell<i8>]) -> [i32; 4];

    /// Sum of `len` weights from `start` on.
    fn sum(self, start: usize, len: usize) -> i32;

    /// The weights from `start` on; `start` is even. May yield one weight more than the row has.
    fn from(self, start: usize) -> impl Iterator<Item = i32> + 'a;
}

/// One weight per byte.
#[derive(Clone, Copy)]
pub(super) struct Int8<'a>(&'a [i8]);

/// Two weights per byte, the first in the low nibble.
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

    // By themselves the loops keep their pointers and sums in registers; zipped slices are not checked at every element.
    #[inline(never)]
    fn dots2([a, b]: [Self; 2], x: &[Cell<i8>]) -> [i32; 2] {
        let (mut p, mut q) = (0, 0);
        for ((x, &a), &b) in x.iter().zip(a.0).zip(b.0) {
            p += product(a, x);
            q += product(b, x);
        }
        [p, q]
    }

    #[cfg(fewbit_core = "v6m")]
    #[inline]
    fn dots4(weights: &'a [i8], first: usize, x: &[Cell<i8>]) -> [i32; 4] {
        super::v6m::dots4(weights.get(first * x.len()..).unwrap_or_default(), x)
    }

    #[cfg(not(fewbit_core = "v6m"))]
    #[inline(never)]
    fn dots4(weights: &'a [i8], first: usize, x: &[Cell<i8>]) -> [i32; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| Self::of(weights, first + row, x.len()));
        let (mut p, mut q, mut r, mut s) = (0, 0, 0, 0);
        for ((((x, &a), &b), &c), &d) in x.iter().zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
            p += product(a, x);
            q += product(b, x);
            r += product(c, x);
            s += product(d, x);
        }
        [p, q, r, s]
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

    #[inline(never)]
    fn dots2([a, b]: [Self; 2], x: &[Cell<i8>]) -> [i32; 2] {
        let (mut p, mut q) = (0, 0);
        let pairs = x.chunks_exact(2);
        if let [x] = pairs.remainder() {
            p =
                a.0.get(pairs.len())
                    .map_or(0, |&byte| product(low(byte), x));
            q =
                b.0.get(pairs.len())
                    .map_or(0, |&byte| product(low(byte), x));
        }
        for ((x, &a), &b) in pairs.zip(a.0).zip(b.0) {
            if let [even, odd] = x {
                p += product(low(a), even) + product(high(a), odd);
                q += product(low(b), even) + product(high(b), odd);
            }
        }
        [p, q]
    }

    #[inline(never)]
    fn dots4(weights: &'a [i8], first: usize, x: &[Cell<i8>]) -> [i32; 4] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| Self::of(weights, first + row, x.len()));
        let [p, q] = Self::dots2([a, b], x);
        let [r, s] = Self::dots2([c, d], x);
        [p, q, r, s]
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
