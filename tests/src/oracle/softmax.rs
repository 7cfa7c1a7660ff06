//! Section 7: equation (15).
//!
//! Each row of channels on its own.

use super::{Activation, Sections};
use fewbit_runtime::format::program::Softmax;

/// Equation (15).
pub(super) fn softmax(op: &Softmax, x: &Activation, s: &Sections) -> Vec<i8> {
    assert!(x.c <= 2047, "{} channels", x.c);
    assert_eq!(s.param(op.table, 0), 2_i128.pow(20), "table[0]");
    let mut out = Vec::new();
    for y in 0..x.h {
        for column in 0..x.w {
            let row: Vec<i128> = (0..x.c).map(|k| x.at(y, column, k)).collect();
            let largest = *row.iter().max().expect("a row is not empty");
            let terms: Vec<i128> = row
                .iter()
                .map(|x_k| s.param(op.table, (largest - x_k) as usize))
                .collect();
            let sum: i128 = terms.iter().sum();
            assert!(2_i128.pow(20) <= sum && sum < 2_i128.pow(31), "S = {sum}");
            for term in terms {
                let y_k = (256 * term + sum / 2).div_euclid(sum) - 128;
                out.push(y_k.min(127) as i8);
            }
        }
    }
    out
}
