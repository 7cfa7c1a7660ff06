//! Random elementwise operators and softmax.
//!
//! Operands broadcast, coincide, and are overwritten by their result.

use super::numbers::RequantShape;
use super::{Draft, Numbers};
use fewbit_runtime::format::program::{
    Add, Extremum, Lut, Mul, Op, ScaledSoftmax, Softmax, TensorIndex,
};

/// A shape of a few hundred elements.
fn shape(n: &mut Numbers) -> [usize; 3] {
    let (h, w) = n.plane();
    let channels = n.channels();
    [h, w, channels.min((4000 / (h * w)).max(1))]
}

/// Two operands and the output.
struct Operands {
    a: TensorIndex,
    b: TensorIndex,
    output: TensorIndex,
    zero_point: i8,
    channels: usize,
}

fn operands(n: &mut Numbers, draft: &mut Draft) -> Operands {
    let a_shape = shape(n);
    let [_, _, channels] = a_shape;
    let (a_zero_point, b_zero_point, zero_point) = (n.zero_point(), n.zero_point(), n.zero_point());
    let data = n.activations(a_shape.iter().product(), a_zero_point);
    let a = draft.layer.input(a_shape, a_zero_point, data);
    draft.in_place.push(a);
    let kind = n.range(0, 9);
    let b_shape = match kind {
        0 | 1 => [1, 1, channels],
        2 | 3 => [1, 1, 1],
        _ => a_shape,
    };
    draft.feature(
        "a value per channel",
        b_shape == [1, 1, channels] && b_shape != a_shape,
    );
    draft.feature("a single value", b_shape == [1, 1, 1] && b_shape != a_shape);
    draft.feature("an operand twice", kind == 9);
    let b = if kind == 9 {
        a
    } else {
        let data = n.activations(b_shape.iter().product(), b_zero_point);
        let b = draft.layer.input(b_shape, b_zero_point, data);
        if b_shape == a_shape {
            draft.in_place.push(b);
        }
        b
    };
    let output = draft.layer.tensor(a_shape, zero_point);
    Operands {
        a,
        b,
        output,
        zero_point,
        channels,
    }
}

pub(super) fn add(n: &mut Numbers, draft: &mut Draft) {
    let Operands {
        a,
        b,
        output,
        zero_point,
        ..
    } = operands(n, draft);
    let shift = match n.range(0, 3) {
        0 => n.pick(&[1, 2, 22]),
        _ => n.range(1, 22) as u8,
    };
    let mut multiplier = || match n.range(0, 5) {
        0 => n.pick(&[-32767, 32767, 0, 1, -1]),
        1 => n.range(-32767, 32767) as i16,
        // A ratio of scales between 1/8 and 2.
        _ => ((n.range(1, 16) << shift) / 8).min(32767) as i16 * n.pick(&[1, 1, -1]),
    };
    let (a_multiplier, b_multiplier) = (multiplier(), multiplier());
    let (min, max) = n.clamp_pair(zero_point);
    draft.layer.op(Op::Add(Add {
        a,
        b,
        output,
        a_multiplier,
        b_multiplier,
        shift,
        min,
        max,
    }));
}

pub(super) fn extremum(n: &mut Numbers, draft: &mut Draft, make: fn(Extremum) -> Op) {
    let Operands {
        a,
        b,
        output,
        zero_point,
        ..
    } = operands(n, draft);
    let shift = match n.range(0, 3) {
        0 => n.pick(&[1, 2, 22]),
        _ => n.range(1, 22) as u8,
    };
    let mut multiplier = || match n.range(0, 5) {
        0 => n.pick(&[-32768, 32767, 0, 1, -1]),
        1 => n.range(-32768, 32767) as i16,
        // A ratio of scales between 1/8 and 2.
        _ => ((n.range(1, 16) << shift) / 8).min(32767) as i16,
    };
    let (mut a_multiplier, mut b_multiplier) = (multiplier(), multiplier());
    let equal = n.chance(30) && shift < 15;
    draft.feature("equal scales", equal);
    if equal {
        (a_multiplier, b_multiplier) = (1 << shift, 1 << shift);
    }
    let (min, max) = n.clamp_pair(zero_point);
    draft.layer.op(make(Extremum {
        a,
        b,
        output,
        a_multiplier,
        b_multiplier,
        shift,
        min,
        max,
    }));
}

pub(super) fn mul(n: &mut Numbers, draft: &mut Draft) {
    let Operands {
        a,
        b,
        output,
        zero_point,
        channels,
    } = operands(n, draft);
    let pre_shift = n.pre_shift(255 * 255);
    let typical = n.pick(&[16.0, 1000.0, 8000.0]);
    let by = RequantShape {
        multipliers: 1,
        channels,
        zero_point,
        pre_shift,
        typical,
    };
    let requant = n.requant(&mut draft.layer, &by);
    draft.layer.op(Op::Mul(Mul {
        a,
        b,
        output,
        requant,
    }));
}

pub(super) fn lut(n: &mut Numbers, draft: &mut Draft) {
    let (shape, x_zero_point, y_zero_point) = (shape(n), n.zero_point(), n.zero_point());
    let data = n.activations(shape.iter().product(), x_zero_point);
    let table: Vec<i8> = n.many(|n| (0..256).map(|_| n.byte()).collect());
    let table = draft.layer.bytes(&table);
    let input = draft.layer.input(shape, x_zero_point, data);
    let output = draft.layer.tensor(shape, y_zero_point);
    draft.in_place.push(input);
    draft.layer.op(Op::Lut(Lut {
        input,
        output,
        table,
    }));
}

/// A table that starts at 2^20: geometric as a real one, flat, all zeros behind the first entry, or anything.
fn softmax_table(n: &mut Numbers) -> Vec<i32> {
    let one = 1_i64 << 20;
    let mode = n.range(0, 7);
    let ratio = n.range(30_000, 65_536);
    n.many(|n| {
        let mut last = one;
        let mut table = vec![one as i32];
        for _ in 1..256 {
            last = (last * ratio) >> 16;
            let entry = match mode {
                0 => one,
                1 => 0,
                2 => n.range(0, one),
                _ => last,
            };
            table.push(entry as i32);
        }
        table
    })
}

pub(super) fn softmax(n: &mut Numbers, draft: &mut Draft) {
    let channels = match n.range(0, 9) {
        0 => 2047,
        1 => n.size(161, 2047),
        2 => 1,
        _ => n.channels(),
    };
    let (h, w) = n.plane();
    let shape = if h * w * channels > 4000 {
        [1, 1, channels]
    } else {
        [h, w, channels]
    };
    let zero_point = n.zero_point();
    let data = n.activations(shape.iter().product(), zero_point);
    let table = softmax_table(n);
    draft.feature("2047 channels", channels == 2047);
    let table = draft.layer.values(&table);
    let input = draft.layer.input(shape, zero_point, data);
    let output = draft.layer.tensor(shape, -128);
    draft.in_place.push(input);
    // One in two; where outputs are about a hundred steps, where they saturate, and at the limits.
    let steps = match n.range(0, 9) {
        0 => Some(257),
        1 => Some(1 << 19),
        2 | 3 => Some(n.range(257, 1 << 19) as u32),
        4 => Some(u32::try_from((100 * channels).clamp(257, 1 << 19)).expect("in range")),
        _ => None,
    };
    draft.feature("a scale of its own", steps.is_some());
    draft.layer.op(match steps {
        Some(steps) => Op::ScaledSoftmax(ScaledSoftmax {
            input,
            output,
            table,
            steps,
        }),
        None => Op::Softmax(Softmax {
            input,
            output,
            table,
        }),
    });
}
