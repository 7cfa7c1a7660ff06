//! Matrix times vector, equation (9).

use super::super::cells::set_int16;
use super::super::params::{FullyConnectedParams, Limits, Stage};
use super::expand::expand;
use super::vector::{STEP_BYTES, Vector, vector};
use crate::parts::{self, Kernels};
use core::cell::Cell;

/// Computes `output` from `input`; see [`FullyConnectedParams`]. The two may overlap: the input is expanded before.
pub(in super::super) fn fully_connected<K: Kernels>(
    p: &FullyConnectedParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    let steps = input.len().div_ceil(8);
    let Some(expanded) = p.scratch.get(..steps * STEP_BYTES) else {
        return;
    };
    let words = input.len() / 4;
    let mut sum = expand(expanded, input, words);
    for place in 4 * words..8 * steps {
        let x = input.get(place).map_or(0, Cell::get);
        sum += 8 * i32::from(x);
        set_int16(
            expanded,
            place / 4 * 4 + place % 2 * 2 + place % 4 / 2,
            x.into(),
        );
    }
    let int4 = parts::is_int4::<K>(p.weight_type);
    let pair_bytes = if int4 { 8 * steps } else { 16 * steps };
    let run = |first: usize,
               channels: usize,
               stage: &Stage<'_>,
               bias: &[i32],
               multipliers: &[i32],
               output: &[Cell<i8>]| {
        vector(&Vector {
            activations: expanded,
            sum,
            weights: p.weights.get(first / 2 * pair_bytes..).unwrap_or_default(),
            int4,
            bias,
            multipliers,
            steps,
            pairs: channels / 2,
            stage,
            first_channel: first,
            output,
        });
    };
    let even = output.len() / 2 * 2;
    if even > 0 {
        run(0, even, &p.stage, p.bias, p.stage.multipliers, output);
    }
    if K::LINKED.has(parts::ODD_CHANNELS) {
        if let Some(last) = output.get(even) {
            let odd = OddChannel::of(&p.stage, p.bias, even);
            let outputs = [const { Cell::new(0) }; 2];
            run(even, 2, &odd.stage, &odd.bias, &odd.multipliers, &outputs);
            last.set(outputs[0].get());
        }
    }
}

/// The last of an odd number of channels, as one of a pair whose other half no one sees.
pub(super) struct OddChannel {
    pub(super) stage: Stage<'static>,
    pub(super) bias: [i32; 2],
    pub(super) multipliers: [i32; 2],
}

impl OddChannel {
    pub(super) fn of(stage: &Stage<'_>, bias: &[i32], channel: usize) -> Self {
        let requantizer = stage.requantizer(channel, channel);
        OddChannel {
            stage: Stage {
                zero_point: stage.zero_point,
                pre_shift: stage.pre_shift,
                multipliers: &[],
                limits: Limits::PerTensor(requantizer.activation_min, requantizer.activation_max),
            },
            bias: [bias.get(channel).copied().unwrap_or(0), 0],
            multipliers: [requantizer.multiplier, 0],
        }
    }
}
