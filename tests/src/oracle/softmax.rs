//! Sections 7 and 9: equations (15) and (20).
//!
//! Each row of channels on its own.

use super::{Activation, Sections};
use fewbit_runtime::format::place::ParamIndex;
use fewbit_runtime::format::program::{ScaledSoftmax, Softmax};

/// Each row's outputs, by what `outputs` makes of its table entries and their sum.
fn rows(
    table: ParamIndex,
    x: &Activation,
    s: &Sections,
    outputs: impl Fn(i128, i128) -> i128,
) -> Vec<i8> {
    assert!(x.c <= 2047, "{} channels", x.c);
    assert_eq!(s.param(table, 0), 2_i128.pow(20), "table[0]");
    let mut out = Vec::new();
    for y in 0..x.h {
        for column in 0..x.w {
            let row: Vec<i128> = (0..x.c).map(|k| x.at(y, column, k)).collect();
            let largest = *row.iter().max().expect("a row is not empty");
            let terms: Vec<i128> = row
                .iter()
                .map(|x_k| s.param(table, (largest - x_k) as usize))
                .collect();
            let sum: i128 = terms.iter().sum();
            assert!(2_i128.pow(20) <= sum && sum < 2_i128.pow(31), "S = {sum}");
            for term in terms {
                out.push(outputs(term, sum).min(127) as i8);
            }
        }
    }
    out
}

/// Equation (15).
pub(super) fn softmax(op: &Softmax, x: &Activation, s: &Sections) -> Vec<i8> {
    rows(op.table, x, s, |term, sum| {
        (256 * term + sum / 2).div_euclid(sum) - 128
    })
}

/// Equation (20), and that what it rounds is within 2^-13 of the exact quotient.
pub(super) fn scaled_softmax(op: &ScaledSoftmax, x: &Activation, s: &Sections) -> Vec<i8> {
    let steps = i128::from(op.steps);
    assert!((257..=2_i128.pow(19)).contains(&steps), "{steps} steps");
    rows(op.table, x, s, |term, sum| {
        let unit = 2_i128.pow(32);
        let factor = (steps * unit + sum / 2).div_euclid(sum);
        // |term * factor / 2^32 - steps * term / sum| <= 2^-13, times 2^32 * sum.
        let difference = (term * factor * sum - steps * term * unit).abs();
        assert!(
            difference <= unit / 8192 * sum,
            "{term} of {sum}, {steps} steps"
        );
        (term * factor + unit / 2).div_euclid(unit) - 128
    })
}
