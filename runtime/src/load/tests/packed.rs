//! Output of the packer, read back by the format's description.

use super::super::needs::scratch_bytes;
use super::small::{
    POINT, REQUANT, add, average_pool, concat, conv, fully_connected, lut, max_pool, mul, reshape,
    scaled_softmax, softmax, tensor,
};
use crate::format::family::Family;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{
    AveragePool, Clamp, Constant, Conv2d, FullyConnected, Lut, Mul, Op, Requant, Tensor, WeightType,
};
use crate::format::write::{BlobWriter, pack_int4_rows};
use crate::pack::{pack, paired_bytes};

/// Weights that differ: rows of `row`, of which each is in `-most..=most`.
fn weights(rows: usize, row: usize, most: i8) -> Vec<i8> {
    let span = 2 * i32::from(most) + 1;
    (0..rows * row)
        .map(|at| ((at as i32 * 37 + at as i32 / 7) % span - i32::from(most)) as i8)
        .collect()
}

/// A section in which something lies before and behind the rows.
fn section(rows: &[i8]) -> (BlobWriter, WeightsOffset) {
    let mut sections = BlobWriter::new();
    sections.append_weights(&[55; 17]);
    let at = sections.append_weights(rows);
    sections.append_weights(&[66; 5]);
    (sections, at)
}

/// Weight `k` of a channel, 0 for the partner of an odd last channel and behind a row.
fn weight(rows: &[i8], row: usize, channel: usize, k: usize) -> i32 {
    if k >= row {
        return 0;
    }
    rows.get(channel * row + k).copied().unwrap_or(0).into()
}

fn layer_of(op: &Op) -> (WeightType, u32) {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => (op.weight_type, op.weights.get()),
        Op::FullyConnected(op) => (op.weight_type, op.weights.get()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pairs_are_written_as_the_description_says() {
    for (channels, row) in [(1, 1_usize), (2, 4), (3, 5), (4, 8), (5, 11), (6, 18)] {
        for dense in [false, true] {
            let multiple = if dense { 8 } else { 4 };
            let filled = row.next_multiple_of(multiple);
            for int4 in [false, true] {
                let rows = weights(channels, row, if int4 { 7 } else { 127 });
                let stored = if int4 {
                    pack_int4_rows(&rows, row)
                } else {
                    rows.clone()
                };
                let weight_type = if int4 {
                    WeightType::Int4
                } else {
                    WeightType::Int8
                };
                let (mut sections, at) = section(&stored);
                let bias = sections.append_params(&vec![1; channels]);
                let tensors = [
                    tensor(0, [1, 1, row as u16]),
                    tensor(0, [1, 1, channels as u16]),
                ];
                let op = if dense {
                    Op::FullyConnected(FullyConnected {
                        weight_type,
                        weights: at,
                        bias,
                        ..fully_connected(0, 1)
                    })
                } else {
                    Op::Conv2d(Conv2d {
                        weight_type,
                        weights: at,
                        bias,
                        ..conv(0, 1, POINT)
                    })
                };
                let mut ops = [op.clone()];
                let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
                let (found, at) = layer_of(&ops[0]);
                assert_eq!(at, WeightsOffset::new(0).get());
                assert_eq!(packed.params(), sections.params());
                let mut expected = Vec::new();
                for pair in 0..channels.div_ceil(2) {
                    for quad in 0..filled / 4 {
                        let two = |k| [0, 1].map(|side| weight(&rows, row, 2 * pair + side, k));
                        for place in [0, 2, 1, 3].into_iter().filter(|_| !int4) {
                            let [low, high] = two(4 * quad + place);
                            let halfword = i16::try_from(256 * high + low).unwrap();
                            expected.extend(halfword.to_le_bytes().map(u8::cast_signed));
                        }
                        for place in (0..4).filter(|_| int4) {
                            let [low, high] = two(4 * quad + place);
                            expected.push((low + 8 + 16 * (high + 8)) as u8 as i8);
                        }
                    }
                }
                let paired = if int4 {
                    WeightType::PairedInt4
                } else {
                    WeightType::PairedInt8
                };
                assert_eq!(found, paired);
                assert_eq!(
                    packed.weights(),
                    expected,
                    "{channels} {row} {dense} {int4}"
                );
                let bytes = paired_bytes(paired, channels as u64, row as u64, multiple as u64);
                assert_eq!(bytes, expected.len() as u64);
                // Other families, and what is in pairs already: the same bytes at a new place.
                for packing in [Family::Scalar, Family::Mve] {
                    let mut ops = [op.clone()];
                    let packed = pack(packing, &mut ops, &tensors, &sections);
                    assert_eq!(layer_of(&ops[0]), (weight_type, 0));
                    assert_eq!(packed.weights(), stored);
                }
            }
        }
    }
}

#[test]
fn a_window_and_all_elements_are_rows() {
    let rows = weights(3, 2 * 3 * 5, 127);
    let (mut sections, at) = section(&rows);
    let bias = sections.append_params(&[0; 3]);
    let window = crate::format::program::Window {
        kernel_h: 2,
        kernel_w: 3,
        ..POINT
    };
    let tensors = [tensor(0, [2, 3, 5]), tensor(0, [1, 1, 3])];
    let layer = Conv2d {
        weights: at,
        bias,
        ..conv(0, 1, window)
    };
    let dense = FullyConnected {
        weights: at,
        bias,
        ..fully_connected(0, 1)
    };
    for (op, multiple) in [
        (Op::Conv2d(layer.clone()), 4),
        (Op::FullyConnected(dense), 8),
    ] {
        let mut ops = [op];
        let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
        let bytes = paired_bytes(WeightType::PairedInt8, 3, 30, multiple);
        assert_eq!(packed.weights().len() as u64, bytes);
        assert_eq!(layer_of(&ops[0]), (WeightType::PairedInt8, 0));
    }
    // Groups keep their rows, of a group's channels; a depthwise convolution its taps.
    for weight_type in [WeightType::Int8, WeightType::Int4] {
        let int4 = weight_type == WeightType::Int4;
        let tensors = [tensor(0, [2, 3, 6]), tensor(0, [1, 1, 6])];
        for groups in [2, 3] {
            let layer = Conv2d {
                weight_type,
                groups,
                ..layer.clone()
            };
            let row = 6 * 6 / usize::from(groups);
            let bytes = if int4 { 6 * row / 2 } else { 6 * row };
            let (sections, at) = section(&vec![1; bytes]);
            let mut ops = [Op::Conv2d(Conv2d {
                weights: at,
                ..layer
            })];
            let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
            assert_eq!(layer_of(&ops[0]), (weight_type, 0));
            assert_eq!(packed.weights(), vec![1; bytes]);
        }
        let tensors = [tensor(0, [2, 3, 5]), tensor(0, [1, 1, 5])];
        let bytes = if int4 { 6 * 3 } else { 6 * 5 };
        let (sections, at) = section(&vec![2; bytes]);
        let mut ops = [Op::DepthwiseConv2d(Conv2d {
            weight_type,
            weights: at,
            groups: 5,
            ..layer.clone()
        })];
        let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
        assert_eq!(layer_of(&ops[0]), (weight_type, 0));
        assert_eq!(packed.weights(), vec![2; bytes]);
    }
}

#[test]
fn pairs_of_4_bits_are_for_sums_below_their_limit() {
    let limit = (1 << 27) - 5 * 7 * 128;
    for channel in 0..3 {
        for (bias, fits) in [
            (limit - 1, true),
            (1 - limit, true),
            (limit, false),
            (-limit, false),
            (i32::MAX, false),
            (i32::MIN, false),
        ] {
            let rows = pack_int4_rows(&weights(3, 5, 7), 5);
            let (mut sections, at) = section(&rows);
            sections.append_params(&[i32::MAX; 2]);
            let mut biases = [0; 3];
            biases[channel] = bias;
            let first = sections.append_params(&biases);
            sections.append_params(&[i32::MAX; 2]);
            let tensors = [tensor(0, [1, 1, 5]), tensor(0, [1, 1, 3])];
            let mut ops = [Op::Conv2d(Conv2d {
                weight_type: WeightType::Int4,
                weights: at,
                bias: first,
                ..conv(0, 1, POINT)
            })];
            let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
            let expected = if fits {
                WeightType::PairedInt4
            } else {
                assert_eq!(packed.weights(), rows);
                WeightType::Int4
            };
            assert_eq!(layer_of(&ops[0]), (expected, 0), "{bias}");
        }
    }
}

#[test]
fn tables_constants_and_clamps_move_with_their_operators() {
    let each = |offset| Requant {
        clamp: Clamp::PerChannel { offset },
        ..REQUANT
    };
    let tensors: [Tensor; 2] = [tensor(0, [1, 1, 24]), tensor(0, [1, 1, 24])];
    let clamps: [i8; 48] = core::array::from_fn(|at| at as i8 - 20);
    let table: [i8; 256] = core::array::from_fn(|at| at as i8);
    let constant: [i8; 24] = core::array::from_fn(|at| at as i8 + 50);
    let mut sections = BlobWriter::new();
    sections.append_weights(&[99; 33]);
    let places = [
        sections.append_weights(&clamps),
        sections.append_weights(&table),
        sections.append_weights(&constant),
        sections.append_weights(&[9; 24 * 24]),
    ];
    let [clamp, table_at, constant_at, rows] = places;
    let mut ops = vec![
        Op::AveragePool(AveragePool {
            requant: each(clamp),
            ..average_pool(0, 1, POINT)
        }),
        Op::Mul(Mul {
            requant: each(clamp),
            ..mul(0, 0, 1)
        }),
        Op::Lut(Lut {
            input: 0,
            output: 1,
            table: table_at,
        }),
        Op::Constant(Constant {
            output: 1,
            data: constant_at,
        }),
        Op::Conv2d(Conv2d {
            weights: rows,
            requant: each(clamp),
            ..conv(0, 1, POINT)
        }),
        Op::DepthwiseConv2d(Conv2d {
            weights: rows,
            groups: 24,
            requant: each(clamp),
            ..conv(0, 1, POINT)
        }),
        Op::FullyConnected(FullyConnected {
            weights: rows,
            requant: each(clamp),
            ..fully_connected(0, 1)
        }),
    ];
    let packed = pack(Family::Scalar, &mut ops, &tensors, &sections);
    let clamp_of = |requant: &Requant| match requant.clamp {
        Clamp::PerChannel { offset } => offset,
        Clamp::PerTensor { .. } => panic!("each has its own"),
    };
    let mut found = Vec::new();
    for op in &ops {
        match op {
            Op::AveragePool(op) => found.push((clamp_of(&op.requant), clamps.to_vec())),
            Op::Mul(op) => found.push((clamp_of(&op.requant), clamps.to_vec())),
            Op::Lut(op) => found.push((op.table, table.to_vec())),
            Op::Constant(op) => found.push((op.data, constant.to_vec())),
            Op::Conv2d(op) => {
                found.push((op.weights, vec![9; 24 * 24]));
                found.push((clamp_of(&op.requant), clamps.to_vec()));
            }
            Op::FullyConnected(op) => {
                found.push((op.weights, vec![9; 24 * 24]));
                found.push((clamp_of(&op.requant), clamps.to_vec()));
            }
            Op::DepthwiseConv2d(op) => {
                found.push((op.weights, vec![9; 24]));
                found.push((clamp_of(&op.requant), clamps.to_vec()));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut next = 0;
    for (at, expected) in found {
        assert_eq!(at, WeightsOffset::new(next));
        assert_eq!(
            at.slice(packed.weights(), expected.len()),
            Some(&expected[..])
        );
        next = (at.get() + expected.len() as u32).next_multiple_of(16);
    }
    assert_eq!(packed.weights().len().next_multiple_of(16), next as usize);

    // The rest has nothing to move.
    let mut ops = [
        max_pool(0, 1, POINT),
        Op::Add(add(0, 0, 1)),
        softmax(0, 1),
        scaled_softmax(0, 1),
        reshape(0, 1),
        concat(&[0], 1, 0),
    ];
    let before = ops.clone();
    let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
    assert_eq!(ops, before);
    assert!(packed.weights().is_empty());
}

#[test]
fn what_lies_outside_its_section_is_written_as_nothing() {
    let tensors = [tensor(0, [1, 1, 4]), tensor(0, [1, 1, 2])];
    let sections = BlobWriter::with_sections(vec![7; 20], vec![0; 2]);
    let layer = |weights, weight_type, bias| {
        let mut ops = [Op::Conv2d(Conv2d {
            weights: WeightsOffset::new(weights),
            weight_type,
            bias: ParamIndex::new(bias),
            ..conv(0, 1, POINT)
        })];
        let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
        (layer_of(&ops[0]).0, packed.weights().len())
    };
    use WeightType::{Int4, Int8, PairedInt4, PairedInt8};
    assert_eq!(layer(0, Int8, 0), (PairedInt8, 8));
    assert_eq!(layer(16, Int8, 0), (PairedInt8, 8));
    assert_eq!(layer(21, Int8, 0), (Int8, 0));
    assert_eq!(layer(0, Int4, 0), (PairedInt4, 4));
    assert_eq!(layer(0, Int4, 1), (Int4, 4));
    assert_eq!(layer(0, Int4, 3), (Int4, 4));
    assert_eq!(layer(18, Int4, 1), (Int4, 2));
    // In pairs already.
    assert_eq!(layer(0, PairedInt8, 0).0, PairedInt8);
    assert_eq!(layer(0, PairedInt4, 0).0, PairedInt4);
    let mut ops = [lut(0, 1)];
    let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
    assert_eq!(packed.weights(), [7; 20]);
    // A second row that is not there any more.
    let mut ops = [Op::Conv2d(Conv2d {
        weights: WeightsOffset::new(16),
        ..conv(0, 1, POINT)
    })];
    let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
    assert_eq!(packed.weights(), [7, 0, 7, 0, 7, 0, 7, 0]);
    // No groups, and no input, have no weights.
    for (input, groups, expected) in [(0, 0, Int8), (2, 1, PairedInt8)] {
        let mut ops = [Op::Conv2d(Conv2d {
            groups,
            ..conv(input, 1, POINT)
        })];
        let packed = pack(Family::Dsp, &mut ops, &tensors, &sections);
        assert_eq!(layer_of(&ops[0]), (expected, 0));
        assert!(packed.weights().is_empty());
    }
}

#[test]
fn scratch_of_layers_in_rows_is_a_window() {
    let window = crate::format::program::Window {
        kernel_h: 2,
        kernel_w: 3,
        ..POINT
    };
    let tensors = [tensor(0, [4, 5, 6]), tensor(0, [3, 3, 6])];
    let layer = conv(0, 1, window);
    let bytes = |op: &Op, packing| scratch_bytes(op, &tensors, packing);
    let grouped = Op::Conv2d(Conv2d {
        groups: 2,
        ..layer.clone()
    });
    let plain = Op::Conv2d(layer.clone());
    let depthwise = Op::DepthwiseConv2d(layer.clone());
    let paired = Op::Conv2d(Conv2d {
        weight_type: WeightType::PairedInt8,
        ..layer.clone()
    });
    let mut dense = fully_connected(0, 1);
    let rows = Op::FullyConnected(dense.clone());
    dense.weight_type = WeightType::PairedInt4;
    let pairs = Op::FullyConnected(dense);
    for packing in Family::ALL {
        assert_eq!(bytes(&plain, packing), 2 * 3 * 6);
        assert_eq!(bytes(&grouped, packing), 0);
        assert_eq!(bytes(&rows, packing), 0);
        assert_eq!(bytes(&lut(0, 1), packing), 0);
        let dsp = packing == Family::Dsp;
        // 36 products are 9 quads; 6 channels are no whole words.
        let expected = if dsp { 16 + 32 * 9 + 16 * 9 } else { 36 };
        assert_eq!(bytes(&paired, packing), expected);
        assert_eq!(bytes(&pairs, packing), if dsp { 16 * 15 } else { 0 });
        // Lines of 3 + 2 elements, up to an even number, 4 of each of 2 rows and one more, of 2 bytes.
        let expected = if packing == Family::Mve {
            36
        } else {
            (4 * 2 + 1) * 6 * 2
        };
        assert_eq!(bytes(&depthwise, packing), expected);
    }
    let none = Op::Conv2d(Conv2d {
        groups: 0,
        ..layer.clone()
    });
    assert_eq!(bytes(&none, Family::Scalar), 0);
    // Tensors that are not there.
    let paired = Op::Conv2d(Conv2d {
        input: 2,
        weight_type: WeightType::PairedInt8,
        ..layer.clone()
    });
    let mut dense = fully_connected(2, 1);
    dense.weight_type = WeightType::PairedInt4;
    assert_eq!(bytes(&paired, Family::Dsp), 0);
    assert_eq!(bytes(&Op::FullyConnected(dense), Family::Dsp), 0);
    for (input, output) in [(2, 1), (0, 2)] {
        for packing in Family::ALL {
            let layer = conv(input, output, window);
            let found = bytes(&Op::DepthwiseConv2d(layer.clone()), packing);
            let vectors = packing == Family::Mve && input == 0;
            assert_eq!(found, if vectors { 36 } else { 0 });
            let found = bytes(&Op::Conv2d(layer), packing);
            assert_eq!(found, if input == 0 { 36 } else { 0 });
        }
    }
}

#[test]
fn a_depthwise_convolution_that_is_none_wants_no_scratch() {
    let tensors = [
        tensor(0, [4, 4, 8]),
        tensor(128, [4, 4, 8]),
        tensor(0, [0, 4, 8]),
    ];
    let windows = [(0, 3), (3, 0), (0, 0)];
    for (kernel_h, kernel_w) in windows {
        let window = crate::format::program::Window {
            kernel_h,
            kernel_w,
            ..POINT
        };
        let op = Op::DepthwiseConv2d(conv(0, 1, window));
        assert_eq!(scratch_bytes(&op, &tensors, Family::Scalar), 0);
        let _ = super::super::in_place(&op, 0, &tensors, Family::Dsp);
    }
    let empty = Op::DepthwiseConv2d(conv(0, 2, POINT));
    assert_eq!(scratch_bytes(&empty, &tensors, Family::Dsp), 0);
}
