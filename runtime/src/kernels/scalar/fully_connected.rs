//! Matrix times vector, equation (9).

use super::super::params::FullyConnectedParams;
use super::weights::{Int4, Int8, Row};
use crate::format::program::WeightType;
use core::cell::Cell;

/// Computes `output` from `input`; see [`FullyConnectedParams`]. The two do not overlap.
pub(in super::super) fn fully_connected(
    p: &FullyConnectedParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    match p.weight_type {
        WeightType::Int8 => multiply::<Int8<'_>>(p, input, output),
        WeightType::Int4 => multiply::<Int4<'_>>(p, input, output),
    }
}

fn multiply<'a, R: Row<'a>>(p: &FullyConnectedParams<'a>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    for ((o, y), bias) in output.iter().enumerate().zip(p.bias) {
        let acc = bias + R::of(p.weights, o, input.len()).dot(0, input);
        y.set(p.stage.requantizer(o, o).requantize(acc));
    }
}
