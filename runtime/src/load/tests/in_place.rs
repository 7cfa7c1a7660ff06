//! Outputs over inputs: where each operator may write, to the byte.

use super::super::ops::depthwise_scratch_bytes;
use super::super::{InPlace, in_place};
use super::small::{
    POINT, add, average_pool, concat, conv, extremum, load, lut, max_pool, mul, scaled_softmax,
    softmax, tensor,
};
use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::program::{Conv2d, Op, Scratch, Tensor, Window};

/// Bytes that the output must start before its input, tensor 0; `None` if it may not overlap it.
fn distance(op: &Op, packing: Family, input: &Tensor, output: &Tensor) -> Option<u64> {
    match in_place(op, 0, &[*input, *output], packing) {
        InPlace::Rows(distance) | InPlace::Pixels { distance, .. } => Some(distance.into()),
        InPlace::Never => None,
        other => panic!("{other:?}"),
    }
}

const fn overlap(tensor: u16, other: u16) -> Result<(), LoadError> {
    Err(LoadError::Overlap { tensor, other })
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn elementwise_operators_write_over_an_operand_in_its_very_place() {
    let ops = [
        lut(0, 2),
        softmax(0, 2),
        scaled_softmax(0, 2),
        Op::Add(add(0, 1, 2)),
        Op::Mul(mul(0, 1, 2)),
        Op::Max(extremum(0, 1, 2)),
        Op::Min(extremum(0, 1, 2)),
    ];
    for op in ops {
        let place = |x: u32, b: u32, y: u32| {
            let tensors = [x, b, y].map(|offset| tensor(offset, [1, 1, 8]));
            load(&tensors, &[0, 1], &[2], std::slice::from_ref(&op))
        };
        let kind = op.kind();
        assert_eq!(place(0, 16, 32), Ok(()), "{kind}");
        assert_eq!(place(0, 16, 0), Ok(()), "{kind}");
        // One byte beside it, on either side.
        assert_eq!(place(0, 16, 1), overlap(2, 0), "{kind}");
        assert_eq!(place(1, 16, 0), overlap(2, 0), "{kind}");
    }
    for op in [
        Op::Add(add(0, 1, 2)),
        Op::Mul(mul(0, 1, 2)),
        Op::Max(extremum(0, 1, 2)),
        Op::Min(extremum(0, 1, 2)),
    ] {
        let place = |x: u32, b: (u32, [u16; 3]), y: u32| {
            let tensors = [tensor(x, [1, 2, 4]), tensor(b.0, b.1), tensor(y, [1, 2, 4])];
            load(&tensors, &[0, 1], &[2], std::slice::from_ref(&op))
        };
        assert_eq!(place(0, (16, [1, 2, 4]), 16), Ok(()));
        assert_eq!(place(0, (16, [1, 2, 4]), 17), overlap(2, 1));
        // A value for each channel is read again for the second pixel.
        assert_eq!(place(0, (16, [1, 1, 4]), 32), Ok(()));
        assert_eq!(place(0, (16, [1, 1, 4]), 0), Ok(()));
        assert_eq!(place(0, (16, [1, 1, 4]), 16), overlap(2, 1));
        // Both operands are one tensor.
        let twice = match &op {
            Op::Add(_) => Op::Add(add(0, 0, 1)),
            Op::Max(_) => Op::Max(extremum(0, 0, 1)),
            Op::Min(_) => Op::Min(extremum(0, 0, 1)),
            _ => Op::Mul(mul(0, 0, 1)),
        };
        let twice = std::slice::from_ref(&twice);
        let tensors = |y: u32| [tensor(0, [1, 2, 4]), tensor(y, [1, 2, 4])];
        assert_eq!(load(&tensors(0), &[0], &[1], twice), Ok(()));
        assert_eq!(load(&tensors(1), &[0], &[1], twice), overlap(1, 0));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn operands_that_are_numbered_backwards_are_the_same() {
    // The operand that is written over has the higher or the lower number of the two.
    for (over, apart) in [(0, 1), (1, 0)] {
        let mut tensors = [
            tensor(0, [1, 1, 8]),
            tensor(0, [1, 1, 8]),
            tensor(0, [1, 1, 8]),
        ];
        tensors[apart].offset = 16;
        for (a, b) in [(0, 1), (1, 0)] {
            for op in [
                Op::Add(add(a, b, 2)),
                Op::Mul(mul(a, b, 2)),
                Op::Max(extremum(a, b, 2)),
            ] {
                assert_eq!(load(&tensors, &[0, 1], &[2], &[op]), Ok(()), "{over}");
            }
        }
    }
}

/// Joins tensors 1 and 2, made of tensor 0, to tensor 3, with pixels of 8 channels.
fn joined(axis: u8, input: [u16; 3], output: [u16; 3], places: [u32; 3]) -> Result<(), LoadError> {
    let [a, b, y] = places;
    let tensors = [
        tensor(1000, input),
        tensor(a, input),
        tensor(b, input),
        tensor(y, output),
    ];
    let ops = [lut(0, 1), lut(0, 2), concat(&[1, 2], 3, axis)];
    load(&tensors, &[0], &[3], &ops)
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_concat_finds_inputs_in_their_places_only_along_its_outermost_axis() {
    // (axis, input, output, whether the axis is outermost)
    let cases = [
        (0, [1, 1, 8], [2, 1, 8], true),
        (0, [2, 2, 4], [4, 2, 4], true),
        (1, [1, 1, 8], [1, 2, 8], true),
        (1, [2, 1, 8], [2, 2, 8], false),
        (2, [1, 1, 8], [1, 1, 16], true),
        (2, [1, 2, 8], [1, 2, 16], false),
        (2, [2, 1, 8], [2, 1, 16], false),
    ];
    for (axis, input, output, outermost) in cases {
        let length: u32 = input.iter().map(|&dim| u32::from(dim)).product();
        let result = |a, b| joined(axis, input, output, [a, b, 100]);
        let case = format!("{axis} {output:?}");
        let or = |other| if outermost { Ok(()) } else { overlap(3, other) };
        // Both in place, only the first, only the second.
        assert_eq!(result(100, 100 + length), or(1), "{case}");
        assert_eq!(result(100, 500), or(1), "{case}");
        assert_eq!(result(500, 100 + length), or(2), "{case}");
        // A byte off, on either side.
        assert_eq!(result(101, 500), overlap(3, 1), "{case}");
        assert_eq!(result(99, 500), overlap(3, 1), "{case}");
        assert_eq!(result(500, 101 + length), overlap(3, 2), "{case}");
        assert_eq!(result(500, 99 + length), overlap(3, 2), "{case}");
    }
}

/// A window of `kernel` rows and columns.
fn window(kernel: u16, stride: u8, pad: u8) -> Window {
    super::window(kernel, stride, pad, pad)
}

/// Height and width of an output.
fn output_size(window: &Window, [h, w]: [u16; 2]) -> [u16; 2] {
    let size = |input: u16, before: u8, after: u8, kernel: u16, dilation: u8, stride: u8| {
        let extent = u16::from(dilation) * (kernel - 1) + 1;
        (input + u16::from(before) + u16::from(after) - extent) / u16::from(stride) + 1
    };
    let v = window;
    [
        size(
            h,
            v.pad_top,
            v.pad_bottom,
            v.kernel_h,
            v.dilation_h,
            v.stride_h,
        ),
        size(
            w,
            v.pad_left,
            v.pad_right,
            v.kernel_w,
            v.dilation_w,
            v.stride_w,
        ),
    ]
}

/// The distance by the words of the format's description.
fn described(window: &Window, input: &Tensor, output: &Tensor, ring: bool) -> u64 {
    let row = |tensor: &Tensor| i64::from(tensor.w) * i64::from(tensor.c);
    let depth = (i64::from(window.kernel_h) - 1) * i64::from(window.dilation_h) + 1;
    let held = if ring { depth } else { 0 };
    let mut most = 0;
    for at in 0..i64::from(output.h) {
        let first = (at * i64::from(window.stride_h) - i64::from(window.pad_top) + held).max(0);
        if ring && first >= i64::from(input.h) {
            continue;
        }
        let done = first.min(i64::from(input.h)) * row(input);
        most = most.max((at + 1) * row(output) - done);
    }
    most as u64
}

fn with_scratch(mut conv: Conv2d, bytes: u64) -> Conv2d {
    conv.scratch = Scratch {
        offset: 1 << 20,
        bytes: bytes as u32,
    };
    conv
}

#[test]
fn distances_of_rows_are_those_of_the_description() {
    let mut counted = 0;
    for (kernel, dilation, stride, pad) in [
        (1, 1, 1, 0),
        (1, 1, 2, 0),
        (2, 1, 2, 0),
        (3, 1, 1, 0),
        (3, 1, 1, 1),
        (3, 1, 2, 1),
        (3, 2, 1, 2),
        (2, 3, 3, 2),
        (5, 1, 1, 4),
        (1, 1, 1, 3),
    ] {
        let window = Window {
            dilation_h: dilation,
            dilation_w: dilation,
            ..window(kernel, stride, pad)
        };
        for size in [[6, 5], [7, 3], [9, 8], [5, 6]] {
            for channels in [[4, 4], [2, 7], [7, 2]] {
                let [h, w] = output_size(&window, size);
                let input = tensor(0, [size[0], size[1], channels[0]]);
                let output = tensor(0, [h, w, channels[1]]);
                let rows = described(&window, &input, &output, false);
                let found = |op: Op| distance(&op, Family::Scalar, &input, &output);
                assert_eq!(found(Op::Conv2d(conv(0, 1, window))), Some(rows));
                assert_eq!(found(max_pool(0, 1, window)), Some(rows));
                let average = Op::AveragePool(average_pool(0, 1, window));
                assert_eq!(found(average), Some(rows));
                counted += 1;
                let depthwise =
                    |bytes| Op::DepthwiseConv2d(with_scratch(conv(0, 1, window), bytes));
                if channels[0] != channels[1] {
                    assert_eq!(found(depthwise(1 << 16)), None);
                    continue;
                }
                let ring = described(&window, &input, &output, true);
                let need = depthwise_scratch_bytes(&window, &input, &output);
                for packing in Family::ALL {
                    let found = |bytes| distance(&depthwise(bytes), packing, &input, &output);
                    let held = if packing == Family::Mve { rows } else { ring };
                    assert_eq!(found(need), Some(held), "{window:?} {size:?} {packing:?}");
                    assert_eq!(found(need + 1), Some(held));
                    assert_eq!(found(need - 1), Some(rows));
                    assert_eq!(found(0), Some(rows));
                }
            }
        }
    }
    assert_eq!(counted, 120);
}

#[test]
fn distances_are_known_for_some_layers() {
    let case = |window, size: [u16; 2], [c, d]: [u16; 2], op: fn(Conv2d) -> Op| {
        let [h, w] = output_size(&window, size);
        let input = tensor(0, [size[0], size[1], c]);
        let output = tensor(0, [h, w, d]);
        let op = op(with_scratch(conv(0, 1, window), 1 << 16));
        distance(&op, Family::Scalar, &input, &output)
    };
    // A 3x3 window with a border: a row ahead of the one above the window's middle, two rows of 5 pixels in all.
    assert_eq!(case(window(3, 1, 1), [6, 5], [4, 4], Op::Conv2d), Some(40));
    // Without the border, one row of the smaller output.
    assert_eq!(case(window(3, 1, 0), [6, 5], [4, 4], Op::Conv2d), Some(12));
    // Half the rows: only the first one is ahead.
    assert_eq!(case(window(3, 2, 1), [6, 6], [4, 4], Op::Conv2d), Some(12));
    // A ring holds the whole window.
    let depthwise = Op::DepthwiseConv2d;
    assert_eq!(case(window(3, 1, 1), [6, 5], [4, 4], depthwise), Some(0));
    // A window over more taps than the ring's kernel takes.
    let large = window(9, 1, 4);
    assert_eq!(case(large, [12, 12], [4, 4], depthwise), Some(5 * 48));
    // Two taps far apart, both in the padding for the last outputs: all of the input is read by then, and the rows may be written.
    let apart = Window {
        kernel_w: 1,
        dilation_h: 9,
        pad_left: 0,
        pad_right: 0,
        ..window(2, 1, 8)
    };
    assert_eq!(case(apart, [2, 1], [1, 1], depthwise), Some(0));
}

#[test]
fn pixels_may_be_written_over_if_scratch_holds_one() {
    let input = tensor(0, [4, 4, 8]);
    let found = |change: &dyn Fn(&mut Conv2d), output: [u16; 3]| {
        let mut conv = with_scratch(conv(0, 1, POINT), 8);
        change(&mut conv);
        distance(
            &Op::Conv2d(conv),
            Family::Scalar,
            &input,
            &tensor(0, output),
        )
    };
    assert_eq!(found(&|_| {}, [4, 4, 8]), Some(0));
    assert_eq!(found(&|_| {}, [4, 4, 7]), Some(0));
    assert_eq!(found(&|c| c.scratch.bytes = 9, [4, 4, 8]), Some(0));
    // Each condition that does not hold, alone: a row ahead is a row's bytes.
    assert_eq!(found(&|_| {}, [4, 4, 9]), Some(4 * 36 - 3 * 32));
    let rows = Some(32);
    assert_eq!(found(&|c| c.scratch.bytes = 7, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.scratch.bytes = 0, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.groups = 2, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.groups = 0, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.stride_w = 2, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.stride_w = 0, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.stride_h = 2, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.kernel_w = 2, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.kernel_w = 0, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.kernel_h = 2, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.kernel_h = 0, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.pad_left = 1, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.pad_right = 1, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.pad_bottom = 1, [4, 4, 8]), rows);
    assert_eq!(found(&|c| c.window.pad_top = 1, [4, 4, 8]), Some(64));
    // With a stride of 0 every row reads the first one.
    assert_eq!(found(&|c| c.window.stride_h = 0, [4, 4, 8]), Some(128));
}

/// Loads an operator from tensor 0 to tensor 1, with `apart` bytes from the start of the output to that of the input, or from the input's to the output's.
fn placed(op: &Op, input: [u16; 3], output: [u16; 3], apart: i64) -> Result<(), LoadError> {
    let (x, y) = if apart >= 0 { (apart, 0) } else { (0, -apart) };
    let tensors = [tensor(x as u32, input), tensor(y as u32, output)];
    load(&tensors, &[0], &[1], std::slice::from_ref(op))
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn rows_are_written_over_rows_at_the_distance_and_no_nearer() {
    let padded = window(3, 1, 1);
    // A pool whose pad is as large as its padding lets it: two rows of 20 bytes ahead.
    for op in [
        Op::Conv2d(conv(0, 1, padded)),
        max_pool(0, 1, padded),
        Op::AveragePool(average_pool(0, 1, padded)),
    ] {
        let kind = op.kind();
        let place = |apart| placed(&op, [6, 5, 4], [6, 5, 4], apart);
        assert_eq!(place(120), Ok(()), "{kind}");
        assert_eq!(place(119), Ok(()), "{kind}");
        assert_eq!(place(41), Ok(()), "{kind}");
        assert_eq!(place(40), Ok(()), "{kind}");
        for near in [39, 20, 0, -1, -40, -119] {
            assert_eq!(place(near), overlap(1, 0), "{kind} {near}");
        }
        assert_eq!(place(-120), Ok(()), "{kind}");
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_depthwise_convolution_is_whole_pixels_before_its_input() {
    let mut layer = conv(0, 1, window(3, 1, 1));
    layer.groups = 4;
    let op = Op::DepthwiseConv2d(layer.clone());
    let place = |op: &Op, apart| placed(op, [6, 5, 4], [6, 5, 4], apart);
    // Without the ring's scratch, two rows; other than by whole pixels it would write over other channels.
    assert_eq!(place(&op, 40), Ok(()));
    assert_eq!(place(&op, 44), Ok(()));
    for apart in [36, 39, 41, 42, 43, 0, -4] {
        assert_eq!(place(&op, apart), overlap(1, 0), "{apart}");
    }
    // With it, its very place.
    let (input, output) = (tensor(0, [6, 5, 4]), tensor(0, [6, 5, 4]));
    let need = depthwise_scratch_bytes(&layer.window, &input, &output);
    layer.scratch = Scratch {
        offset: 1 << 10,
        bytes: need as u32,
    };
    let op = Op::DepthwiseConv2d(layer.clone());
    assert_eq!(place(&op, 0), Ok(()));
    assert_eq!(place(&op, 4), Ok(()));
    for apart in [1, 2, 3, -1, -4] {
        assert_eq!(place(&op, apart), overlap(1, 0), "{apart}");
    }
    layer.scratch.bytes -= 1;
    assert_eq!(place(&Op::DepthwiseConv2d(layer.clone()), 0), overlap(1, 0));
    // More output than input channels: nowhere over the input.
    let mut layer = conv(0, 1, POINT);
    (layer.groups, layer.requant.clamp) = (4, super::FULL);
    let op = Op::DepthwiseConv2d(layer);
    let place = |apart| placed(&op, [1, 1, 4], [1, 1, 8], apart);
    assert_eq!(place(8), Ok(()));
    assert_eq!(place(7), overlap(1, 0));
    assert_eq!(place(4), overlap(1, 0));
}

#[test]
fn a_single_channel_is_a_pixel_too() {
    let layer = |bytes| Op::Conv2d(with_scratch(conv(0, 1, POINT), bytes));
    let line = tensor(0, [4, 4, 1]);
    let found = |bytes| distance(&layer(bytes), Family::Scalar, &line, &line);
    assert_eq!(found(1), Some(0));
    assert_eq!(found(0), Some(4));
}
