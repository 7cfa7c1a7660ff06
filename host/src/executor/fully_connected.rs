//! Fully connected layer: one dot product per output.
//!
//! Not a matrix product: with one sample there is nothing to reuse but the input, and a sum that does not depend on how many
//! samples come together makes a sample's result its own.

use pulp::{Arch, Simd, WithSimd};

use crate::graph::Linear;

use super::epilogue::Epilogue;
use super::tiles;

/// Partial sums of a dot product: element `i` goes to sum `i % LANES`, for any width of the machine's vectors.
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
            &|sample, tile, out| {
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
        let (quads, singles) = self.out.as_chunks_mut::<ROWS>();
        let (quad_weights, single_weights) = self.weights.split_at(quads.len() * ROWS * inputs);
        for (out, rows) in quads
            .iter_mut()
            .zip(quad_weights.chunks_exact(ROWS * inputs))
        {
            *out = four_dots(self.input, rows);
        }
        for (out, row) in singles.iter_mut().zip(single_weights.chunks_exact(inputs)) {
            *out = dot(self.input, row);
        }
    }
}

type Lanes = [f32; LANES];

#[inline(always)]
fn accumulate(sums: &mut Lanes, x: &Lanes, w: &Lanes) {
    for lane in 0..LANES {
        sums[lane] += x[lane] * w[lane];
    }
}

/// Remainder after the last whole block, and the sum of all lanes.
#[inline(always)]
fn finish(mut sums: Lanes, x: &[f32], w: &[f32]) -> f32 {
    for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
        *sum += x * w;
    }
    sums.iter().sum()
}

/// Dot product of `input` with one row.
#[inline(always)]
fn dot(input: &[f32], row: &[f32]) -> f32 {
    let (x, x_tail) = input.as_chunks::<LANES>();
    let (w, w_tail) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, w) in x.iter().zip(w) {
        accumulate(&mut sums, x, w);
    }
    finish(sums, x_tail, w_tail)
}

/// [`dot`] with each of four consecutive rows; four named sums, as an array of them would be kept in memory.
#[inline(always)]
fn four_dots(input: &[f32], rows: &[f32]) -> [f32; ROWS] {
    let row = |index: usize| rows[index * input.len()..][..input.len()].as_chunks::<LANES>();
    let (x, x_tail) = input.as_chunks::<LANES>();
    let (a, a_tail) = row(0);
    let (b, b_tail) = row(1);
    let (c, c_tail) = row(2);
    let (d, d_tail) = row(3);
    let mut sum_a = [0.0; LANES];
    let mut sum_b = [0.0; LANES];
    let mut sum_c = [0.0; LANES];
    let mut sum_d = [0.0; LANES];
    for ((((x, a), b), c), d) in x.iter().zip(a).zip(b).zip(c).zip(d) {
        accumulate(&mut sum_a, x, a);
        accumulate(&mut sum_b, x, b);
        accumulate(&mut sum_c, x, c);
        accumulate(&mut sum_d, x, d);
    }
    [
        finish(sum_a, x_tail, a_tail),
        finish(sum_b, x_tail, b_tail),
        finish(sum_c, x_tail, c_tail),
        finish(sum_d, x_tail, d_tail),
    ]
}
