//! Models of one or a few operators, made by hand, for tests that break one rule each.

use super::super::needs::scratch_bytes;
use super::{FULL, Metadata, Parts};
use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{
    Add, AveragePool, Concat, Conv2d, Extremum, FullyConnected, Lut, MaxPool, Mul, Op, Port,
    Requant, ScaledSoftmax, Scratch, Softmax, Tensor, TensorIndex, Unary, WeightType, Window,
};
use crate::format::write::{ProgramParts, arena_bytes};

/// Zero point of every tensor: that of a softmax's output.
pub(super) const ZERO: i8 = -128;

/// A window of one element.
pub(super) const POINT: Window = Window {
    kernel_h: 1,
    kernel_w: 1,
    stride_h: 1,
    stride_w: 1,
    dilation_h: 1,
    dilation_w: 1,
    pad_top: 0,
    pad_left: 0,
    pad_bottom: 0,
    pad_right: 0,
};

pub(super) fn port(tensor: TensorIndex) -> Port {
    Port {
        tensor,
        scale_bits: 1,
    }
}

pub(super) fn tensor(offset: u32, shape: [u16; 3]) -> Tensor {
    Tensor::int8(offset, shape, ZERO)
}

/// Requantization by the parameters from the first on.
pub(super) const REQUANT: Requant = Requant {
    multipliers: ParamIndex::new(0),
    pre_shift: 0,
    clamp: FULL,
};

pub(super) fn conv(input: TensorIndex, output: TensorIndex, window: Window) -> Conv2d {
    Conv2d {
        input,
        output,
        window,
        groups: 1,
        weight_type: WeightType::Int8,
        weights: WeightsOffset::new(0),
        bias: ParamIndex::new(0),
        requant: REQUANT,
        scratch: Scratch::default(),
    }
}

pub(super) fn fully_connected(input: TensorIndex, output: TensorIndex) -> FullyConnected {
    FullyConnected {
        input,
        output,
        weight_type: WeightType::Int8,
        weights: WeightsOffset::new(0),
        bias: ParamIndex::new(0),
        requant: REQUANT,
        scratch: Scratch::default(),
    }
}

pub(super) fn lut(input: TensorIndex, output: TensorIndex) -> Op {
    Op::Lut(Lut {
        input,
        output,
        table: WeightsOffset::new(0),
    })
}

pub(super) fn softmax(input: TensorIndex, output: TensorIndex) -> Op {
    Op::Softmax(Softmax {
        input,
        output,
        table: ParamIndex::new(0),
    })
}

pub(super) fn scaled_softmax(input: TensorIndex, output: TensorIndex) -> Op {
    Op::ScaledSoftmax(ScaledSoftmax {
        input,
        output,
        table: ParamIndex::new(0),
        steps: 1000,
    })
}

pub(super) fn add(a: TensorIndex, b: TensorIndex, output: TensorIndex) -> Add {
    Add {
        a,
        b,
        output,
        a_multiplier: 1,
        b_multiplier: 1,
        shift: 1,
        min: -128,
        max: 127,
    }
}

pub(super) fn extremum(a: TensorIndex, b: TensorIndex, output: TensorIndex) -> Extremum {
    Extremum {
        a,
        b,
        output,
        a_multiplier: 1,
        b_multiplier: 1,
        shift: 1,
        min: -128,
        max: 127,
    }
}

pub(super) fn mul(a: TensorIndex, b: TensorIndex, output: TensorIndex) -> Mul {
    Mul {
        a,
        b,
        output,
        requant: REQUANT,
    }
}

pub(super) fn reshape(input: TensorIndex, output: TensorIndex) -> Op {
    Op::Reshape(Unary { input, output })
}

pub(super) fn concat(inputs: &[TensorIndex], output: TensorIndex, axis: u8) -> Op {
    Op::Concat(Concat {
        inputs: heapless::Vec::from_slice(inputs).unwrap(),
        output,
        axis,
    })
}

pub(super) fn max_pool(input: TensorIndex, output: TensorIndex, window: Window) -> Op {
    Op::MaxPool(MaxPool {
        input,
        output,
        window,
        min: -128,
        max: 127,
    })
}

pub(super) fn average_pool(input: TensorIndex, output: TensorIndex, window: Window) -> AveragePool {
    AveragePool {
        input,
        output,
        window,
        multiplier_per_count: false,
        requant: REQUANT,
    }
}

/// A model of these operators: weights are zeros, and the parameters begin like a softmax table, so that they are good for everything.
pub(super) fn parts(
    tensors: &[Tensor],
    inputs: &[TensorIndex],
    outputs: &[TensorIndex],
    ops: &[Op],
) -> Parts {
    let mut params = vec![0; 512];
    params[0] = 1 << 20;
    Parts {
        program: ProgramParts {
            arena_bytes: arena_bytes(tensors, ops),
            inputs: inputs.iter().copied().map(port).collect(),
            outputs: outputs.iter().copied().map(port).collect(),
            tensors: tensors.to_vec(),
            ops: ops.to_vec(),
            packing: Family::Scalar,
        },
        weights: vec![0; 2048],
        params,
        metadata: Metadata::default(),
    }
}

/// Result of loading such a model.
pub(super) fn load(
    tensors: &[Tensor],
    inputs: &[TensorIndex],
    outputs: &[TensorIndex],
    ops: &[Op],
) -> Result<(), LoadError> {
    parts(tensors, inputs, outputs, ops).load()
}

/// A model of one operator that reads tensor 0 and writes tensor 1, each in a place of its own, with the scratch that the operator wants behind them.
pub(super) fn single(op: &Op, input: [u16; 3], output: [u16; 3], packing: Family) -> Parts {
    let first = tensor(0, input);
    let second = tensor((first.bytes() as u32).next_multiple_of(16), output);
    let (tensors, mut op) = ([first, second], op.clone());
    let area = Scratch {
        offset: arena_bytes(&tensors, &[]).next_multiple_of(16),
        bytes: scratch_bytes(&op, &tensors, packing) as u32,
    };
    if let (Some(place), true) = (op.scratch_mut(), area.bytes > 0) {
        *place = area;
    }
    let mut parts = parts(&tensors, &[0], &[1], &[op]);
    parts.program.packing = packing;
    parts
}
