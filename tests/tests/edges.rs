//! Every operator at the edge of its bound, and the first layer beyond.
//!
//! | operator | bound | at the edge | beyond |
//! |---|---|---|---|
//! | conv_2d, depthwise_conv_2d, fully_connected | (5): `(K * w_max * 128 + bias) * 2^pre_shift < 2^31` | accumulators of 2^31 - 1 of either sign, INT8 and INT4, inputs -128 and 127, shifts 0, 1, 4, 8, the largest K | a bias one larger, a K one step larger, weights of -128, a multiplier of -1 |
//! | average_pool | (5) with `K * 2 * 128` | 255 inputs with shift 15, 8,386,560 without | 256 with shift 15, 2^23 without |
//! | add | (12): multipliers up to 32767, shifts 1 to 22 | all pairs of inputs with every sign of extreme multipliers and zero points | multipliers of -32768, shifts 0 and 23 |
//! | mul | (13): `255^2 * 2^pre_shift < 2^31` | all pairs of inputs, extreme zero points, shift 15 | shift 16 |
//! | softmax | (15): at most 2047 values a row, entries up to 2^20 | a sum of 2047 * 2^20 | 2048 values, entries of 2^20 + 1 and -1 |
//! | scaled_softmax | (20): the same, 257 to 2^19 steps | a quotient of 2^31 | 256 and 2^19 + 1 steps |
//! | lut | (14): an index of `x + 128` | every input | none: every byte is an index |
//! | concat, pad, reshape | sums and products of 16-bit dimensions | no arithmetic on values | sums that 16 bits would lose |
//! | max_pool | a range that is not empty | no arithmetic on values | an empty one |
//!
//! Each edge is compared byte for byte with the oracle's 128-bit integers, in every kernel family on the host; the
//! suite `edges_on_boards` does the same on emulated boards.

use fewbit_runtime::Model;
use fewbit_runtime::format::family::Family;
use fewbit_tests::edges::{Beyond, Edge, beyond, edges};
use fewbit_tests::layer::{MAX_OPS, MAX_TENSORS};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Every operator but those that move bytes only.
const COMPUTING: [&str; 11] = [
    "add",
    "average_pool",
    "conv_2d",
    "depthwise_conv_2d",
    "fully_connected",
    "lut",
    "max",
    "min",
    "mul",
    "scaled_softmax",
    "softmax",
];

fn compare(edge: &Edge) -> Result<(), String> {
    let Edge {
        operator,
        what,
        layer,
        largest_t,
        ..
    } = edge;
    let (expected, trace) = layer.expected();
    if trace.largest_t != *largest_t {
        let met = trace.largest_t;
        return Err(format!(
            "{operator}, {what}: |t| is {met} and not {largest_t}"
        ));
    }
    for packing in Family::ALL {
        let packed = match packing {
            Family::Scalar => layer.clone(),
            _ => layer.packed_for(packing),
        };
        let family = packing.name();
        let found = packed
            .run()
            .map_err(|error| format!("{operator}, {what}, {family}: {error}"))?;
        if found != expected {
            return Err(format!(
                "{operator}, {what}, {family}: {:?} and not {:?}",
                &found[0][..found[0].len().min(8)],
                &expected[0][..expected[0].len().min(8)]
            ));
        }
    }
    Ok(())
}

#[test]
fn layers_at_the_edge_equal_the_oracle_in_every_family() {
    let edges = edges();
    let operators: BTreeSet<&str> = edges.iter().map(|edge| edge.operator).collect();
    assert_eq!(operators.into_iter().collect::<Vec<_>>(), COMPUTING);
    let failures: Vec<String> = edges
        .par_iter()
        .filter_map(|edge| compare(edge).err())
        .collect();
    println!("{} layers at an edge", edges.len());
    assert!(failures.is_empty(), "{failures:#?}");
    let is_at_bound = |operator: &str| {
        let mut own = edges.iter().filter(|edge| edge.operator == operator);
        own.any(|edge| edge.largest_t == u64::from(i32::MAX.unsigned_abs()))
    };
    for operator in ["conv_2d", "depthwise_conv_2d", "fully_connected"] {
        assert!(is_at_bound(operator), "{operator}");
    }
}

#[test]
fn the_first_layer_beyond_an_edge_is_refused_for_it() {
    let all = beyond();
    for Beyond {
        operator,
        what,
        layer,
        refusal,
    } in &all
    {
        let blob = layer.blob().expect("written");
        let model = Model::<MAX_TENSORS, MAX_OPS>::from_bytes(&blob);
        let Err(error) = model else {
            panic!("{operator}, {what}: loaded");
        };
        assert!(refusal(&error), "{operator}, {what}: refused for {error}");
    }
    println!("{} layers beyond one", all.len());
}

/// Equation (12) for all encodings that the loader lets through: every value that the kernel computes on its way is linear in each of
/// inputs, zero points, multipliers and the power of two alone, so that its extremes are at corners of their ranges.
#[test]
fn no_sum_of_add_leaves_its_30_bits() {
    let corners = |low: i64, high: i64| [low, high];
    let mut largest = 0;
    for shift in 1..=22_u32 {
        for a_multiplier in corners(-32767, 32767) {
            for b_multiplier in corners(-32767, 32767) {
                for corner in 0..32_u32 {
                    let value = |bit: u32| if corner >> bit & 1 == 0 { -128 } else { 127 };
                    let [a, b, a_zero, b_zero, zero] = [0, 1, 2, 3, 4].map(value);
                    // As in (12), in any order of the terms: the magnitudes add up.
                    let terms = [
                        zero << shift,
                        1 << (shift - 1),
                        -a_zero * a_multiplier,
                        -b_zero * b_multiplier,
                        a * a_multiplier,
                        b * b_multiplier,
                    ];
                    let magnitude: i64 = terms.iter().map(|term: &i64| term.abs()).sum();
                    largest = largest.max(magnitude);
                }
            }
        }
    }
    assert!(largest < 1 << 30, "{largest}");
    // And it is near: (12) promises no less than it needs.
    assert!(largest > 1 << 29, "{largest}");
}
