//! Two programs as one.

use super::fields::{Field, fields};
use super::parts::Parts;
use crate::bytes::{chance, pick};
use fastrand::Rng;
use fewbit_runtime::format::place::WeightsOffset;
use fewbit_runtime::format::program::{Constant, MAX_PORTS, Op, Port};
use fewbit_tests::joined::relocate;

/// Sections do not grow beyond this, in elements.
const MOST: usize = 1 << 16;

/// Puts the tensors and operators of `other` behind those of `parts`.
///
/// Its inputs become inputs of the whole, constants, or tensors of `parts` (of any shape); its outputs may become outputs of the whole.
pub(super) fn append(rng: &mut Rng, parts: &mut Parts, other: &Parts) {
    if parts.weights.len() + other.weights.len() > MOST
        || parts.params.len() + other.params.len() > MOST
        || parts.program.ops.len() + other.program.ops.len() > 200
    {
        return;
    }
    parts
        .weights
        .resize(parts.weights.len().next_multiple_of(16), 0);
    let tensors = parts.program.tensors.len() as u16;
    let weights = parts.weights.len() as u32;
    let params = parts.params.len() as u32;
    // Behind everything, or in the same bytes.
    let base = if chance(rng, 80) {
        parts.program.arena_bytes
    } else {
        0
    };
    parts.weights.extend(&other.weights);
    parts.params.extend(&other.params);
    for tensor in &other.program.tensors {
        let mut tensor = *tensor;
        tensor.offset = tensor.offset.wrapping_add(base);
        parts.program.tensors.push(tensor);
    }
    let mut replaced = Vec::new();
    for port in &other.program.inputs {
        let tensor = tensors.wrapping_add(port.tensor);
        match rng.u8(0..3) {
            0 if parts.program.inputs.len() < MAX_PORTS => {
                parts.program.inputs.push(Port { tensor, ..*port });
            }
            1 if tensors > 0 => replaced.push((tensor, rng.u16(0..tensors))),
            _ => {
                let length = parts.program.tensors.get(usize::from(tensor));
                let length = length.map_or(0, |t| t.bytes().min(MOST as u64)) as usize;
                parts
                    .weights
                    .resize(parts.weights.len().next_multiple_of(16), 0);
                let data = WeightsOffset::new(parts.weights.len() as u32);
                parts.weights.extend((0..length).map(|_| rng.i8(..)));
                parts.program.ops.push(Op::Constant(Constant {
                    output: tensor,
                    data,
                }));
            }
        }
    }
    for op in &other.program.ops {
        let mut op = op.clone();
        // Mutations may have left numbers that do not add up.
        for field in fields(&mut op) {
            if let Field::Tensor(index) = field {
                *index %= 1 << 15;
            }
        }
        relocate(&mut op, tensors, weights, params);
        for field in fields(&mut op) {
            if let Field::Tensor(index) = field
                && let Some((_, by)) = replaced.iter().find(|(of, _)| of == index)
            {
                *index = *by;
            }
        }
        if let Some(scratch) = op.scratch_mut()
            && scratch.bytes > 0
        {
            scratch.offset = scratch.offset.wrapping_add(base);
        }
        parts.program.ops.push(op);
    }
    if chance(rng, 70) {
        for port in &other.program.outputs {
            let port = Port {
                tensor: tensors.wrapping_add(port.tensor),
                ..*port
            };
            if parts.program.outputs.len() < MAX_PORTS {
                parts.program.outputs.push(port);
            } else {
                let place = rng.usize(0..MAX_PORTS);
                parts.program.outputs[place] = port;
            }
        }
    }
    // What was replaced is written by no one: out with it, if it is the last.
    for (tensor, _) in replaced.iter().rev() {
        if usize::from(*tensor) + 1 == parts.program.tensors.len() {
            parts.program.tensors.pop();
        } else if let Some(place) = parts.program.tensors.get(usize::from(*tensor)).copied() {
            // Else a constant writes it.
            parts
                .weights
                .resize(parts.weights.len().next_multiple_of(16), 0);
            let data = WeightsOffset::new(parts.weights.len() as u32);
            let length = place.bytes().min(MOST as u64) as usize;
            parts.weights.resize(parts.weights.len() + length, 1);
            let op = Op::Constant(Constant {
                output: *tensor,
                data,
            });
            parts.program.ops.push(op);
        }
    }
    parts.fit_arena();
}

/// One operator of `other` in the place of one of `parts`, with its constants, over tensors of `parts`.
pub(super) fn operator(rng: &mut Rng, parts: &mut Parts, other: &Parts) {
    if other.program.ops.is_empty()
        || parts.program.ops.is_empty()
        || parts.program.tensors.is_empty()
        || parts.weights.len() + other.weights.len() > MOST
        || parts.params.len() + other.params.len() > MOST
    {
        return;
    }
    let mut op = pick(rng, &other.program.ops).clone();
    parts
        .weights
        .resize(parts.weights.len().next_multiple_of(16), 0);
    let (weights, params) = (parts.weights.len() as u32, parts.params.len() as u32);
    let place = rng.usize(0..parts.program.ops.len());
    let old = &parts.program.ops[place];
    let inputs: Vec<u16> = old.inputs().collect();
    let output = old.output();
    let reads = op.inputs().count();
    let mut index = 0;
    let tensors = parts.program.tensors.len() as u16;
    for field in fields(&mut op) {
        match field {
            Field::Tensor(tensor) => {
                *tensor = if index == reads {
                    output
                } else {
                    inputs
                        .get(index)
                        .copied()
                        .unwrap_or_else(|| rng.u16(0..tensors))
                };
                index += 1;
            }
            Field::Weights(offset) => *offset += weights,
            Field::Params(offset) => *offset += params,
            Field::Clamp(fewbit_runtime::format::program::Clamp::PerChannel { offset }) => {
                *offset += weights;
            }
            _ => {}
        }
    }
    parts.weights.extend(&other.weights);
    parts.params.extend(&other.params);
    parts.program.ops[place] = op;
}
