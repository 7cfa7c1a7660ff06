//! Operators without weights: shapes, numbers and tables, the last value that is taken and the first that is not.

use super::small::{
    POINT, ZERO, add, average_pool, concat, conv, extremum, load, lut, max_pool, mul, parts,
    scaled_softmax, single, softmax, tensor,
};
use super::{FULL, Parts};
use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{
    Add, AveragePool, Constant, Extremum, Mul, Op, Pad, Requant, Transpose, Window,
};

/// A model of one operator from tensor 0 to tensor 1.
fn one(op: &Op, input: [u16; 3], output: [u16; 3]) -> Result<(), LoadError> {
    single(op, input, output, Family::Scalar).load()
}

fn shape(axis: u8, expected: u32, found: u32) -> Result<(), LoadError> {
    Err(LoadError::Shape {
        op: 0,
        axis,
        expected,
        found,
    })
}

/// Operators with windows, over as many output as input channels.
fn windowed(window: Window) -> [Op; 4] {
    let mut depthwise = conv(0, 1, window);
    depthwise.groups = 1;
    [
        Op::Conv2d(conv(0, 1, window)),
        Op::DepthwiseConv2d(depthwise),
        max_pool(0, 1, window),
        Op::AveragePool(average_pool(0, 1, window)),
    ]
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_window_has_no_zeros_and_fits_its_padded_input() {
    let good = Window {
        kernel_h: 2,
        kernel_w: 3,
        stride_h: 2,
        stride_w: 3,
        pad_top: 1,
        pad_left: 2,
        pad_bottom: 0,
        pad_right: 1,
        ..POINT
    };
    // (5 + 1 - 2) / 2 + 1 rows, (9 + 3 - 3) / 3 + 1 columns.
    for op in windowed(good) {
        assert_eq!(one(&op, [5, 9, 1], [3, 4, 1]), Ok(()), "{}", op.kind());
        for (output, refused) in [
            ([2, 4, 1], shape(0, 3, 2)),
            ([4, 4, 1], shape(0, 3, 4)),
            ([3, 3, 1], shape(1, 4, 3)),
            ([3, 5, 1], shape(1, 4, 5)),
        ] {
            assert_eq!(one(&op, [5, 9, 1], output), refused, "{}", op.kind());
        }
        // One row or column less is another output only where the stride divides.
        assert_eq!(one(&op, [4, 9, 1], [2, 4, 1]), Ok(()));
        assert_eq!(one(&op, [5, 8, 1], [3, 3, 1]), Ok(()));
        assert_eq!(one(&op, [6, 11, 1], [3, 4, 1]), Ok(()));
        assert_eq!(one(&op, [7, 12, 1], [4, 5, 1]), Ok(()));
    }
    let zeros: [fn(&mut Window); 6] = [
        |w| w.kernel_h = 0,
        |w| w.kernel_w = 0,
        |w| w.stride_h = 0,
        |w| w.stride_w = 0,
        |w| w.dilation_h = 0,
        |w| w.dilation_w = 0,
    ];
    for change in zeros {
        // Outputs that a division by 1 or none would give, too.
        for output in [[3, 4, 1], [1, 1, 1], [5, 4, 1], [3, 10, 1], [6, 4, 1]] {
            for op in windowed(good) {
                let mut parts = single(&op, [5, 9, 1], output, Family::Scalar);
                match &mut parts.program.ops[0] {
                    Op::Conv2d(op) | Op::DepthwiseConv2d(op) => change(&mut op.window),
                    Op::MaxPool(op) => change(&mut op.window),
                    Op::AveragePool(op) => change(&mut op.window),
                    other => panic!("{other:?}"),
                }
                let refused = Err(LoadError::Window { op: 0 });
                assert_eq!(parts.load(), refused, "{} {output:?}", op.kind());
            }
        }
    }
    // As long as the padded input, with its dilation, and one longer.
    let long = |kernel_h, dilation_h, kernel_w, dilation_w| Window {
        kernel_h,
        kernel_w,
        dilation_h,
        dilation_w,
        pad_top: 1,
        pad_right: 1,
        ..POINT
    };
    for op in windowed(long(6, 1, 10, 1)) {
        assert_eq!(one(&op, [5, 9, 1], [1, 1, 1]), Ok(()));
        for input in [[4, 9, 1], [5, 8, 1]] {
            let refused = Err(LoadError::Window { op: 0 });
            assert_eq!(one(&op, input, [1, 1, 1]), refused);
        }
    }
    for op in windowed(long(2, 5, 4, 3)) {
        assert_eq!(one(&op, [5, 9, 1], [1, 1, 1]), Ok(()), "{}", op.kind());
        for input in [[4, 9, 1], [5, 8, 1]] {
            let refused = Err(LoadError::Window { op: 0 });
            assert_eq!(one(&op, input, [1, 1, 1]), refused);
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_pool_keeps_its_channels_and_its_zero_point() {
    let pools = [
        max_pool(0, 1, POINT),
        Op::AveragePool(average_pool(0, 1, POINT)),
    ];
    for op in &pools {
        assert_eq!(one(op, [2, 2, 3], [2, 2, 3]), Ok(()));
        assert_eq!(one(op, [2, 2, 3], [2, 2, 2]), shape(2, 3, 2));
        assert_eq!(one(op, [2, 2, 3], [2, 2, 4]), shape(2, 3, 4));
    }
    for (op, fixed) in pools.iter().zip([true, false]) {
        let mut parts = single(op, [2, 2, 3], [2, 2, 3], Family::Scalar);
        parts.program.tensors[1].zero_point = 5;
        let refused = LoadError::ZeroPoint {
            op: 0,
            expected: ZERO,
            found: 5,
        };
        assert_eq!(parts.load(), if fixed { Err(refused) } else { Ok(()) });
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn each_pad_of_a_pool_is_smaller_than_its_window() {
    type Side = (fn(&mut Window, u8), u32);
    let sides: [Side; 4] = [
        (|w, pad| w.pad_top = pad, 3),
        (|w, pad| w.pad_bottom = pad, 3),
        (|w, pad| w.pad_left = pad, 4),
        (|w, pad| w.pad_right = pad, 4),
    ];
    for (side, (set, extent)) in sides.into_iter().enumerate() {
        for pad in 0..6_u8 {
            let mut window = Window {
                kernel_h: 3,
                kernel_w: 4,
                ..POINT
            };
            set(&mut window, pad);
            let longer = u16::from(pad);
            let output = if side < 2 {
                [3 + longer, 4, 1]
            } else {
                [3, 4 + longer, 1]
            };
            let expected = if u32::from(pad) < extent {
                Ok(())
            } else {
                Err(LoadError::PoolPad {
                    op: 0,
                    extent,
                    found: pad,
                })
            };
            for op in &windowed(window)[2..] {
                assert_eq!(one(op, [5, 7, 1], output), expected, "{side} {pad}");
            }
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn no_window_of_a_dilated_pool_is_empty_in_either_direction() {
    // Two taps that are 5 apart over a line of `size`: rows, or columns.
    for across in [false, true] {
        let result = |size: u16, pads: (u8, u8)| {
            let mut window = Window {
                kernel_h: 2,
                dilation_h: 5,
                pad_top: pads.0,
                pad_bottom: pads.1,
                ..POINT
            };
            let positions = size + u16::from(pads.0) + u16::from(pads.1) - 5;
            let (mut input, mut output) = ([size, 3, 2], [positions, 3, 2]);
            if across {
                window = Window {
                    kernel_w: 2,
                    dilation_w: 5,
                    pad_left: pads.0,
                    pad_right: pads.1,
                    ..POINT
                };
                (input, output) = ([3, size, 2], [3, positions, 2]);
            }
            one(&max_pool(0, 1, window), input, output)
        };
        let empty = Err(LoadError::PoolWindow { op: 0 });
        let pad = |found| {
            Err(LoadError::PoolPad {
                op: 0,
                extent: 6,
                found,
            })
        };
        assert_eq!(result(6, (0, 0)), Ok(()));
        // The first tap in the padding, the second in the input.
        assert_eq!(result(5, (5, 0)), Ok(()));
        assert_eq!(result(5, (0, 5)), Ok(()));
        assert_eq!(result(5, (5, 5)), Ok(()));
        assert_eq!(result(5, (6, 0)), pad(6));
        assert_eq!(result(5, (0, 6)), pad(6));
        // One tap before and one after the input.
        assert_eq!(result(4, (1, 1)), empty);
        assert_eq!(result(4, (2, 0)), Ok(()));
        assert_eq!(result(4, (0, 2)), Ok(()));
        assert_eq!(result(4, (5, 1)), empty);
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_pools_sum_fits_its_shift() {
    let pool = |kernel: u16, pre_shift, each, params: usize| {
        let op = Op::AveragePool(AveragePool {
            multiplier_per_count: each,
            requant: Requant {
                multipliers: ParamIndex::new(1),
                pre_shift,
                clamp: FULL,
            },
            ..average_pool(0, 1, super::window(kernel, 1, 0, 0))
        });
        let mut parts = single(&op, [kernel, kernel, 1], [1, 1, 1], Family::Scalar);
        parts.params.truncate(params);
        parts.load()
    };
    let sum = |limit, found| {
        Err(LoadError::Accumulator {
            op: 0,
            channel: 0,
            limit,
            found,
        })
    };
    assert_eq!(pool(1, 22, false, 2), Ok(()));
    assert_eq!(pool(1, 23, false, 2), sum(256, 256));
    assert_eq!(pool(3, 19, false, 2), Ok(()));
    assert_eq!(pool(3, 20, false, 2), sum(2048, 9 * 256));
    assert_eq!(pool(2, 20, false, 2), Ok(()));
    assert_eq!(pool(2, 21, false, 2), sum(1024, 1024));
    // The shift is looked at by itself first.
    assert_eq!(pool(2, 30, false, 2), sum(2, 1024));
    let shift = |found| Err(LoadError::PreShift { op: 0, found });
    assert_eq!(pool(2, 31, false, 2), shift(31));
    assert_eq!(pool(2, 255, false, 2), shift(255));
    // A multiplier for each count, or one.
    let range = |section, found| {
        Err(LoadError::ParametersRange {
            op: 0,
            section,
            found,
        })
    };
    assert_eq!(pool(2, 0, false, 1), range(1, 2));
    assert_eq!(pool(2, 0, true, 5), Ok(()));
    assert_eq!(pool(2, 0, true, 4), range(4, 5));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_range_may_be_one_value_and_not_less() {
    for (min, max, fits) in [
        (7, 7, true),
        (-128, 127, true),
        (1, 0, false),
        (127, -128, false),
    ] {
        let expected = if fits {
            Ok(())
        } else {
            Err(LoadError::Clamp { op: 0, min, max })
        };
        let mut pool = max_pool(0, 1, POINT);
        let Op::MaxPool(op) = &mut pool else {
            unreachable!("it is one");
        };
        (op.min, op.max) = (min, max);
        assert_eq!(one(&pool, [1, 1, 1], [1, 1, 1]), expected);
        let sum = Op::Add(Add {
            min,
            max,
            ..add(0, 0, 1)
        });
        assert_eq!(one(&sum, [1, 1, 1], [1, 1, 1]), expected);
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn numbers_of_a_sum_have_limits() {
    let sum = |change: &dyn Fn(&mut Add)| {
        let mut op = add(0, 0, 1);
        change(&mut op);
        one(&Op::Add(op), [1, 1, 1], [1, 1, 1])
    };
    for shift in 0..=255 {
        let expected = if (1..=22).contains(&shift) {
            Ok(())
        } else {
            Err(LoadError::AddShift {
                op: 0,
                found: shift,
            })
        };
        assert_eq!(sum(&|op| op.shift = shift), expected);
    }
    let refused = Err(LoadError::AddMultiplier { op: 0 });
    for (multiplier, expected) in [
        (i16::MIN, refused),
        (i16::MIN + 1, Ok(())),
        (i16::MAX, Ok(())),
    ] {
        assert_eq!(sum(&|op| op.a_multiplier = multiplier), expected);
        assert_eq!(sum(&|op| op.b_multiplier = multiplier), expected);
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn numbers_of_an_extremum_have_limits() {
    for make in [Op::Max, Op::Min] {
        let extremum = |change: &dyn Fn(&mut Extremum)| {
            let mut op = extremum(0, 0, 1);
            change(&mut op);
            one(&make(op), [1, 1, 1], [1, 1, 1])
        };
        for (shift, taken) in [(0, false), (1, true), (22, true), (23, false)] {
            let refused = Err(LoadError::AddShift {
                op: 0,
                found: shift,
            });
            let expected = if taken { Ok(()) } else { refused };
            assert_eq!(extremum(&|op| op.shift = shift), expected);
        }
        // As nothing is added up, any multiplier will do.
        for multiplier in [i16::MIN, i16::MAX] {
            assert_eq!(extremum(&|op| op.a_multiplier = multiplier), Ok(()));
            assert_eq!(extremum(&|op| op.b_multiplier = multiplier), Ok(()));
        }
        let range = |min, max| {
            extremum(&|op| {
                op.min = min;
                op.max = max;
            })
        };
        assert_eq!(range(5, 5), Ok(()));
        let refused = LoadError::Clamp {
            op: 0,
            min: 5,
            max: 4,
        };
        assert_eq!(range(5, 4), Err(refused));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_product_fits_its_shift() {
    let product = |pre_shift| {
        let op = Op::Mul(Mul {
            requant: Requant {
                pre_shift,
                ..mul(0, 0, 1).requant
            },
            ..mul(0, 0, 1)
        });
        one(&op, [1, 1, 1], [1, 1, 1])
    };
    assert_eq!(product(15), Ok(()));
    let refused = LoadError::Accumulator {
        op: 0,
        channel: 0,
        limit: 1 << 15,
        found: 255 * 255,
    };
    assert_eq!(product(16), Err(refused));
    // One multiplier, whatever the channels.
    let op = Op::Mul(Mul {
        requant: Requant {
            multipliers: ParamIndex::new(511),
            ..mul(0, 0, 1).requant
        },
        ..mul(0, 0, 1)
    });
    assert_eq!(one(&op, [1, 1, 9], [1, 1, 9]), Ok(()));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_second_operand_has_the_shape_of_the_first_or_is_a_pixel_or_a_value() {
    for make in [
        |a, b, y| Op::Add(add(a, b, y)),
        |a, b, y| Op::Mul(mul(a, b, y)),
        |a, b, y| Op::Max(extremum(a, b, y)),
    ] {
        let result = |b: [u16; 3], y: [u16; 3]| {
            let tensors = [tensor(0, [2, 3, 4]), tensor(32, b), tensor(64, y)];
            load(&tensors, &[0, 1], &[2], &[make(0, 1, 2)])
        };
        let a = [2, 3, 4];
        assert_eq!(result([2, 3, 4], a), Ok(()));
        assert_eq!(result([1, 1, 4], a), Ok(()));
        assert_eq!(result([1, 1, 1], a), Ok(()));
        assert_eq!(result([1, 1, 2], a), shape(0, 2, 1));
        assert_eq!(result([1, 1, 5], a), shape(0, 2, 1));
        assert_eq!(result([2, 1, 4], a), shape(1, 3, 1));
        assert_eq!(result([1, 3, 4], a), shape(0, 2, 1));
        assert_eq!(result([2, 3, 1], a), shape(2, 4, 1));
        assert_eq!(result([2, 1, 1], a), shape(1, 3, 1));
        assert_eq!(result([1, 3, 1], a), shape(0, 2, 1));
        assert_eq!(result([3, 3, 4], a), shape(0, 2, 3));
        assert_eq!(result(a, [1, 3, 4]), shape(0, 2, 1));
        assert_eq!(result(a, [2, 2, 4]), shape(1, 3, 2));
        assert_eq!(result(a, [2, 3, 5]), shape(2, 4, 5));
        assert_eq!(result([1, 1, 1], [1, 1, 1]), shape(0, 2, 1));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_table_has_256_bytes() {
    let op = lut(0, 1);
    let result = |bytes: usize, at: u32| {
        let mut parts = single(&op, [1, 2, 3], [1, 2, 3], Family::Scalar);
        parts.weights.truncate(bytes);
        match &mut parts.program.ops[0] {
            Op::Lut(op) => op.table = WeightsOffset::new(at),
            other => panic!("{other:?}"),
        }
        parts.load()
    };
    let range = |section, found| {
        Err(LoadError::WeightsRange {
            op: 0,
            section,
            found,
        })
    };
    assert_eq!(result(256, 0), Ok(()));
    assert_eq!(result(255, 0), range(255, 256));
    assert_eq!(result(272, 16), Ok(()));
    assert_eq!(result(271, 16), range(271, 272));
    for at in [1, 8, 15, 17] {
        let refused = Err(LoadError::WeightsAlignment { op: 0, found: at });
        assert_eq!(result(1024, at), refused);
    }
    assert_eq!(result(256, u32::MAX - 15), range(256, (1 << 32) + 240));
    for (output, refused) in [
        ([2, 2, 3], shape(0, 1, 2)),
        ([1, 3, 3], shape(1, 2, 3)),
        ([1, 2, 2], shape(2, 3, 2)),
    ] {
        for op in [lut(0, 1), softmax(0, 1), scaled_softmax(0, 1)] {
            assert_eq!(one(&op, [1, 2, 3], output), refused);
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_softmax_table_starts_with_one_and_stays_within() {
    for op in [softmax(0, 1), scaled_softmax(0, 1)] {
        let with = |change: &dyn Fn(&mut Parts)| {
            let mut parts = single(&op, [1, 2, 3], [1, 2, 3], Family::Scalar);
            parts.params.truncate(256);
            change(&mut parts);
            parts.load()
        };
        let one = 1 << 20;
        assert_eq!(with(&|_| {}), Ok(()));
        assert_eq!(with(&|p| p.params[1..].fill(one)), Ok(()));
        let refused = LoadError::ParametersRange {
            op: 0,
            section: 255,
            found: 256,
        };
        assert_eq!(with(&|p| p.params.truncate(255)), Err(refused));
        let wrong = |at: u32, found| Err(LoadError::SoftmaxTable { op: 0, at, found });
        for (at, value) in [
            (0, one - 1),
            (0, one + 1),
            (0, 0),
            (1, one + 1),
            (1, -1),
            (255, one + 1),
            (255, -1),
        ] {
            let found = with(&|p| p.params[at] = value);
            assert_eq!(found, wrong(at as u32, value), "{at} {value}");
        }
        for (channels, fits) in [(2047, true), (2048, false)] {
            let refused = LoadError::SoftmaxRow {
                op: 0,
                found: channels.into(),
            };
            let result = super::operators::one(&op, [1, 1, channels], [1, 1, channels]);
            assert_eq!(result, if fits { Ok(()) } else { Err(refused) });
        }
        let zero = with(&|p| p.program.tensors[1].zero_point = -127);
        let refused = LoadError::ZeroPoint {
            op: 0,
            expected: -128,
            found: -127,
        };
        assert_eq!(zero, Err(refused));
        assert_eq!(with(&|p| p.program.tensors[0].zero_point = 5), Ok(()));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_transpose_is_a_permutation_of_all_elements() {
    let result = |dims, perm, input, output| {
        let op = Op::Transpose(Transpose {
            input: 0,
            output: 1,
            dims,
            perm,
        });
        one(&op, input, output)
    };
    let (input, output) = ([2, 3, 4], [4, 3, 2]);
    let mut good = 0;
    for code in 0..625_u16 {
        let perm = [code % 5, code / 5 % 5, code / 25 % 5, code / 125].map(|axis| axis as u8);
        let mut sorted = perm;
        sorted.sort_unstable();
        let expected = if sorted == [0, 1, 2, 3] {
            good += 1;
            Ok(())
        } else {
            Err(LoadError::Permutation { op: 0 })
        };
        assert_eq!(result([1, 2, 3, 4], perm, input, output), expected);
    }
    assert_eq!(good, 24);
    let elements = |expected, found| {
        Err(LoadError::Elements {
            op: 0,
            expected,
            found,
        })
    };
    let perm = [3, 2, 1, 0];
    assert_eq!(result([4, 3, 2, 1], perm, input, output), Ok(()));
    assert_eq!(result([1, 2, 3, 3], perm, input, output), elements(18, 24));
    assert_eq!(result([1, 2, 3, 5], perm, input, output), elements(30, 24));
    assert_eq!(result([0, 2, 3, 4], perm, input, output), elements(0, 24));
    assert_eq!(
        result([1, 2, 3, 4], perm, input, [4, 3, 3]),
        elements(24, 36)
    );
    assert_eq!(
        result([1, 2, 3, 4], perm, input, [4, 3, 1]),
        elements(24, 12)
    );
    assert_eq!(
        result([1, 2, 3, 4], perm, [2, 3, 5], output),
        elements(24, 30)
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_concat_joins_along_one_of_three_axes() {
    let result = |axis: u8, inputs: &[[u16; 3]], output: [u16; 3]| {
        let mut tensors = vec![tensor(0, output)];
        tensors.extend(
            (1..)
                .zip(inputs)
                .map(|(at, &shape)| tensor(1000 * at, shape)),
        );
        let read: Vec<u16> = (1..=inputs.len() as u16).collect();
        load(
            &tensors,
            &read[..read.len().min(4)],
            &[0],
            &[concat(&read, 0, axis)],
        )
    };
    let (a, b) = ([2, 3, 4], [5, 3, 4]);
    assert_eq!(result(0, &[a, b], [7, 3, 4]), Ok(()));
    assert_eq!(result(0, &[a, b, a], [9, 3, 4]), Ok(()));
    assert_eq!(result(0, &[a], a), Ok(()));
    assert_eq!(result(1, &[a, [2, 1, 4]], [2, 4, 4]), Ok(()));
    assert_eq!(result(2, &[a, [2, 3, 1]], [2, 3, 5]), Ok(()));
    for axis in [3, 4, 255] {
        let refused = Err(LoadError::Axis { op: 0, found: axis });
        assert_eq!(result(axis, &[a, a], a), refused);
    }
    assert_eq!(result(0, &[a, b], [6, 3, 4]), shape(0, 7, 6));
    assert_eq!(result(0, &[a, b], [8, 3, 4]), shape(0, 7, 8));
    assert_eq!(result(1, &[a, a], [2, 5, 4]), shape(1, 6, 5));
    assert_eq!(result(2, &[a, a], [2, 3, 7]), shape(2, 8, 7));
    // Another axis of the first, or of the second.
    assert_eq!(result(0, &[[2, 2, 4], b], [7, 3, 4]), shape(1, 3, 2));
    assert_eq!(result(0, &[a, [5, 4, 4]], [7, 3, 4]), shape(1, 3, 4));
    assert_eq!(result(0, &[a, [5, 3, 5]], [7, 3, 4]), shape(2, 4, 5));
    assert_eq!(result(2, &[a, [1, 3, 4]], [2, 3, 8]), shape(0, 2, 1));
    // The sum of heights is wider than 16 bits.
    let long = [60000, 1, 1];
    let tensors = [
        tensor(0, [54464, 1, 1]),
        tensor(60000, long),
        tensor(120_000, long),
    ];
    let wrapped = load(&tensors, &[1, 2], &[0], &[concat(&[1, 2], 0, 0)]);
    assert_eq!(wrapped, shape(0, 120_000, 54464));
    for at in [1, 2] {
        let mut p = parts(
            &[tensor(0, [4, 3, 4]), tensor(100, a), tensor(200, a)],
            &[1, 2],
            &[0],
            &[concat(&[1, 2], 0, 0)],
        );
        p.program.tensors[at].zero_point = 3;
        let refused = LoadError::ZeroPoint {
            op: 0,
            expected: 3,
            found: ZERO,
        };
        assert_eq!(p.load(), Err(refused));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_pad_adds_its_borders_in_each_direction() {
    let result = |before, after, output| {
        let op = Op::Pad(Pad {
            input: 0,
            output: 1,
            before,
            after,
            value: 0,
        });
        one(&op, [2, 3, 4], output)
    };
    assert_eq!(result([1, 2, 3], [4, 5, 6], [7, 10, 13]), Ok(()));
    assert_eq!(result([0, 0, 0], [0, 0, 0], [2, 3, 4]), Ok(()));
    assert_eq!(result([1, 2, 3], [4, 5, 6], [6, 10, 13]), shape(0, 7, 6));
    assert_eq!(result([1, 2, 3], [4, 5, 6], [7, 11, 13]), shape(1, 10, 11));
    assert_eq!(result([1, 2, 3], [4, 5, 6], [7, 10, 12]), shape(2, 13, 12));
    assert_eq!(
        result([u16::MAX, 0, 0], [0, 0, 0], [1, 3, 4]),
        shape(0, 65537, 1)
    );
}

#[test]
fn a_constant_has_a_byte_for_each_element() {
    let result = |bytes: usize, at: u32| {
        let data = WeightsOffset::new(at);
        let op = Op::Constant(Constant { output: 0, data });
        let mut p = parts(&[tensor(0, [2, 3, 5])], &[], &[0], &[op]);
        p.weights.truncate(bytes);
        p.load()
    };
    assert_eq!(result(46, 16), Ok(()));
    let refused = LoadError::WeightsRange {
        op: 0,
        section: 45,
        found: 46,
    };
    assert_eq!(result(45, 16), Err(refused));
    assert_eq!(
        result(100, 8),
        Err(LoadError::WeightsAlignment { op: 0, found: 8 })
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_product_has_one_multiplier() {
    let product = |at: u32, multiplier| {
        let op = Op::Mul(Mul {
            requant: Requant {
                multipliers: ParamIndex::new(at),
                ..mul(0, 0, 1).requant
            },
            ..mul(0, 0, 1)
        });
        let mut parts = single(&op, [1, 1, 9], [1, 1, 9], Family::Scalar);
        parts.params = vec![i32::MIN, multiplier];
        parts.load()
    };
    assert_eq!(product(1, 0), Ok(()));
    let refused = LoadError::Multiplier {
        op: 0,
        at: 0,
        found: -1,
    };
    assert_eq!(product(1, -1), Err(refused));
    let refused = LoadError::ParametersRange {
        op: 0,
        section: 2,
        found: 3,
    };
    assert_eq!(product(2, 0), Err(refused));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_reshape_stays_where_it_is() {
    let place = |x, y| {
        let tensors = [tensor(x, [1, 2, 3]), tensor(y, [3, 1, 2])];
        load(&tensors, &[0], &[1], &[super::small::reshape(0, 1)])
    };
    assert_eq!(place(4, 4), Ok(()));
    for (expected, found) in [(4, 3), (4, 5), (0, 6), (6, 0)] {
        let refused = LoadError::ReshapePlace {
            op: 0,
            expected,
            found,
        };
        assert_eq!(place(expected, found), Err(refused));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn what_moves_elements_keeps_their_zero_point() {
    let transpose = Op::Transpose(Transpose {
        input: 0,
        output: 1,
        dims: [1, 1, 2, 3],
        perm: [0, 1, 2, 3],
    });
    let pad = Op::Pad(Pad {
        input: 0,
        output: 1,
        before: [0; 3],
        after: [0; 3],
        value: 0,
    });
    for op in [transpose, pad, concat(&[0], 1, 0), max_pool(0, 1, POINT)] {
        let mut parts = single(&op, [1, 2, 3], [1, 2, 3], Family::Scalar);
        assert_eq!(parts.load(), Ok(()), "{}", op.kind());
        parts.program.tensors[1].zero_point = 7;
        let refused = LoadError::ZeroPoint {
            op: 0,
            expected: ZERO,
            found: 7,
        };
        assert_eq!(parts.load(), Err(refused), "{}", op.kind());
    }
}
