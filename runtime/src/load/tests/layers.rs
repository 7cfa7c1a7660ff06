//! Layers with weights: how long, of which order, which values, how large their sums, and which scratch.

use super::Parts;
use super::small::{ZERO, conv, fully_connected, single};
use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{Clamp, Op, WeightType};

use WeightType::{Int4, Int8, PairedInt4, PairedInt8};

/// A byte of weights that are 0.
fn zero(weight_type: WeightType) -> i8 {
    match weight_type {
        PairedInt4 => 0x88_u8 as i8,
        _ => 0,
    }
}

fn set_type(op: &mut Op, weight_type: WeightType) {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => op.weight_type = weight_type,
        Op::FullyConnected(op) => op.weight_type = weight_type,
        other => panic!("{other:?}"),
    }
}

/// A layer with weights of a type, all 0, for the family that has it.
fn layer(op: &Op, weight_type: WeightType, input: [u16; 3], output: [u16; 3]) -> Parts {
    let mut op = op.clone();
    set_type(&mut op, weight_type);
    let packing = if weight_type.is_paired() {
        Family::Dsp
    } else {
        Family::Scalar
    };
    let mut parts = single(&op, input, output, packing);
    parts.weights.fill(zero(weight_type));
    parts
}

fn convolution(kernel: u16, groups: u16) -> Op {
    let mut layer = conv(0, 1, super::window(kernel, 1, 0, 0));
    layer.groups = groups;
    Op::Conv2d(layer)
}

fn depthwise(kernel: u16, groups: u16) -> Op {
    let Op::Conv2d(layer) = convolution(kernel, groups) else {
        unreachable!("it is one");
    };
    Op::DepthwiseConv2d(layer)
}

fn dense() -> Op {
    Op::FullyConnected(fully_connected(0, 1))
}

/// The one operator of a model.
fn op(parts: &mut Parts) -> &mut Op {
    &mut parts.program.ops[0]
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn weights_are_as_many_bytes_as_their_type_takes() {
    // An operator, its input and output, and bytes by type.
    type Case<'c> = (Op, [u16; 3], [u16; 3], &'c [(WeightType, usize)]);
    let cases: [Case<'_>; 8] = [
        // Three rows of 45, in pairs 48 weights for the third alone as well.
        (
            convolution(3, 1),
            [3, 3, 5],
            [1, 1, 3],
            &[(Int8, 135), (Int4, 69), (PairedInt8, 192), (PairedInt4, 96)],
        ),
        // Two rows of 4.
        (
            convolution(1, 1),
            [1, 1, 4],
            [1, 1, 2],
            &[(Int8, 8), (Int4, 4), (PairedInt8, 8), (PairedInt4, 4)],
        ),
        // A row of one.
        (
            convolution(1, 1),
            [1, 1, 1],
            [1, 1, 1],
            &[(Int8, 1), (Int4, 1), (PairedInt8, 8), (PairedInt4, 4)],
        ),
        // Rows of a group's channels.
        (
            convolution(3, 2),
            [3, 3, 4],
            [1, 1, 6],
            &[(Int8, 108), (Int4, 54)],
        ),
        // A row for each tap.
        (
            depthwise(3, 3),
            [3, 3, 3],
            [1, 1, 3],
            &[(Int8, 27), (Int4, 18)],
        ),
        (
            depthwise(3, 3),
            [3, 3, 3],
            [1, 1, 6],
            &[(Int8, 54), (Int4, 27)],
        ),
        // All elements of the input, in pairs up to a multiple of 8.
        (
            dense(),
            [1, 3, 3],
            [1, 1, 3],
            &[(Int8, 27), (Int4, 15), (PairedInt8, 64), (PairedInt4, 32)],
        ),
        (
            dense(),
            [2, 2, 2],
            [1, 1, 4],
            &[(Int8, 32), (Int4, 16), (PairedInt8, 32), (PairedInt4, 16)],
        ),
    ];
    for (op, input, output, types) in cases {
        for &(weight_type, bytes) in types {
            let mut parts = layer(&op, weight_type, input, output);
            let case = format!("{} {weight_type:?} {input:?}", op.kind());
            parts.weights.truncate(bytes);
            assert_eq!(parts.load(), Ok(()), "{case}");
            parts.weights.pop();
            let refused = LoadError::WeightsRange {
                op: 0,
                section: bytes as u32 - 1,
                found: bytes as u64,
            };
            assert_eq!(parts.load(), Err(refused), "{case}");
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn weights_in_pairs_are_for_plain_layers_of_the_dsp_family() {
    let refused = Err(LoadError::WeightOrder { op: 0 });
    for weight_type in [PairedInt8, PairedInt4] {
        for op in [convolution(1, 1), dense()] {
            let mut parts = layer(&op, weight_type, [1, 1, 4], [1, 1, 2]);
            for packing in Family::ALL {
                parts.program.packing = packing;
                let dsp = packing == Family::Dsp;
                assert_eq!(parts.load(), if dsp { Ok(()) } else { refused });
            }
        }
        for op in [convolution(1, 2), depthwise(1, 4)] {
            let parts = layer(&op, weight_type, [1, 1, 4], [1, 1, 4]);
            assert_eq!(parts.load(), refused);
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn accumulators_stay_below_their_types_limit() {
    // (type, largest weight, the power of two that the sum stays below without a shift)
    for (weight_type, most, bits) in [
        (Int8, 127, 31),
        (PairedInt8, 127, 31),
        (Int4, 7, 31),
        (PairedInt4, 7, 27),
    ] {
        for (op, input, products) in [
            (convolution(3, 1), [3, 3, 4], 36),
            (convolution(1, 1), [1, 1, 2], 2),
            (dense(), [2, 2, 2], 8),
        ] {
            for pre_shift in [0, 1, 3, 4, 5, 10] {
                // Weights in pairs of 4 bits leave room for a shift of 4.
                let limit = (1_u64 << 31) >> pre_shift.max(31 - bits);
                let sums = products * most * 128;
                for channel in 0..3 {
                    let result = |bias: i64| {
                        let mut parts = layer(&op, weight_type, input, [1, 1, 3]);
                        parts.params = vec![0; 6];
                        parts.params[channel] = i32::try_from(bias).unwrap();
                        match &mut parts.program.ops[0] {
                            Op::Conv2d(op) => {
                                (op.requant.multipliers, op.requant.pre_shift) =
                                    (ParamIndex::new(3), pre_shift);
                            }
                            Op::FullyConnected(op) => {
                                (op.requant.multipliers, op.requant.pre_shift) =
                                    (ParamIndex::new(3), pre_shift);
                            }
                            other => panic!("{other:?}"),
                        }
                        parts.load()
                    };
                    let case = format!("{} {weight_type:?} {pre_shift}", op.kind());
                    let free = i64::try_from(limit - sums).unwrap();
                    let refused = LoadError::Accumulator {
                        op: 0,
                        channel: channel as u32,
                        limit,
                        found: limit,
                    };
                    assert_eq!(result(free - 1), Ok(()), "{case}");
                    assert_eq!(result(1 - free), Ok(()), "{case}");
                    assert_eq!(result(free), Err(refused), "{case}");
                    assert_eq!(result(-free), Err(refused), "{case}");
                }
            }
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn sums_count_what_an_output_adds_up() {
    // Groups and depthwise convolutions add fewer products than the layer has channels.
    for (op, input, output, products) in [
        (convolution(3, 2), [3, 3, 4], [1, 1, 2], 18),
        (depthwise(3, 4), [3, 3, 4], [1, 1, 8], 9),
    ] {
        for (weight_type, most) in [(Int8, 127), (Int4, 7)] {
            let free = i32::MAX - products * most * 128;
            let mut parts = layer(&op, weight_type, input, output);
            parts.params[1] = free;
            assert_eq!(parts.load(), Ok(()));
            parts.params[1] += 1;
            let refused = LoadError::Accumulator {
                op: 0,
                channel: 1,
                limit: 1 << 31,
                found: 1 << 31,
            };
            assert_eq!(parts.load(), Err(refused));
        }
    }
}

fn with_byte(parts: &Parts, at: usize, byte: i8) -> Result<(), LoadError> {
    let mut parts = parts.clone();
    parts.weights[at] = byte;
    parts.load()
}

fn weight_value(at: usize, found: i8) -> Result<(), LoadError> {
    Err(LoadError::WeightValue {
        op: 0,
        at: at as u32,
        found,
    })
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_weight_of_8_bits_is_any_but_the_one_without_a_negative() {
    let parts = layer(&convolution(1, 1), Int8, [1, 1, 5], [1, 1, 3]);
    for at in [0, 7, 14] {
        for byte in i8::MIN..=i8::MAX {
            let expected = if byte == -128 {
                weight_value(at, byte)
            } else {
                Ok(())
            };
            assert_eq!(with_byte(&parts, at, byte), expected);
        }
    }
    // What lies behind them is someone else's.
    assert_eq!(with_byte(&parts, 15, -128), Ok(()));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn weights_of_4_bits_are_not_minus_8_and_a_spare_nibble_is_0() {
    // Rows of 5 weights take 3 bytes, the last with one weight; rows of 6 have no room left; rows of one are half a byte.
    for (op, input, output, last) in [
        (convolution(1, 1), [1, 1, 5], [1, 1, 3], Some(3)),
        (convolution(1, 1), [1, 1, 6], [1, 1, 3], None),
        (convolution(1, 1), [1, 1, 1], [1, 1, 9], Some(1)),
        (dense(), [1, 1, 5], [1, 1, 3], Some(3)),
        (depthwise(3, 5), [3, 3, 5], [1, 1, 5], Some(3)),
        (depthwise(3, 4), [3, 3, 4], [1, 1, 4], None),
    ] {
        let parts = layer(&op, Int4, input, output);
        for at in 0..9 {
            for byte in i8::MIN..=i8::MAX {
                let (low, high) = (byte & 15, byte >> 4);
                let spare = last.is_some_and(|row| at % row == row - 1);
                let wrong = low == 8 || high == -8 || (spare && high != 0);
                let expected = if wrong {
                    weight_value(at, byte)
                } else {
                    Ok(())
                };
                let case = format!("{} {input:?} {at} {byte}", op.kind());
                assert_eq!(with_byte(&parts, at, byte), expected, "{case}");
            }
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn pairs_of_8_bits_hold_two_weights_that_both_have_a_negative() {
    let parts = layer(&convolution(1, 1), PairedInt8, [1, 1, 4], [1, 1, 4]);
    let (mut good, mut bad) = (0, 0);
    // Every halfword, as the first one and as the last.
    for place in [0, 7] {
        for halfword in i16::MIN..=i16::MAX {
            let [low, high] = halfword.to_le_bytes().map(u8::cast_signed);
            // The second weight is what the first one leaves of the halfword.
            let second = (i32::from(halfword) - i32::from(low)) / 256;
            let expected = if low == -128 {
                weight_value(2 * place, low)
            } else if !(-127..=127).contains(&second) {
                weight_value(2 * place + 1, high)
            } else {
                Ok(())
            };
            if expected.is_ok() && halfword % 97 != 0 {
                continue;
            }
            let mut parts = parts.clone();
            parts.weights[2 * place] = low;
            parts.weights[2 * place + 1] = high;
            assert_eq!(parts.load(), expected, "{halfword:#x}");
            if expected.is_ok() {
                good += 1;
            } else {
                bad += 1;
            }
        }
    }
    // 65536 halfwords, of which 255 * 255 are good.
    assert_eq!(bad, 2 * (65536 - 255 * 255));
    assert!(good > 1000, "{good}");
    // A first weight after a halfword that is negative, and a second weight beside a first one of 0.
    for (byte, expected) in [(-128, weight_value(8, -128)), (127, Ok(()))] {
        let mut parts = parts.clone();
        parts.weights[6..9].copy_from_slice(&[0, -5, byte]);
        assert_eq!(parts.load(), expected);
    }
    for high in [127, -127] {
        let mut parts = parts.clone();
        parts.weights[..2].copy_from_slice(&[0, high]);
        assert_eq!(parts.load(), Ok(()));
    }
    // The sign of the first weight belongs to its own halfword, not to the one before.
    let mut parts = parts;
    parts.weights[..8].copy_from_slice(&[-1, 5, 1, 127, -1, -128, 0, 0]);
    assert_eq!(parts.load(), Ok(()));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn pairs_of_4_bits_hold_no_minus_8() {
    for op in [convolution(1, 1), dense()] {
        let parts = layer(&op, PairedInt4, [1, 1, 8], [1, 1, 4]);
        for at in [0, 1, 15] {
            for byte in i8::MIN..=i8::MAX {
                let wrong = byte & 15 == 0 || byte.cast_unsigned() >> 4 == 0;
                let expected = if wrong {
                    weight_value(at, byte)
                } else {
                    Ok(())
                };
                assert_eq!(with_byte(&parts, at, byte), expected, "{at} {byte}");
            }
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn weights_in_pairs_have_their_scratch_at_a_multiple_of_4() {
    // A third of them with channels that are whole words: sums, four windows and zero points; else the windows' bytes.
    for (op, input, output, bytes) in [
        (convolution(1, 1), [1, 1, 8], [1, 1, 2], 16 + 32 * 2 + 8),
        (convolution(3, 1), [3, 3, 4], [1, 1, 2], 16 + 32 * 9 + 4),
        (
            convolution(1, 1),
            [1, 1, 5],
            [1, 1, 2],
            16 + 32 * 2 + 16 * 2,
        ),
        (
            convolution(3, 1),
            [3, 3, 3],
            [1, 1, 2],
            16 + 32 * 7 + 16 * 7,
        ),
        (dense(), [1, 1, 8], [1, 1, 2], 16),
        (dense(), [1, 1, 9], [1, 1, 2], 32),
        (dense(), [2, 3, 4], [1, 1, 2], 48),
    ] {
        for weight_type in [PairedInt8, PairedInt4] {
            let result = |change: i64, ahead: u32| {
                let mut parts = layer(&op, weight_type, input, output);
                let scratch = op_scratch(&mut parts);
                assert_eq!(scratch.bytes, bytes, "{} {input:?}", op.kind());
                scratch.bytes = u32::try_from(i64::from(bytes) + change).unwrap();
                scratch.offset += ahead;
                parts.program.arena_bytes = scratch.offset + scratch.bytes;
                parts.load()
            };
            let refused = |found| {
                Err(LoadError::ScratchSize {
                    op: 0,
                    expected: bytes.into(),
                    found,
                })
            };
            assert_eq!(result(0, 0), Ok(()));
            assert_eq!(result(1, 0), Ok(()));
            assert_eq!(result(-1, 0), refused(bytes - 1));
            for ahead in 1..4 {
                assert_eq!(result(0, ahead), refused(bytes), "{ahead}");
                assert_eq!(result(16, ahead), refused(bytes + 16), "{ahead}");
            }
            assert_eq!(result(0, 4), Ok(()));
        }
        // None at all.
        let mut parts = layer(&op, PairedInt8, input, output);
        *op_scratch(&mut parts) = Default::default();
        parts.program.arena_bytes =
            crate::format::write::arena_bytes(&parts.program.tensors, &parts.program.ops);
        let refused = LoadError::ScratchSize {
            op: 0,
            expected: bytes.into(),
            found: 0,
        };
        assert_eq!(parts.load(), Err(refused));
    }
}

fn op_scratch(parts: &mut Parts) -> &mut crate::format::program::Scratch {
    op(parts).scratch_mut().unwrap()
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn weights_in_rows_do_without_scratch_or_with_any() {
    for op in [convolution(3, 1), depthwise(3, 4), dense()] {
        for packing in Family::ALL {
            for (bytes, offset) in [(0, 0), (1, 101), (35, 103), (1000, 102)] {
                let mut parts = layer(&op, Int8, [3, 3, 4], [1, 1, 4]);
                parts.program.packing = packing;
                let scratch = op_scratch(&mut parts);
                (scratch.bytes, scratch.offset) = (bytes, offset);
                let program = &mut parts.program;
                program.arena_bytes =
                    crate::format::write::arena_bytes(&program.tensors, &program.ops);
                assert_eq!(parts.load(), Ok(()), "{packing:?} {bytes}");
            }
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn biases_multipliers_and_clamps_are_one_for_each_channel() {
    for (op, input, output) in [
        (convolution(1, 1), [1, 1, 2], [1, 1, 3]),
        (depthwise(1, 3), [1, 1, 3], [1, 1, 3]),
        (dense(), [1, 1, 2], [1, 1, 3]),
    ] {
        let with = |bias_at: u32, multipliers_at: u32, params: Vec<i32>| {
            let mut parts = layer(&op, Int8, input, output);
            parts.params = params;
            match &mut parts.program.ops[0] {
                Op::Conv2d(op) | Op::DepthwiseConv2d(op) => {
                    (op.bias, op.requant.multipliers) =
                        (ParamIndex::new(bias_at), ParamIndex::new(multipliers_at));
                }
                Op::FullyConnected(op) => {
                    (op.bias, op.requant.multipliers) =
                        (ParamIndex::new(bias_at), ParamIndex::new(multipliers_at));
                }
                other => panic!("{other:?}"),
            }
            parts.load()
        };
        let range = |found| {
            Err(LoadError::ParametersRange {
                op: 0,
                section: 7,
                found,
            })
        };
        assert_eq!(with(4, 4, vec![0; 7]), Ok(()));
        assert_eq!(with(5, 4, vec![0; 7]), range(8));
        assert_eq!(with(4, 5, vec![0; 7]), range(8));
        assert_eq!(with(0, u32::MAX, vec![0; 7]), range((1 << 32) + 2));
        for at in 0..3 {
            let mut params = vec![i32::MAX; 7];
            params[..3].fill(0);
            assert_eq!(with(0, 4, params.clone()), Ok(()));
            params[4 + at as usize] = -1;
            let refused = LoadError::Multiplier {
                op: 0,
                at,
                found: -1,
            };
            assert_eq!(with(0, 4, params.clone()), Err(refused));
            params[4 + at as usize] = i32::MIN;
            let found = i32::MIN;
            let refused = LoadError::Multiplier { op: 0, at, found };
            assert_eq!(with(0, 4, params), Err(refused));
        }
        let clamped = |clamp: Clamp, pairs: &[i8]| {
            let mut parts = layer(&op, Int8, input, output);
            parts.weights.truncate(32);
            parts.weights.extend_from_slice(pairs);
            match &mut parts.program.ops[0] {
                Op::Conv2d(op) | Op::DepthwiseConv2d(op) => op.requant.clamp = clamp,
                Op::FullyConnected(op) => op.requant.clamp = clamp,
                other => panic!("{other:?}"),
            }
            parts.load()
        };
        let each = |offset| Clamp::PerChannel {
            offset: WeightsOffset::new(offset),
        };
        let pairs = [-128, 127, 3, 3, -1, 0];
        assert_eq!(clamped(each(32), &pairs), Ok(()));
        let refused = LoadError::WeightsRange {
            op: 0,
            section: 37,
            found: 38,
        };
        assert_eq!(clamped(each(32), &pairs[..5]), Err(refused));
        for offset in [33, 24, 31] {
            let refused = LoadError::WeightsAlignment {
                op: 0,
                found: offset,
            };
            assert_eq!(clamped(each(offset), &pairs), Err(refused));
        }
        for at in 0..3 {
            let mut pairs = pairs;
            (pairs[2 * at], pairs[2 * at + 1]) = (5, 4);
            let refused = LoadError::Clamp {
                op: 0,
                min: 5,
                max: 4,
            };
            assert_eq!(clamped(each(32), &pairs), Err(refused));
        }
        let all = |min, max| Clamp::PerTensor { min, max };
        assert_eq!(clamped(all(ZERO, ZERO), &[]), Ok(()));
        let refused = LoadError::Clamp {
            op: 0,
            min: 1,
            max: 0,
        };
        assert_eq!(clamped(all(1, 0), &[]), Err(refused));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn groups_divide_both_channels() {
    let refused = |found| Err(LoadError::Groups { op: 0, found });
    for (groups, input, output, expected) in [
        (1, 6, 4, Ok(())),
        (2, 6, 4, Ok(())),
        (3, 6, 4, refused(3)),
        (4, 6, 4, refused(4)),
        (6, 6, 4, refused(6)),
        (6, 6, 12, Ok(())),
        (12, 6, 12, refused(12)),
        (0, 6, 4, refused(0)),
    ] {
        let parts = layer(&convolution(1, groups), Int8, [1, 1, input], [1, 1, output]);
        assert_eq!(parts.load(), expected, "{groups} {input} {output}");
    }
    for (groups, input, output, expected) in [
        (4, 4, 4, Ok(())),
        (4, 4, 8, Ok(())),
        (4, 4, 6, refused(4)),
        (2, 4, 4, refused(2)),
        (8, 4, 8, refused(8)),
        (0, 4, 4, refused(0)),
        (4, 4, 2, refused(4)),
    ] {
        let parts = layer(&depthwise(1, groups), Int8, [1, 1, input], [1, 1, output]);
        assert_eq!(parts.load(), expected, "{groups} {input} {output}");
    }
}

#[test]
fn a_fully_connected_layer_writes_one_pixel() {
    for (output, axis, found) in [([2, 1, 3], 0, 2), ([1, 2, 3], 1, 2)] {
        let refused = LoadError::Shape {
            op: 0,
            axis,
            expected: 1,
            found,
        };
        assert_eq!(
            layer(&dense(), Int8, [1, 2, 2], output).load(),
            Err(refused)
        );
    }
    assert_eq!(layer(&dense(), Int8, [1, 2, 2], [1, 1, 3]).load(), Ok(()));
}
