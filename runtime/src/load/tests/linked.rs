//! Builds with some kernels only: each operator needs the bits of its kernel's parts, and no others.

use super::super::Model;
use super::super::kernels_of;
use super::super::ops::{self, depthwise_scratch_bytes};
use super::super::site::Site;
use super::Parts;
use super::small::{
    POINT, REQUANT, add, average_pool, conv, extremum, fully_connected, lut, max_pool, mul,
    reshape, scaled_softmax, single, softmax, tensor,
};
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::family::Family;
use crate::format::place::WeightsOffset;
use crate::format::program::{
    Clamp, Concat, Constant, Conv2d, Op, Pad, Requant, Tensor, Transpose, WeightType, Window,
};
use crate::parts::*;

fn loads<K: Kernels>(parts: &Parts) -> Result<(), LoadError> {
    Model::<2, 1, K>::with_kernels(&AlignedBlob::new(&parts.blob())).map(|_| ())
}

/// A build with these kernels.
macro_rules! of {
    ($set:expr) => {
        Linked<{ $set.bits() }>
    };
}

/// Every kernel.
const ALL: KernelSet = KernelSet::ALL;

fn kernels_of_op(op: &Op, tensors: &[Tensor], packing: Family) -> KernelSet {
    ops::parts::<AllKernels>(op, &Site { tensors, packing })
}

/// A model of one operator loads in a build with these bits, and in none that lacks one of them; an operator without any of its bits is refused
/// for that, whatever else is wrong with it.
macro_rules! needs {
    ($parts:expr, $broken:expr; $($bit:ident),+) => {{
        let mut parts: Parts = $parts;
        assert_eq!(kernels_of(&parts.blob()), Ok(KernelSet::NONE $(| $bit)+));
        assert_eq!(loads::<of!(KernelSet::NONE $(.or($bit))+)>(&parts), Ok(()));
        $(
            let refused = Err(LoadError::Kernel { op: 0 });
            assert_eq!(loads::<of!(ALL.without($bit))>(&parts), refused, "{}", stringify!($bit));
        )+
        let broken: fn(&mut Parts) = $broken;
        broken(&mut parts);
        let refused = Err(LoadError::Kernel { op: 0 });
        assert_eq!(loads::<of!(KernelSet::NONE)>(&parts), refused);
        assert_ne!(loads::<AllKernels>(&parts), Ok(()));
    }};
}

/// Wrong for most operators.
const OTHER_SHAPE: fn(&mut Parts) = |parts| {
    let output = &mut parts.program.tensors[1];
    (output.h, output.c) = (output.c, output.h);
};

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn operators_need_their_kernels() {
    let one = |op: Op, input, output| single(&op, input, output, Family::Scalar);
    let (line, wide) = ([1, 2, 4], [1, 2, 8]);
    needs!(one(lut(0, 1), line, line), OTHER_SHAPE; LUT);
    needs!(one(softmax(0, 1), line, line), OTHER_SHAPE; SOFTMAX);
    needs!(one(scaled_softmax(0, 1), line, line), OTHER_SHAPE; SCALED_SOFTMAX);
    needs!(one(Op::Add(add(0, 0, 1)), line, line), OTHER_SHAPE; ADD);
    needs!(one(Op::Mul(mul(0, 0, 1)), line, line), OTHER_SHAPE; MUL);
    needs!(one(Op::Max(extremum(0, 0, 1)), line, line), OTHER_SHAPE; EXTREMUM);
    needs!(one(Op::Min(extremum(0, 0, 1)), line, line), OTHER_SHAPE; EXTREMUM);
    let mut same = one(reshape(0, 1), line, [2, 2, 2]);
    same.program.tensors[1].offset = 0;
    same.program.arena_bytes = 8;
    needs!(same, |parts| parts.program.tensors[1].zero_point = 0; RESHAPE);
    let transpose = Op::Transpose(Transpose {
        input: 0,
        output: 1,
        dims: [1, 1, 2, 4],
        perm: [0, 1, 3, 2],
    });
    let other_zero: fn(&mut Parts) = |parts| parts.program.tensors[1].zero_point = 0;
    needs!(one(transpose, line, [1, 4, 2]), other_zero; TRANSPOSE);
    let concat = Op::Concat(Concat {
        inputs: heapless::Vec::from_slice(&[0, 0]).unwrap(),
        output: 1,
        axis: 2,
    });
    needs!(one(concat, line, wide), OTHER_SHAPE; CONCAT);
    let pad = Op::Pad(Pad {
        input: 0,
        output: 1,
        before: [0, 0, 4],
        after: [0; 3],
        value: 0,
    });
    needs!(one(pad, line, wide), OTHER_SHAPE; PAD);
    let constant = Op::Constant(Constant {
        output: 1,
        data: WeightsOffset::new(0),
    });
    let unaligned: fn(&mut Parts) = |parts| {
        let Op::Constant(op) = &mut parts.program.ops[0] else {
            unreachable!("it is one");
        };
        op.data = WeightsOffset::new(1);
    };
    needs!(one(constant, line, line), unaligned; CONSTANT);
    let window = Window {
        kernel_w: 2,
        ..POINT
    };
    let dilated_w = Window {
        dilation_w: 2,
        ..POINT
    };
    let dilated_h = Window {
        dilation_h: 2,
        ..POINT
    };
    let narrow = [1, 1, 4];
    needs!(one(max_pool(0, 1, window), line, narrow), OTHER_SHAPE; MAX_POOL);
    needs!(one(max_pool(0, 1, dilated_w), line, line), OTHER_SHAPE; MAX_POOL, DILATED_POOLS);
    let average = |window| Op::AveragePool(average_pool(0, 1, window));
    needs!(one(average(window), line, narrow), OTHER_SHAPE; AVERAGE_POOL);
    needs!(one(average(dilated_h), line, line), OTHER_SHAPE; AVERAGE_POOL, DILATED_POOLS);
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn layers_need_their_kernels_and_the_parts_of_these() {
    let mut layer = fully_connected(0, 1);
    let dense = |layer: &_| Op::FullyConnected(Clone::clone(layer));
    let one = |op: Op, input, output| single(&op, input, output, Family::Scalar);
    let pairs = |op: Op, input, output| {
        let mut parts = single(&op, input, output, Family::Dsp);
        parts.weights.fill(0x11);
        parts
    };
    let (line, narrow, odd) = ([1, 2, 4], [1, 1, 4], [1, 1, 3]);
    needs!(one(dense(&layer), line, odd), OTHER_SHAPE; FULLY_CONNECTED, INT8_WEIGHTS);
    layer.weight_type = WeightType::Int4;
    needs!(one(dense(&layer), line, odd), OTHER_SHAPE; FULLY_CONNECTED, INT4_WEIGHTS);
    layer.weight_type = WeightType::PairedInt8;
    needs!(pairs(dense(&layer), line, narrow), OTHER_SHAPE; PAIRED_FULLY_CONNECTED, INT8_WEIGHTS);
    layer.weight_type = WeightType::PairedInt4;
    needs!(pairs(dense(&layer), line, odd), OTHER_SHAPE;
        PAIRED_FULLY_CONNECTED, INT4_WEIGHTS, ODD_CHANNELS);

    let mut layer = conv(0, 1, POINT);
    let plain = |layer: &Conv2d| Op::Conv2d(layer.clone());
    needs!(one(plain(&layer), line, line), OTHER_SHAPE; CONV_2D, INT8_WEIGHTS);
    layer.weight_type = WeightType::Int4;
    needs!(one(plain(&layer), line, line), OTHER_SHAPE; CONV_2D, INT4_WEIGHTS);
    layer.weight_type = WeightType::PairedInt8;
    needs!(pairs(plain(&layer), line, line), OTHER_SHAPE;
        PAIRED_CONV_2D, INT8_WEIGHTS, POINTWISE_WINDOWS);
    layer.weight_type = WeightType::PairedInt4;
    needs!(pairs(plain(&layer), [1, 2, 3], [1, 2, 3]), OTHER_SHAPE;
        PAIRED_CONV_2D, INT4_WEIGHTS, BYTE_WINDOWS, ODD_CHANNELS);
    layer.window.kernel_w = 2;
    needs!(pairs(plain(&layer), line, narrow), OTHER_SHAPE;
        PAIRED_CONV_2D, INT4_WEIGHTS, WORD_WINDOWS);

    let mut layer = conv(0, 1, POINT);
    layer.groups = 4;
    let depthwise = |layer: &Conv2d| Op::DepthwiseConv2d(layer.clone());
    needs!(one(depthwise(&layer), line, line), OTHER_SHAPE; DEPTHWISE_ANY, INT8_WEIGHTS);
    layer.weight_type = WeightType::Int4;
    let mut none = one(depthwise(&layer), line, line);
    *none.program.ops[0].scratch_mut().unwrap() = Default::default();
    none.program.arena_bytes =
        crate::format::write::arena_bytes(&none.program.tensors, &none.program.ops);
    needs!(none, OTHER_SHAPE; DEPTHWISE_LARGE, INT4_WEIGHTS);
    layer.weight_type = WeightType::Int8;
    layer.groups = 8;
    let vectors = single(&depthwise(&layer), [1, 2, 8], [1, 2, 8], Family::Mve);
    needs!(vectors, OTHER_SHAPE; DEPTHWISE_VECTORS, INT8_WEIGHTS);
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn what_a_build_has_no_kernel_for_is_not_looked_at() {
    let refused = Err(LoadError::Kernel { op: 0 });
    // A pad that is too large for a dilated pool.
    let window = Window {
        dilation_w: 2,
        pad_left: 1,
        ..POINT
    };
    for op in [
        max_pool(0, 1, window),
        Op::AveragePool(average_pool(0, 1, window)),
    ] {
        let parts = single(&op, [1, 2, 4], [1, 3, 4], Family::Scalar);
        assert_eq!(loads::<of!(ALL.without(DILATED_POOLS))>(&parts), refused);
        let found = LoadError::PoolPad {
            op: 0,
            extent: 1,
            found: 1,
        };
        assert_eq!(loads::<AllKernels>(&parts), Err(found));
    }
    // Weights in pairs without their scratch.
    let mut layer = fully_connected(0, 1);
    layer.weight_type = WeightType::PairedInt8;
    let op = Op::FullyConnected(layer);
    let mut parts = single(&op, [1, 1, 4], [1, 1, 4], Family::Dsp);
    parts.program.ops[0].scratch_mut().unwrap().offset += 1;
    parts.program.arena_bytes += 1;
    assert_eq!(loads::<of!(KernelSet::NONE)>(&parts), refused);
    let found = loads::<AllKernels>(&parts);
    assert!(matches!(found, Err(LoadError::ScratchSize { .. })));
}

/// Bits of a depthwise convolution over 8 rows and columns.
fn depthwise(
    channels: [u16; 2],
    packing: Family,
    scratch: i64,
    change: impl Fn(&mut Conv2d),
) -> KernelSet {
    let window = super::window(3, 1, 1, 1);
    let mut layer = conv(0, 1, window);
    layer.groups = channels[0];
    change(&mut layer);
    let stride = u16::from(layer.window.stride_w);
    let tensors = [
        tensor(0, [8, 8, channels[0]]),
        tensor(0, [8 / stride, 8 / stride, channels[1]]),
    ];
    let need = depthwise_scratch_bytes(&layer.window, &tensors[0], &tensors[1]);
    let vectors = u64::from(layer.window.kernel_h)
        * u64::from(layer.window.kernel_w)
        * u64::from(channels[0]);
    let need = if packing == Family::Mve {
        vectors
    } else {
        need
    };
    layer.scratch.bytes = u32::try_from(need as i64 + scratch).unwrap();
    kernels_of_op(&Op::DepthwiseConv2d(layer), &tensors, packing)
        .without(INT8_WEIGHTS | INT4_WEIGHTS)
}

#[test]
fn depthwise_convolutions_need_the_kernel_that_will_run_them() {
    let scalar = |change: &dyn Fn(&mut Conv2d)| depthwise([8, 8], Family::Scalar, 0, change);
    assert_eq!(scalar(&|_| {}), DEPTHWISE_3X3_STRIDE_1);
    let whole = |min, max| Requant {
        clamp: Clamp::PerTensor { min, max },
        ..REQUANT
    };
    let general = DEPTHWISE_3X3_STRIDE_1 | DEPTHWISE_GENERAL;
    assert_eq!(scalar(&|op| op.requant = whole(-127, 127)), general);
    assert_eq!(scalar(&|op| op.requant = whole(-128, 126)), general);
    assert_eq!(scalar(&|op| op.requant.pre_shift = 1), general);
    let each = Clamp::PerChannel {
        offset: WeightsOffset::new(0),
    };
    assert_eq!(scalar(&|op| op.requant.clamp = each), general);
    let stride = |op: &mut Conv2d| {
        (op.window.stride_h, op.window.stride_w) = (2, 2);
    };
    assert_eq!(scalar(&stride), DEPTHWISE_3X3_STRIDE_2);
    // Other windows have no short way of requantizing.
    let other = |op: &mut Conv2d| op.window.kernel_h = 4;
    assert_eq!(scalar(&other), DEPTHWISE_ANY);
    let other = |op: &mut Conv2d| {
        op.window.kernel_h = 4;
        op.requant.pre_shift = 1;
    };
    assert_eq!(scalar(&other), DEPTHWISE_ANY);
    // Nor have layers with more output than input channels.
    for channels in [[4, 8], [8, 4]] {
        let bits = depthwise(channels, Family::Scalar, 0, |_| {});
        assert_eq!(bits, DEPTHWISE_ANY);
    }
    let scratch = |change| depthwise([8, 8], Family::Dsp, change, |_| {});
    assert_eq!(scratch(0), DEPTHWISE_3X3_STRIDE_1);
    assert_eq!(scratch(-1), DEPTHWISE_LARGE);

    // Vectors: weights of 8 bits, one range, multiples of 8 channels, one output channel for each, and a window's bytes.
    let mve = |channels, scratch, change: &dyn Fn(&mut Conv2d)| {
        depthwise(channels, Family::Mve, scratch, change) == DEPTHWISE_VECTORS
    };
    assert!(mve([8, 8], 0, &|_| {}));
    assert!(mve([24, 24], 0, &|_| {}));
    assert!(mve([8, 8], 1, &|op| op.requant.pre_shift = 1));
    assert!(mve([8, 8], 0, &|op| op.window.kernel_h = 5));
    assert!(!mve([8, 8], -1, &|_| {}));
    assert!(!mve([8, 16], 0, &|_| {}));
    assert!(!mve([16, 8], 0, &|_| {}));
    assert!(!mve([7, 7], 0, &|_| {}));
    assert!(!mve([12, 12], 0, &|_| {}));
    assert!(!mve([8, 8], 0, &|op| op.weight_type = WeightType::Int4));
    assert!(!mve([8, 8], 0, &|op| op.requant.clamp = each));
    for packing in [Family::Scalar, Family::Dsp] {
        assert_ne!(depthwise([8, 8], packing, 0, |_| {}), DEPTHWISE_VECTORS);
    }
}

#[test]
fn windows_are_read_by_pixels_words_or_bytes() {
    for channels in [1, 2, 3, 5, 6, 7, 4097] {
        assert_eq!(windows(&POINT, channels), BYTE_WINDOWS);
    }
    for channels in [4, 8, 4096] {
        assert_eq!(windows(&POINT, channels), POINTWISE_WINDOWS);
        let others: [fn(&mut Window); 8] = [
            |w| w.kernel_h = 2,
            |w| w.kernel_w = 2,
            |w| w.pad_top = 1,
            |w| w.pad_left = 1,
            |w| w.pad_bottom = 1,
            |w| w.pad_right = 1,
            |w| w.kernel_h = 0,
            |w| w.kernel_w = 0,
        ];
        for change in others {
            let mut window = POINT;
            change(&mut window);
            assert_eq!(windows(&window, channels), WORD_WINDOWS, "{window:?}");
        }
        let stride = Window {
            stride_h: 2,
            stride_w: 2,
            ..POINT
        };
        assert_eq!(windows(&stride, channels), POINTWISE_WINDOWS);
    }
}

#[test]
fn weights_are_int4_where_a_build_has_both_kinds_or_no_other() {
    use WeightType::{Int4, Int8, PairedInt4, PairedInt8};
    for (weight_type, int4) in [
        (Int8, false),
        (PairedInt8, false),
        (Int4, true),
        (PairedInt4, true),
    ] {
        assert_eq!(is_int4::<AllKernels>(weight_type), int4);
        assert_eq!(
            is_int4::<of!(INT4_WEIGHTS.or(INT8_WEIGHTS))>(weight_type),
            int4
        );
        // Nothing else is loaded there.
        assert!(is_int4::<of!(INT4_WEIGHTS)>(weight_type));
        assert!(!is_int4::<of!(INT8_WEIGHTS)>(weight_type));
    }
}

#[test]
fn kernels_of_an_unknown_tensor_are_some() {
    let tensors = [tensor(0, [8, 8, 8])];
    let bits = |input, output| {
        let layer = conv(input, output, POINT);
        kernels_of_op(&Op::DepthwiseConv2d(layer), &tensors, Family::Scalar)
    };
    assert_eq!(bits(0, 1), DEPTHWISE_ANY | INT8_WEIGHTS);
    assert_eq!(bits(1, 0), DEPTHWISE_ANY | INT8_WEIGHTS);
    // Of an output or a window of nothing.
    for (output, kernel_h, kernel_w) in [([0, 8, 8], 3, 3), ([8, 8, 8], 0, 3), ([8, 8, 8], 3, 0)] {
        let window = Window {
            kernel_h,
            kernel_w,
            ..POINT
        };
        let tensors = [tensor(0, [8, 8, 8]), tensor(0, output)];
        let op = Op::DepthwiseConv2d(conv(0, 1, window));
        let bits = kernels_of_op(&op, &tensors, Family::Scalar);
        assert_eq!(bits, DEPTHWISE_ANY | INT8_WEIGHTS);
    }
    for dilation in [0, 2] {
        let window = Window {
            dilation_h: dilation,
            ..POINT
        };
        assert!(is_dilated(&window));
        let window = Window {
            dilation_w: dilation,
            ..POINT
        };
        assert!(is_dilated(&window) && !is_dilated(&POINT));
    }
    let mut layer = conv(1, 1, POINT);
    layer.weight_type = WeightType::PairedInt8;
    let bits = kernels_of_op(&Op::Conv2d(layer), &tensors, Family::Dsp);
    assert_eq!(bits, PAIRED_CONV_2D | INT8_WEIGHTS | POINTWISE_WINDOWS);
}
