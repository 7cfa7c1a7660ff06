//! Matrix times vector, equation (9).

use super::super::params::FullyConnectedParams;
use super::weights::{Int4, Int8, channels};
use crate::parts::{Kernels, is_int4};
use core::cell::Cell;

/// Computes `output` from `input`; see [`FullyConnectedParams`]. The two do not overlap.
pub(in super::super) fn fully_connected<K: Kernels>(
    p: &FullyConnectedParams<'_>,
    input: &[Cell<i8>],
    output: &[Cell<i8>],
) {
    if is_int4::<K>(p.weight_type) {
        int4(p, input, output);
    } else {
        int8(p, input, output);
    }
}

// Compiled with this crate, whatever the settings of the one that runs a model.
#[inline(never)]
fn int8(p: &FullyConnectedParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    channels::<Int8<'_>>(p.weights, p.bias, &p.stage, input, output);
}

#[inline(never)]
fn int4(p: &FullyConnectedParams<'_>, input: &[Cell<i8>], output: &[Cell<i8>]) {
    channels::<Int4<'_>>(p.weights, p.bias, &p.stage, input, output);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ONE, cells, outputs, unit};
    use super::*;
    use crate::format::program::WeightType;
    use crate::parts::AllKernels;

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
        assert_eq!(
            outputs(2, |y| fully_connected::<AllKernels>(&p, &x, y)),
            [45, 12]
        );
        // The same rows of three nibbles each, on two bytes.
        let p = FullyConnectedParams {
            weight_type: WeightType::Int4,
            weights: &[0x21, 0x03, 0x0F, 0x01],
            ..p
        };
        assert_eq!(
            outputs(2, |y| fully_connected::<AllKernels>(&p, &x, y)),
            [45, 12]
        );
    }
}
