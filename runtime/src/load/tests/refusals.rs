//! Every reason to refuse a program.

use super::{Parts, op, window, zoo};
use crate::error::LoadError;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{MaxPool, Op, Port, ScaledSoftmax, Scratch, Tensor};
use crate::format::write::{ProgramParts, arena_bytes};
use crate::limits;

/// The zoo, changed, must be refused with this error.
macro_rules! refuse {
    ($($change:expr => $error:pat),+ $(,)?) => {$(
        let mut parts = zoo();
        let change: fn(&mut Parts) = $change;
        change(&mut parts);
        let result = parts.load();
        assert!(matches!(result, Err($error)), "{}: {:?}", stringify!($change => $error), result);
        // Every error has a message.
        assert!(!result.unwrap_err().to_string().is_empty());
    )+};
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn an_impossible_program_is_refused() {
    use LoadError::*;
    refuse! {
        |p| p.program.arena_bytes += 1 => ArenaBytes { .. },
        |p| p.program.arena_bytes = u32::MAX => ArenaLimit { .. },
        |p| p.program.arena_bytes = 100 => TensorBounds { tensor: 2, arena: 100, .. },
        |p| p.program.tensors[14].offset = u32::MAX => TensorBounds { tensor: 14, .. },
        |p| p.program.tensors[5].w = 0 => EmptyTensor { tensor: 5 },
        |p| op!(p, 1, DepthwiseConv2d).scratch.bytes += 1 => ScratchBounds { op: 1, .. },
        |p| p.program.inputs[0].tensor = 15 => PortTensor { tensors: 15, found: 15 },
        |p| p.program.outputs[0].tensor = u16::MAX => PortTensor { .. },
        |p| p.program.inputs[0].scale_bits = 0 => PortScale { tensor: 0, found: 0 },
        |p| p.program.outputs[0].scale_bits = 0x7F80_0000 => PortScale { tensor: 14, .. },
        |p| p.program.outputs[0].scale_bits = 0xBF80_0000 => PortScale { .. },
        |p| p.program.inputs.push(p.program.inputs[0]) => DuplicateInput { tensor: 0 },
        |p| op!(p, 4, Add).b = 15 => TensorIndex { op: 4, tensors: 15, found: 15 },
        |p| op!(p, 4, Add).b = 7 => ReadBeforeWrite { op: 4, tensor: 7 },
        |p| op!(p, 3, AveragePool).output = 2 => WrittenTwice { op: 3, tensor: 2 },
        |p| { let t = p.tensor([1, 1, 1], 0); assert_eq!(t, 15); p.program.ops.truncate(13);
              p.program.outputs[0].tensor = 13;
              p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops); } => NeverWritten { tensor: 14 },
        |p| { p.program.ops.pop(); } => NeverWritten { tensor: 14 },
        |p| p.program.tensors[4].offset = p.program.tensors[3].offset => Overlap { tensor: 4, other: 3 },
        |p| p.program.tensors[5].offset = p.program.tensors[3].offset + 1 => Overlap { tensor: 5, other: 3 },
        |p| p.program.tensors[10].offset = p.program.tensors[8].offset => Overlap { tensor: 10, other: 8 },
        |p| op!(p, 1, DepthwiseConv2d).scratch.offset = 32 => ArenaBytes { .. },
        |p| op!(p, 0, Conv2d).scratch = Scratch { offset: 31, bytes: 1 } => ScratchOverlap { op: 0, tensor: 0 },
        |p| op!(p, 0, Conv2d).scratch = Scratch { offset: 95, bytes: 1 } => ScratchOverlap { op: 0, tensor: 1 },
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn an_impossible_operator_is_refused() {
    use LoadError::*;
    refuse! {
        |p| op!(p, 0, Conv2d).window.kernel_h = 0 => Window { op: 0 },
        |p| op!(p, 0, Conv2d).window.stride_w = 0 => Window { op: 0 },
        |p| op!(p, 0, Conv2d).window.dilation_h = 0 => Window { op: 0 },
        |p| op!(p, 0, Conv2d).window.dilation_h = 9 => Window { op: 0 },
        |p| op!(p, 2, MaxPool).window.dilation_h = 2 => Shape { op: 2, axis: 0, .. } | Window { op: 2 },
        |p| op!(p, 0, Conv2d).window.pad_right = 2 => Shape { op: 0, axis: 1, expected: 5, found: 4 },
        |p| op!(p, 2, MaxPool).window = window(2, 4, 2, 2) => PoolPad { op: 2, extent: 2, found: 2 },
        // Rows -2 and 3, then -1 and 4, of 4.
        |p| op!(p, 2, MaxPool).window = crate::format::program::Window { stride_h: 1, dilation_h: 5, pad_top: 2, pad_bottom: 1, ..window(2, 2, 0, 0) }
            => PoolWindow { op: 2 },
        |p| op!(p, 0, Conv2d).groups = 0 => Groups { op: 0, found: 0 },
        |p| op!(p, 0, Conv2d).groups = 4 => Groups { op: 0, found: 4 },
        |p| op!(p, 1, DepthwiseConv2d).groups = 2 => Groups { op: 1, found: 2 },
        |p| op!(p, 0, Conv2d).weights = WeightsOffset::new(8) => WeightsAlignment { op: 0, found: 8 },
        |p| op!(p, 0, Conv2d).weights = WeightsOffset::new(p.weights.len() as u32 / 16 * 16) => WeightsRange { op: 0, .. },
        |p| op!(p, 0, Conv2d).bias = ParamIndex::new(u32::MAX) => ParametersRange { op: 0, .. },
        |p| op!(p, 13, Softmax).table += 1 => ParametersRange { op: 13, .. },
        |p| p.weights[3] = -128 => WeightValue { op: 0, at: 3, found: -128 },
        |p| { let at = op!(p, 1, DepthwiseConv2d).weights.get() as usize; p.weights[at + 2] = 0x08; } => WeightValue { op: 1, at: 2, .. },
        |p| { let at = op!(p, 12, FullyConnected).weights.get() as usize; p.weights[at] = -128; } => WeightValue { op: 12, at: 0, .. },
        |p| p.params[5] = -1 => Multiplier { op: 0, at: 1, found: -1 },
        |p| op!(p, 6, Mul).requant.pre_shift = 31 => PreShift { op: 6, found: 31 },
        |p| op!(p, 6, Mul).requant.pre_shift = 16 => Accumulator { op: 6, .. },
        |p| p.params[1] = i32::MIN => Accumulator { op: 0, channel: 1, .. },
        |p| op!(p, 3, AveragePool).requant.pre_shift = 21 => Accumulator { op: 3, limit: 1024, found: 1024, .. },
        |p| op!(p, 2, MaxPool).min = 101 => Clamp { op: 2, min: 101, max: 100 },
        |p| op!(p, 0, Conv2d).requant.clamp = crate::format::program::Clamp::PerTensor { min: 1, max: 0 } => Clamp { op: 0, .. },
        |p| { let at = p.weights.windows(4).position(|w| w == [-100, 100, 0, 0]).unwrap(); p.weights[at] = 101; }
            => Clamp { op: 1, min: 101, max: 100 },
        |p| p.program.tensors[3].zero_point = 0 => ZeroPoint { op: 2, expected: -5, found: 0 },
        |p| p.program.tensors[9].zero_point = 0 => ZeroPoint { op: 8, .. },
        |p| p.program.tensors[10].zero_point = 0 => ZeroPoint { op: 9, .. },
        |p| p.program.tensors[12].zero_point = 0 => ZeroPoint { op: 11, .. },
        |p| p.program.tensors[14].zero_point = 0 => ZeroPoint { op: 13, expected: -128, found: 0 },
        |p| op!(p, 4, Add).shift = 0 => AddShift { op: 4, found: 0 },
        |p| op!(p, 4, Add).shift = 23 => AddShift { op: 4, found: 23 },
        |p| op!(p, 4, Add).b_multiplier = i16::MIN => AddMultiplier { op: 4 },
        |p| op!(p, 4, Add).a = 1 => Shape { op: 4, axis: 0, expected: 4, found: 2 },
        |p| op!(p, 6, Mul).b = 1 => Shape { op: 6, .. },
        |p| p.program.tensors[14].c = 2 => Shape { op: 13, axis: 2, .. } | ArenaBytes { .. },
        |p| op!(p, 7, Lut).table = WeightsOffset::new(p.weights.len().next_multiple_of(16) as u32) => WeightsRange { op: 7, .. },
        |p| op!(p, 5, Constant).data = WeightsOffset::new(p.weights.len().next_multiple_of(16) as u32) => WeightsRange { op: 5, .. },
        |p| { let at = op!(p, 13, Softmax).table.get() as usize; p.params[at] -= 1; } => SoftmaxTable { op: 13, at: 0, .. },
        |p| { let at = op!(p, 13, Softmax).table.get() as usize; p.params[at + 255] = -1; } => SoftmaxTable { op: 13, at: 255, found: -1 },
        |p| { let t = p.tensor([1, 1, 2048], -128); let input = Port { tensor: t, ..p.program.inputs[0] };
              p.program.inputs.push(input); p.program.tensors[14] = p.program.tensors[t as usize];
              p.program.tensors[14].offset += 2048;
              p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
              op!(p, 13, Softmax).input = t; } => SoftmaxRow { op: 13, found: 2048 },
        |p| op!(p, 8, Transpose).perm = [0, 2, 2, 3] => Permutation { op: 8 },
        |p| op!(p, 8, Transpose).dims = [1, 2, 2, 5] => Elements { op: 8, expected: 20, found: 16 },
        |p| op!(p, 9, Concat).axis = 3 => Axis { op: 9, found: 3 },
        |p| op!(p, 9, Concat).inputs.clear() => NoInputs { op: 9 },
        |p| op!(p, 9, Concat).axis = 1 => Shape { op: 9, axis: 2, expected: 8, found: 4 },
        |p| op!(p, 10, Pad).after[2] = 1 => Shape { op: 10, axis: 2, expected: 9, found: 8 },
        |p| p.program.tensors[12].offset -= 1 => ReshapePlace { op: 11, .. },
        |p| p.program.tensors[12].c = 71 => Elements { op: 11, expected: 72, found: 71 },
        |p| p.program.tensors[13] = Tensor { h: 3, c: 1, ..p.program.tensors[13] } => Shape { op: 12, axis: 0, expected: 1, found: 3 },
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_softmax_with_a_scale_of_its_own_is_checked_like_the_other() {
    let load = |steps, change: fn(&mut Parts)| {
        let mut p = zoo();
        change(&mut p);
        let Op::Softmax(op) = &p.program.ops[13] else {
            panic!("operator 13 is the softmax");
        };
        p.program.ops[13] = Op::ScaledSoftmax(ScaledSoftmax {
            input: op.input,
            output: op.output,
            table: op.table,
            steps,
        });
        p.load()
    };
    for (steps, fits) in [
        (0, false),
        (256, false),
        (257, true),
        (1 << 19, true),
        ((1 << 19) + 1, false),
        (u32::MAX, false),
    ] {
        let refused = Err(LoadError::SoftmaxSteps {
            op: 13,
            found: steps,
        });
        assert_eq!(load(steps, |_| {}), if fits { Ok(()) } else { refused });
    }
    let wrong = load(300, |p| p.program.tensors[14].zero_point = 0);
    assert!(
        matches!(wrong, Err(LoadError::ZeroPoint { op: 13, .. })),
        "{wrong:?}"
    );
    let wrong = load(300, |p| op!(p, 13, Softmax).table += 1);
    assert!(
        matches!(wrong, Err(LoadError::ParametersRange { op: 13, .. })),
        "{wrong:?}"
    );
    let wrong = load(300, |p| {
        let at = op!(p, 13, Softmax).table.get() as usize;
        p.params[at] -= 1;
    });
    assert!(
        matches!(wrong, Err(LoadError::SoftmaxTable { op: 13, at: 0, .. })),
        "{wrong:?}"
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn endless_work_is_refused() {
    // A pool over 64 Mi elements whose window is 2000 x 2000: 2^22 positions for each of 2^22 outputs.
    let mut p = zoo();
    p.program = ProgramParts::default();
    let (x, y) = (p.tensor([5000, 5000, 1], 0), p.tensor([3001, 3001, 1], 0));
    p.program.inputs = vec![Port {
        tensor: x,
        scale_bits: 1,
    }];
    p.program.ops = vec![Op::MaxPool(MaxPool {
        input: x,
        output: y,
        window: window(2000, 1, 0, 0),
        min: 0,
        max: 0,
    })];
    p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
    assert_eq!(
        p.load(),
        Err(LoadError::Work {
            limit: 1 << 36,
            found: 3001 * 3001 * 2000 * 2000
        })
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn the_accumulator_bound_is_exact() {
    // K * 127 * 128 + |bias| may reach 2^31 - 1, for either sign, and not 2^31.
    let free = i32::MAX - 18 * 127 * 128;
    for (bias, fits) in [
        (free, true),
        (-free, true),
        (free + 1, false),
        (-free - 1, false),
    ] {
        let mut p = zoo();
        p.params[2] = bias;
        let expected = if fits {
            Ok(())
        } else {
            Err(LoadError::Accumulator {
                op: 0,
                channel: 2,
                limit: 1 << 31,
                found: 1 << 31,
            })
        };
        assert_eq!(p.load(), expected, "{bias}");
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn kernels_of_an_impossible_program_are_some() {
    // Build scripts ask before anything but the header is checked.
    let changes: [fn(&mut Parts); 4] = [
        |p| p.program.tensors[2].h = 0,
        |p| p.program.tensors[2].w = 0,
        |p| op!(p, 1, DepthwiseConv2d).window.kernel_h = 0,
        |p| op!(p, 1, DepthwiseConv2d).window.kernel_w = 0,
    ];
    for change in changes {
        let mut parts = zoo();
        change(&mut parts);
        assert!(crate::load::kernels_of(&parts.blob()).is_ok());
        assert!(parts.load().is_err());
    }
}

// Text is cheaper in flash than a number that is written into it.
#[test]
fn messages_name_the_limits() {
    let (op, found) = (0, 0);
    let text = LoadError::SoftmaxRow { op, found }.to_string();
    assert!(text.ends_with(&format!(" {}", limits::MAX_SOFTMAX_ROW)));
    let text = LoadError::SoftmaxSteps { op, found }.to_string();
    let steps = format!(
        "{} to {}",
        limits::MIN_SOFTMAX_STEPS,
        limits::MAX_SOFTMAX_STEPS
    );
    assert!(text.ends_with(&steps), "{text}");
    let text = LoadError::AddShift { op, found: 0 }.to_string();
    assert!(text.ends_with(&format!("{:?}", limits::ADD_SHIFTS)));
    let text = LoadError::PreShift { op, found: 0 }.to_string();
    assert!(text.ends_with(&format!("above {}", limits::MAX_PRE_SHIFT)));
    let found = 0;
    let text = LoadError::Multiplier { op, at: 0, found }.to_string();
    let bits = limits::ACCUMULATOR_LIMIT.ilog2();
    assert!(text.ends_with(&format!("0..2^{bits}")), "{text}");
}
