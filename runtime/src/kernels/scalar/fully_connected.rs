//! Matrix times vector, equation (9).

use super::super::params::FullyConnectedParams;
use super::weights::{Int4, Int8, Row, channels};
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
        // Of another family, to which the loader gives them.
        WeightType::PairedInt8 | WeightType::PairedInt4 => {}
    }
}

fn multiply<'a, R: Row<'a>>(p: &FullyConnectedParams<'a>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    channels::<R>(p.weights, p.bias, &p.stage, input, output);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, cells, outputs, unit};
    use super::*;

    #[test]
    fn rows_times_a_vector() {
        let p = FullyConnectedParams {
            weight_type: WeightType::Int8,
            weights: &[1, 2, 3, -1, 0, 1],
            bias: &[10, 20],
            stage: unit(&[ONE, ONE / 2]),
            scratch: &[],
        };
        let x = cells(&[4, 5, 7]);
        // 4 + 10 + 21 + 10, and (-4 + 7 + 20) / 2 rounded up from 11.5.
        assert_eq!(outputs(2, |y| fully_connected(&p, &x, y)), [45, 12]);
        // The same rows of three nibbles each, on two bytes.
        let p = FullyConnectedParams {
            weight_type: WeightType::Int4,
            weights: &[0x21, 0x03, 0x0F, 0x01],
            ..p
        };
        assert_eq!(outputs(2, |y| fully_connected(&p, &x, y)), [45, 12]);
    }
}
