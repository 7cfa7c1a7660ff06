//! Many layers as one program, so that one firmware runs them all.
//!
//! Inputs become constants; the layers' tensors take turns in the same bytes of the arena. The program's only input and output are one
//! byte that no layer looks at.

use crate::layer::Layer;
use fewbit_runtime::format::program::{Clamp, Constant, Lut, Op, Requant};

/// Joins layers that are packed for one kernel family; also says which operators of the program are a layer's own.
///
/// # Panics
/// When the layers do not fit one program.
#[must_use]
pub fn join(layers: &[Layer]) -> (Layer, Vec<Vec<usize>>) {
    let mut all = Layer::default();
    let mut own = Vec::new();
    for layer in layers {
        let tensor_base = u16::try_from(all.program.tensors.len()).expect("few tensors");
        let weights_base = all.bytes(&layer.weights);
        let params_base = u32::try_from(all.params.len()).expect("few parameters");
        all.params.extend(&layer.params);
        all.program.tensors.extend(&layer.program.tensors);
        all.program.packing = layer.program.packing;
        for (port, data) in layer.program.inputs.iter().zip(&layer.inputs) {
            let data = all.bytes(data);
            all.program.ops.push(Op::Constant(Constant {
                output: tensor_base + port.tensor,
                data,
            }));
        }
        let mut ops = Vec::new();
        for op in &layer.program.ops {
            ops.push(all.program.ops.len());
            let mut op = op.clone();
            relocate(&mut op, tensor_base, weights_base.get(), params_base);
            all.program.ops.push(op);
        }
        own.push(ops);
    }
    let input = all.input([1, 1, 1], 0, vec![0]);
    let output = all.tensor([1, 1, 1], 0);
    let place = crate::layer::end(&all);
    for tensor in [input, output] {
        all.program.tensors[usize::from(tensor)].offset = place;
    }
    let table = all.bytes(&[0; 256]);
    all.op(Op::Lut(Lut {
        input,
        output,
        table,
    }));
    all.program.arena_bytes = place + 1;
    (all, own)
}

/// Moves an operator into a program that has so many tensors, bytes of weights and parameters before its own.
pub fn relocate(op: &mut Op, tensors: u16, weights: u32, params: u32) {
    let clamp = |requant: &mut Requant| {
        requant.multipliers += params;
        if let Clamp::PerChannel { offset } = &mut requant.clamp {
            *offset += weights;
        }
    };
    let unary = |input: &mut u16, output: &mut u16| {
        *input += tensors;
        *output += tensors;
    };
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => {
            unary(&mut op.input, &mut op.output);
            op.weights += weights;
            op.bias += params;
            clamp(&mut op.requant);
        }
        Op::FullyConnected(op) => {
            unary(&mut op.input, &mut op.output);
            op.weights += weights;
            op.bias += params;
            clamp(&mut op.requant);
        }
        Op::MaxPool(op) => unary(&mut op.input, &mut op.output),
        Op::AveragePool(op) => {
            unary(&mut op.input, &mut op.output);
            clamp(&mut op.requant);
        }
        Op::Add(op) => {
            unary(&mut op.a, &mut op.output);
            op.b += tensors;
        }
        Op::Max(op) | Op::Min(op) => {
            unary(&mut op.a, &mut op.output);
            op.b += tensors;
        }
        Op::Mul(op) => {
            unary(&mut op.a, &mut op.output);
            op.b += tensors;
            clamp(&mut op.requant);
        }
        Op::Lut(op) => {
            unary(&mut op.input, &mut op.output);
            op.table += weights;
        }
        Op::Softmax(op) => {
            unary(&mut op.input, &mut op.output);
            op.table += params;
        }
        Op::ScaledSoftmax(op) => {
            unary(&mut op.input, &mut op.output);
            op.table += params;
        }
        Op::Reshape(op) => unary(&mut op.input, &mut op.output),
        Op::Transpose(op) => unary(&mut op.input, &mut op.output),
        Op::Concat(op) => {
            op.inputs.iter_mut().for_each(|input| *input += tensors);
            op.output += tensors;
        }
        Op::Pad(op) => unary(&mut op.input, &mut op.output),
        Op::Constant(op) => {
            op.output += tensors;
            op.data += weights;
        }
    }
}
