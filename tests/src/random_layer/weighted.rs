//! Random convolutions and fully connected layers.
//!
//! Biases use the room that the bound (5) leaves, up to its last unit.

use super::numbers::RequantShape;
use super::window::{Windows, placed};
use super::{Draft, Numbers};
use crate::layer::largest_weight;
use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{
    Clamp, Conv2d, FullyConnected, Op, Requant, Scratch, WeightType,
};

/// Properties on which weights, biases and multipliers of a layer depend.
struct Shape {
    /// Rows of weights as they are packed, and values a row.
    rows: usize,
    row: usize,
    /// Products an output.
    products: usize,
    out_c: usize,
    zero_point: i8,
}

/// The constants of a layer.
struct Constants {
    weight_type: WeightType,
    weights: WeightsOffset,
    bias: ParamIndex,
    requant: Requant,
    scratch: Scratch,
}

fn constants(n: &mut Numbers, draft: &mut Draft, shape: &Shape) -> Constants {
    let weight_type = n.pick(&[WeightType::Int8, WeightType::Int4]);
    draft.feature("int8", weight_type == WeightType::Int8);
    draft.feature("int4", weight_type == WeightType::Int4);
    draft.feature(
        "int4 with an odd row",
        weight_type == WeightType::Int4 && shape.row % 2 == 1,
    );
    let limit = largest_weight(weight_type);
    let values = n.weights(shape.rows * shape.row, limit as i8);
    let weights = draft.layer.pack(&values, weight_type, shape.row);

    let magnitude = shape.products as u64 * u64::from(limit) * 128;
    let pre_shift = n.pre_shift(magnitude);
    // (5): magnitude + |bias| <= (2^31 - 1) >> pre_shift.
    let room = (i64::from(i32::MAX) >> pre_shift) - magnitude as i64;
    let deviation = (shape.products as f64).sqrt() * f64::from(limit) * 45.0;
    let typical_bias = (deviation as i64).min(room);
    let mode = n.range(0, 9);
    let biases: Vec<i32> = n.many(|n| {
        (0..shape.out_c)
            .map(|_| match mode {
                0 => n.pick(&[-room, room]),
                1 => n.range(-room, room),
                2 => n.range(room - room.min(3), room) * n.pick(&[-1, 1]),
                3 => 0,
                _ => n.range(-typical_bias, typical_bias),
            })
            .map(|bias| i32::try_from(bias).expect("within the bound"))
            .collect()
    });
    draft.feature("biases at the bound", mode == 0 || mode == 2);
    let typical = match mode {
        0..=2 => room as f64,
        _ => deviation,
    };
    let by = RequantShape {
        multipliers: shape.out_c,
        channels: shape.out_c,
        zero_point: shape.zero_point,
        pre_shift,
        typical,
    };
    let bias = draft.layer.values(&biases);
    let requant = n.requant(&mut draft.layer, &by);
    let scratch = Scratch {
        offset: 0,
        bytes: if n.chance(15) {
            n.range(1, 200) as u32
        } else {
            0
        },
    };
    draft.feature("scratch", scratch.bytes > 0);
    // Families have a shorter output stage for this.
    let whole = Clamp::PerTensor {
        min: i8::MIN,
        max: i8::MAX,
    };
    let plain = pre_shift == 0 && requant.clamp == whole;
    draft.feature("no limits but int8's", plain);
    Constants {
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    }
}

pub(super) fn conv_2d(n: &mut Numbers, draft: &mut Draft) {
    let groups = if n.chance(65) { 1 } else { n.size(2, 8) };
    let (mut inner, mut outer) = (n.channels(), n.channels());
    if groups > 1 {
        // A group has few channels; often only one.
        let most = (60 / groups).max(1);
        (inner, outer) = (n.size(1, inner.min(most)), n.size(1, outer.min(most)));
    }
    let (in_c, out_c) = (groups * inner, groups * outer);
    let placed = placed(n, Windows::Any, out_c * inner);
    let (x_zero_point, y_zero_point) = (n.zero_point(), n.zero_point());
    let row = placed.taps() * inner;
    let shape = Shape {
        rows: out_c,
        row,
        products: row,
        out_c,
        zero_point: y_zero_point,
    };
    let constants = constants(n, draft, &shape);
    draft.feature("groups", groups > 1);
    draft.feature("1x1", placed.taps() == 1);
    // What the families' loops tell apart.
    let plain = groups == 1;
    draft.feature("pixels of whole words", plain && in_c % 4 == 0);
    draft.feature("an odd number of channels", plain && out_c % 2 == 1);
    draft.feature("more products than a chunk", plain && row > 512);
    let input_shape = [placed.input.0, placed.input.1, in_c];
    let data = n.activations(input_shape.iter().product(), x_zero_point);
    let input = draft.layer.input(input_shape, x_zero_point, data);
    let output = draft
        .layer
        .tensor([placed.output.0, placed.output.1, out_c], y_zero_point);
    let Constants {
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    } = constants;
    let groups = groups as u16;
    let window = placed.window;
    draft.layer.op(Op::Conv2d(Conv2d {
        input,
        output,
        window,
        groups,
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    }));
}

pub(super) fn depthwise_conv_2d(n: &mut Numbers, draft: &mut Draft) {
    let depth_multiplier = if n.chance(60) { 1 } else { n.size(2, 3) };
    let in_c = n.channels();
    let out_c = in_c * depth_multiplier;
    let windows = if n.chance(40) {
        Windows::Three
    } else {
        Windows::Any
    };
    let placed = placed(n, windows, out_c);
    let (x_zero_point, y_zero_point) = (n.zero_point(), n.zero_point());
    let taps = placed.taps();
    let shape = Shape {
        rows: taps,
        row: out_c,
        products: taps,
        out_c,
        zero_point: y_zero_point,
    };
    let constants = constants(n, draft, &shape);
    draft.feature("depth multiplier", depth_multiplier > 1);
    let window = placed.window;
    let three = [window.kernel_h, window.kernel_w] == [3, 3] && depth_multiplier == 1;
    let near = window.dilation_h == 1 && window.dilation_w == 1;
    let strides = [window.stride_h, window.stride_w];
    draft.feature("3x3, stride 1", three && near && strides == [1, 1]);
    draft.feature("3x3, stride 2", three && near && strides == [2, 2]);
    let narrow = placed.output.1 < 8 && placed.output.0 > 2 * placed.output.1;
    draft.feature("narrow", three && near && narrow);
    let input_shape = [placed.input.0, placed.input.1, in_c];
    let data = n.activations(input_shape.iter().product(), x_zero_point);
    let input = draft.layer.input(input_shape, x_zero_point, data);
    let output = draft
        .layer
        .tensor([placed.output.0, placed.output.1, out_c], y_zero_point);
    let Constants {
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    } = constants;
    let groups = in_c as u16;
    let op = Conv2d {
        input,
        output,
        window: placed.window,
        groups,
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    };
    draft.layer.op(Op::DepthwiseConv2d(op));
}

pub(super) fn fully_connected(n: &mut Numbers, draft: &mut Draft) {
    let out_c = n.channels();
    let most = (20_000 / out_c).max(1);
    let input_shape = match n.range(0, 3) {
        0 => [n.size(1, 6), n.size(1, 6), n.size(1, 9)],
        1 => [1, 1, n.size(1, most.min(2000))],
        _ => [1, 1, n.channels()],
    };
    let products: usize = input_shape.iter().product();
    let (x_zero_point, y_zero_point) = (n.zero_point(), n.zero_point());
    let shape = Shape {
        rows: out_c,
        row: products,
        products,
        out_c,
        zero_point: y_zero_point,
    };
    let constants = constants(n, draft, &shape);
    draft.feature("an odd number of channels", out_c % 2 == 1);
    draft.feature("more products than a chunk", products > 512);
    let data = n.activations(products, x_zero_point);
    let input = draft.layer.input(input_shape, x_zero_point, data);
    let output = draft.layer.tensor([1, 1, out_c], y_zero_point);
    let Constants {
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    } = constants;
    let op = FullyConnected {
        input,
        output,
        weight_type,
        weights,
        bias,
        requant,
        scratch,
    };
    draft.layer.op(Op::FullyConnected(op));
}
