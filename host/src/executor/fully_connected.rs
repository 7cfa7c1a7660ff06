//! Fully connected layer: one dot product an output.
//!
//! Not a matrix product: with one sample there is nothing to reuse but the input, and a sum that does not depend on how many
//! samples come together makes a sample's result its own.

use pulp::{Arch, Simd, WithSimd};

use crate::graph::Linear;

use super::epilogue::Epilogue;
use super::tiles;

/// Partial sums of a dot product: element `i` goes to sum `i % LANES`, whatever the width of the machine's vectors.
const LANES: usize = 16;

/// Outputs that share the loads of the input.
const ROWS: usize = 4;

/// Multiply-accumulates of a tile.
const TILE_MACS: usize = 1 << 15;

/// A fully connected layer.
#[derive(Clone, Debug)]
pub(super) struct FullyConnected<'g> {
    weights: &'g [f32],
    inputs: usize,
    outputs: usize,
    /// Outputs in a tile.
    tile: usize,
}

impl<'g> FullyConnected<'g> {
    pub(super) fn new(linear: &'g Linear) -> Self {
        let inputs = linear.weights_per_channel();
        let outputs = linear.out_channels;
        FullyConnected {
            weights: &linear.weights,
            inputs,
            outputs,
            tile: tiles::rows(outputs, inputs, TILE_MACS).next_multiple_of(ROWS),
        }
    }

    pub(super) fn run(&self, input: &[f32], output: &mut [f32], epilogue: &Epilogue) {
        let cost = output.len() * self.inputs;
        tiles::for_each(
            output,
            self.outputs,
            self.tile,
            cost,
            |sample, tile, out| {
                let first = tile * self.tile;
                Arch::new().dispatch(Dots {
                    input: &input[sample * self.inputs..][..self.inputs],
                    weights: &self.weights[first * self.inputs..],
                    out,
                });
                let len = out.len();
                epilogue.apply(out, first, len);
            },
        );
    }
}

/// `out[i]` becomes the dot product of `input` and row `i` of `weights`.
struct Dots<'a> {
    input: &'a [f32],
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let inputs = self.input.len();
        let mut blocks = self.out.chunks_exact_mut(ROWS);
        let mut weights = self.weights;
        for out in &mut blocks {
            let (rows, rest) = weights.split_at(ROWS * inputs);
            out.copy_from_slice(&dots::<ROWS>(self.input, rows));
            weights = rest;
        }
        for out in blocks.into_remainder() {
            let (row, rest) = weights.split_at(inputs);
            [*out] = dots::<1>(self.input, row);
            weights = rest;
        }
    }
}

/// Dot products of `input` with `N` consecutive rows.
#[inline(always)]
fn dots<const N: usize>(input: &[f32], rows: &[f32]) -> [f32; N] {
    let mut sums = [[0.0f32; LANES]; N];
    let (blocks, tail) = input.as_chunks::<LANES>();
    let rows: [&[f32]; N] = std::array::from_fn(|n| &rows[n * input.len()..][..input.len()]);
    let row_blocks: [&[[f32; LANES]]; N] =
        std::array::from_fn(|n| &rows[n].as_chunks::<LANES>().0[..blocks.len()]);
    for (index, x) in blocks.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(&row_blocks) {
            for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(&row[index]) {
                *sum += x * w;
            }
        }
    }
    let start = input.len() - tail.len();
    for (sums, row) in sums.iter_mut().zip(&rows) {
        for ((sum, &x), &w) in sums.iter_mut().zip(tail).zip(&row[start..]) {
            *sum += x * w;
        }
    }
    sums.map(|sums| sums.iter().sum())
}
