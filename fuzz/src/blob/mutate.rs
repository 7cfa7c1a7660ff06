//! Blobs out of blobs: fields, constants, places and operators change.
//!
//! Most mutations are followed by a repair, which makes shapes, encodings and lengths fit again, so that what comes behind these checks is reached too.

use super::fields::{Field, fields, window_of};
use super::parts::{Parts, seal};
use super::splice;
use crate::bytes::{self, chance, number, pick};
use fastrand::Rng;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{
    Clamp, MAX_PORTS, MaxPool, Op, Port, Tensor, WeightType, Window,
};
use fewbit_runtime::load::{self, InPlace};

/// A new blob, with the right checksum but for one in fifty.
pub(super) fn mutate(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let (from, other) = (pick(rng, corpus), pick(rng, corpus));
    let mut blob = from.clone();
    match (rng.u8(0..20), Parts::decode(from)) {
        (0, _) | (_, None) => bytes::mutate(rng, &mut blob, other),
        (1, Some(_)) => header(rng, &mut blob),
        (2, Some(parts)) => program_bytes(rng, &parts, &mut blob),
        (_, Some(mut parts)) => {
            for _ in 0..1 << rng.u32(0..3) {
                change(rng, &mut parts, other);
            }
            if chance(rng, 75) {
                repair(rng, &mut parts);
            }
            if chance(rng, 95) {
                parts.fit_arena();
            }
            blob = parts.encode();
        }
    }
    if !chance(rng, 2) {
        seal(&mut blob);
    }
    blob
}

/// Changes a field of the header, mostly one with an unlikely value.
fn header(rng: &mut Rng, blob: &mut Vec<u8>) {
    // Byte offsets and widths of `docs/model-format.md`.
    const FIELDS: [(usize, usize); 15] = [
        (8, 2),
        (10, 1),
        (11, 1),
        (12, 4),
        (20, 4),
        (24, 4),
        (28, 4),
        (32, 4),
        (36, 4),
        (40, 4),
        (44, 4),
        (48, 4),
        (52, 2),
        (54, 2),
        (60, 4),
    ];
    let (at, width) = *pick(rng, &FIELDS);
    if blob.len() < 64 {
        return;
    }
    let mut old = [0; 8];
    old[..width].copy_from_slice(&blob[at..at + width]);
    let new = number(rng, u64::from_le_bytes(old)).to_le_bytes();
    blob[at..at + width].copy_from_slice(&new[..width]);
    if chance(rng, 20) {
        blob.truncate(rng.usize(0..=blob.len()));
    } else if chance(rng, 20) {
        // Bytes behind the blob are allowed.
        blob.extend([rng.u8(..); 16]);
    } else if chance(rng, 20) {
        // The padding of a section.
        let at = rng.usize(64..=blob.len()).saturating_sub(1);
        blob[at] = rng.u8(..);
    }
}

/// Damages the encoded program, and keeps everything around it.
fn program_bytes(rng: &mut Rng, parts: &Parts, blob: &mut Vec<u8>) {
    let whole = parts.encode();
    let offset = 64;
    let length = postcard::to_stdvec(&parts.program).map_or(0, |bytes| bytes.len());
    let mut program = whole[offset..offset + length].to_vec();
    for _ in 0..1 << rng.u32(0..3) {
        if !program.is_empty() {
            let at = rng.usize(0..program.len());
            program[at] = number(rng, program[at].into()) as u8;
        }
    }
    *blob = whole;
    blob[offset..offset + length].copy_from_slice(&program);
}

/// Changes one thing.
fn change(rng: &mut Rng, parts: &mut Parts, other: &[u8]) {
    let ops = parts.program.ops.len();
    let tensors = parts.program.tensors.len();
    match rng.u8(0..32) {
        0..8 if ops > 0 => {
            let op = rng.usize(0..ops);
            field(rng, parts, op);
        }
        8..11 if tensors > 0 => {
            let index = rng.usize(0..tensors);
            tensor(rng, &mut parts.program.tensors, index);
        }
        11..16 if ops > 0 => place(rng, parts),
        16 => ports(rng, parts),
        17 if ops > 0 && chance(rng, 90) => order(rng, parts),
        17 if ops > 0 => much(rng, parts),
        18 | 19 => weights(rng, parts),
        20 | 21 => params(rng, parts),
        22 => {
            parts.packing = match rng.u8(0..5) {
                code @ 0..3 => code,
                3 => 3,
                _ => rng.u8(..),
            };
            parts.program.packing = Family::from_code(parts.packing).unwrap_or_default();
        }
        23 if ops > 0 => scratch(rng, parts),
        24 if ops > 0 => {
            let op = rng.usize(0..ops);
            if let Some(window) = window_of(&mut parts.program.ops[op]) {
                new_window(rng, window);
            }
        }
        25 => {
            parts.program.arena_bytes = number(rng, parts.program.arena_bytes.into()) as u32;
        }
        26 => {
            let mut metadata = std::mem::take(&mut parts.metadata);
            bytes::mutate(rng, &mut metadata, other);
            metadata.truncate(1 << 12);
            parts.metadata = metadata;
        }
        27..30 => {
            if let Some(other) = Parts::decode(other) {
                splice::append(rng, parts, &other);
            }
        }
        _ => {
            if let Some(other) = Parts::decode(other) {
                splice::operator(rng, parts, &other);
            }
        }
    }
}

/// Changes a field of an operator.
fn field(rng: &mut Rng, parts: &mut Parts, op: usize) {
    let tensors = parts.program.tensors.len() as u16;
    let packing = parts.program.packing;
    let mut all = fields(&mut parts.program.ops[op]);
    if all.is_empty() {
        return;
    }
    let which = rng.usize(0..all.len());
    match &mut all[which] {
        Field::Tensor(index) => {
            **index = if chance(rng, 80) && tensors > 0 {
                rng.u16(0..tensors)
            } else {
                number(rng, (**index).into()) as u16
            };
        }
        Field::U8(value) => **value = number(rng, (**value).into()) as u8,
        Field::U16(value) => **value = number(rng, (**value).into()) as u16,
        Field::Params(value) => **value = ParamIndex::new(number(rng, value.get().into()) as u32),
        Field::U32(value) => {
            **value = number(rng, (**value).into()) as u32;
        }
        Field::I8(value) => **value = number(rng, **value as u64) as i8,
        Field::I16(value) => **value = number(rng, **value as u64) as i16,
        Field::Bool(value) => **value = !**value,
        Field::Weights(value) => {
            **value = if chance(rng, 50) {
                WeightsOffset::new(value.get().wrapping_add(16 * u32::from(rng.u8(..))))
            } else {
                WeightsOffset::new(number(rng, value.get().into()) as u32)
            };
        }
        Field::Clamp(clamp) => {
            **clamp = match **clamp {
                Clamp::PerTensor { .. } if chance(rng, 30) => Clamp::PerChannel {
                    offset: WeightsOffset::new(16 * u32::from(rng.u8(..))),
                },
                Clamp::PerChannel { offset } if chance(rng, 50) => Clamp::PerChannel {
                    offset: WeightsOffset::new(number(rng, offset.get().into()) as u32),
                },
                _ => Clamp::PerTensor {
                    min: rng.i8(..),
                    max: if chance(rng, 50) { 127 } else { rng.i8(..) },
                },
            };
        }
        Field::WeightType(value) => {
            let all = [
                WeightType::Int8,
                WeightType::Int4,
                WeightType::PairedInt8,
                WeightType::PairedInt4,
            ];
            let end = if packing == Family::Dsp || chance(rng, 20) {
                4
            } else {
                2
            };
            **value = *pick(rng, &all[..end]);
        }
    }
}

fn tensor(rng: &mut Rng, tensors: &mut [Tensor], index: usize) {
    let other = tensors[rng.usize(0..tensors.len())];
    let tensor = &mut tensors[index];
    match rng.u8(0..8) {
        0 => tensor.h = number(rng, tensor.h.into()) as u16,
        1 => tensor.w = number(rng, tensor.w.into()) as u16,
        2 | 3 => tensor.c = number(rng, tensor.c.into()) as u16,
        4 => tensor.zero_point = rng.i8(..),
        5 => [tensor.h, tensor.w, tensor.c] = other.shape(),
        6 => tensor.zero_point = *pick(rng, &[-128, 127, 0, other.zero_point]),
        _ => tensor.offset = number(rng, tensor.offset.into()) as u32,
    }
}

/// Moves an operator's output near an input, or a tensor near any other.
fn place(rng: &mut Rng, parts: &mut Parts) {
    let program = &mut parts.program;
    let op = &program.ops[rng.usize(0..program.ops.len())];
    let inputs: Vec<u16> = op.inputs().collect();
    let near = if inputs.is_empty() || chance(rng, 30) {
        rng.usize(0..program.tensors.len().max(1)) as u16
    } else {
        *pick(rng, &inputs)
    };
    let (Some(&input), Some(&output)) = (
        program.tensors.get(usize::from(near)),
        program.tensors.get(usize::from(op.output())),
    ) else {
        return;
    };
    let position = inputs.iter().position(|&input| input == near).unwrap_or(0);
    let least: u64 = match load::in_place(op, position, &program.tensors, program.packing) {
        InPlace::At(distance) | InPlace::Rows(distance) | InPlace::Pixels { distance, .. } => {
            distance.into()
        }
        InPlace::Never | InPlace::Alias | InPlace::Same => 0,
    };
    let apart = match rng.u8(0..8) {
        0 => 0,
        1 | 2 => least,
        3 => least.saturating_sub(u64::from(rng.u8(1..4))),
        4 => least.div_ceil(u64::from(output.c.max(1))) * u64::from(output.c),
        5 => least + u64::from(rng.u8(1..20)),
        6 => u64::from(rng.u8(..)),
        _ => output.bytes(),
    };
    let apart = u32::try_from(apart).unwrap_or(0);
    let index = usize::from(op.output());
    if input.offset >= apart {
        program.tensors[index].offset = input.offset - apart;
    } else if chance(rng, 50) {
        program.tensors[index].offset = 0;
        program.tensors[usize::from(near)].offset = apart;
    } else {
        // Everything makes room.
        for tensor in &mut program.tensors {
            tensor.offset = tensor.offset.wrapping_add(apart);
        }
        program.tensors[index].offset = input.offset;
    }
    if chance(rng, 10) {
        // Or at the other side.
        program.tensors[index].offset = input.offset.wrapping_add(apart);
    }
}

fn ports(rng: &mut Rng, parts: &mut Parts) {
    let tensors = parts.program.tensors.len().max(1) as u16;
    let list = if chance(rng, 50) {
        &mut parts.program.inputs
    } else {
        &mut parts.program.outputs
    };
    match rng.u8(0..6) {
        0 if !list.is_empty() => {
            list.remove(rng.usize(0..list.len()));
        }
        1 if !list.is_empty() => {
            let at = rng.usize(0..list.len());
            list[at].scale_bits = *pick(rng, &[0, 1, 0x7F7F_FFFF, 0x7F80_0000, u32::MAX]);
        }
        2 if !list.is_empty() => {
            let at = rng.usize(0..list.len());
            list[at].tensor = number(rng, list[at].tensor.into()) as u16;
        }
        3 if !list.is_empty() && list.len() < MAX_PORTS => {
            let again = *pick(rng, list);
            list.push(again);
        }
        _ if list.len() < MAX_PORTS => list.push(Port {
            tensor: rng.u16(0..tensors),
            scale_bits: 1.0_f32.to_bits(),
        }),
        _ => {}
    }
}

/// A pool with so many windows, and such large ones, that it would run for hours.
fn much(rng: &mut Rng, parts: &mut Parts) {
    let program = &mut parts.program;
    let tensors = program.tensors.len() as u16;
    let [input, output] = [tensors, tensors + 1];
    let kernel = rng.u16(200..2000);
    let side = kernel + rng.u16(500..4000);
    let outputs = side - kernel + 1;
    program.tensors.push(Tensor::int8(0, [side, side, 1], 0));
    let behind = u32::from(side) * u32::from(side);
    program
        .tensors
        .push(Tensor::int8(behind, [outputs, outputs, 1], 0));
    let mut window = Window {
        kernel_h: kernel,
        kernel_w: kernel,
        stride_h: 1,
        stride_w: 1,
        dilation_h: 1,
        dilation_w: 1,
        pad_top: 0,
        pad_left: 0,
        pad_bottom: 0,
        pad_right: 0,
    };
    if chance(rng, 50) {
        new_window(rng, &mut window);
        (window.kernel_h, window.kernel_w) = (kernel, kernel);
    }
    program.ops.push(Op::MaxPool(MaxPool {
        input,
        output,
        window,
        min: -128,
        max: 127,
    }));
}

/// Removes, repeats or exchanges operators, or takes the inputs of a concat.
fn order(rng: &mut Rng, parts: &mut Parts) {
    let ops = &mut parts.program.ops;
    let at = rng.usize(0..ops.len());
    match rng.u8(0..5) {
        0 => {
            ops.remove(at);
        }
        1 => ops.insert(at, ops[at].clone()),
        2 => {
            let to = rng.usize(0..ops.len());
            ops.swap(at, to);
        }
        3 => {
            if let Op::Concat(concat) = &mut ops[at] {
                if chance(rng, 50) {
                    concat.inputs.pop();
                } else {
                    concat.inputs.clear();
                }
            } else {
                let op = ops[at].clone();
                // As often as there is room for.
                let times = match rng.u8(0..20) {
                    0 => 140,
                    1..4 => 110,
                    _ => rng.usize(1..4),
                };
                ops.extend(std::iter::repeat_n(op, times));
            }
        }
        _ => {
            let tensors = &mut parts.program.tensors;
            if let Some(tensor) = tensors.last().copied() {
                let times = if chance(rng, 5) { 140 } else { 1 };
                tensors.extend(std::iter::repeat_n(tensor, times));
            }
        }
    }
}

fn weights(rng: &mut Rng, parts: &mut Parts) {
    let section = &mut parts.weights;
    match rng.u8(0..8) {
        0 => section.truncate(rng.usize(0..=section.len())),
        1 if section.len() < 1 << 16 => {
            section.extend((0..rng.usize(0..600)).map(|_| rng.i8(..)));
        }
        _ if !section.is_empty() => {
            for _ in 0..1 << rng.u32(0..4) {
                let at = rng.usize(0..section.len());
                section[at] = match rng.u8(0..6) {
                    0 => -128,
                    1 => 127,
                    2 => -127,
                    // Nibbles of -8 and 0.
                    3 => *pick(rng, &[8, -120, 0, 0x0F, -16]),
                    _ => rng.i8(..),
                };
            }
        }
        _ => {}
    }
}

fn params(rng: &mut Rng, parts: &mut Parts) {
    let section = &mut parts.params;
    match rng.u8(0..8) {
        0 => section.truncate(rng.usize(0..=section.len())),
        1 if section.len() < 1 << 14 => {
            section.extend((0..rng.usize(0..300)).map(|_| rng.i32(0..=1 << 20)));
        }
        _ if !section.is_empty() => {
            for _ in 0..1 << rng.u32(0..4) {
                let at = rng.usize(0..section.len());
                let old = section[at];
                section[at] = match rng.u8(0..7) {
                    0 => i32::MIN,
                    1 => i32::MAX,
                    2 => 0,
                    3 => 1 << rng.u32(0..31),
                    4 => 1 << 20,
                    5 => rng.i32(..),
                    _ => number(rng, old as u64) as i32,
                };
            }
        }
        _ => {}
    }
}

fn scratch(rng: &mut Rng, parts: &mut Parts) {
    let program = &mut parts.program;
    let at = rng.usize(0..program.ops.len());
    let wanted = load::scratch_bytes(&program.ops[at], &program.tensors, program.packing);
    let end = program.arena_bytes;
    let other = program
        .tensors
        .get(rng.usize(0..program.tensors.len().max(1)));
    let other = other.map_or(0, |tensor| tensor.offset);
    if let Some(scratch) = program.ops[at].scratch_mut() {
        let wanted = u32::try_from(wanted).unwrap_or(0);
        scratch.bytes = match rng.u8(0..5) {
            0 => 0,
            1 => wanted.saturating_sub(1),
            2 => number(rng, wanted.into()) as u32,
            _ => wanted,
        };
        scratch.offset = match rng.u8(0..4) {
            0 => other,
            1 => number(rng, scratch.offset.into()) as u32,
            _ => end.wrapping_add(3) & !3,
        };
    }
}

fn new_window(rng: &mut Rng, window: &mut Window) {
    let small = |rng: &mut Rng| rng.u8(1..5);
    match rng.u8(0..5) {
        0 => [window.kernel_h, window.kernel_w] = [rng.u16(1..6), rng.u16(1..6)],
        1 => [window.stride_h, window.stride_w] = [small(rng), small(rng)],
        2 => [window.dilation_h, window.dilation_w] = [small(rng), small(rng)],
        3 => {
            window.pad_top = rng.u8(0..5);
            window.pad_bottom = rng.u8(0..5);
            window.pad_left = rng.u8(0..5);
            window.pad_right = rng.u8(0..5);
        }
        _ => {
            [window.kernel_h, window.kernel_w] = [3, 3];
            [window.dilation_h, window.dilation_w] = [1, 1];
            [window.stride_h, window.stride_w] = *pick(rng, &[[1, 1], [2, 2], [1, 2]]);
        }
    }
}

/// Outputs of a window along one axis; `None` where it does not fit.
fn positions(
    size: u16,
    before: u8,
    after: u8,
    kernel: u16,
    dilation: u8,
    stride: u8,
) -> Option<u16> {
    let extent = u32::from(dilation) * (u32::from(kernel).checked_sub(1)?) + 1;
    let padded = u32::from(size) + u32::from(before) + u32::from(after);
    let steps = padded.checked_sub(extent)?.checked_div(stride.into())?;
    u16::try_from(steps + 1).ok()
}

/// Gives outputs the shapes and encodings that follow from inputs, and sections the length that is asked for.
fn repair(rng: &mut Rng, parts: &mut Parts) {
    let Parts {
        program,
        weights,
        params,
        ..
    } = parts;
    let tensors = &mut program.tensors;
    for op in &mut program.ops {
        let first = op.inputs().next();
        let input = first.and_then(|index| tensors.get(usize::from(index)).copied());
        let joined: Vec<Tensor> = op
            .inputs()
            .filter_map(|index| tensors.get(usize::from(index)).copied())
            .collect();
        let (window, is_pool) = match op {
            Op::Conv2d(op) | Op::DepthwiseConv2d(op) => (Some(op.window), false),
            Op::MaxPool(op) => (Some(op.window), true),
            Op::AveragePool(op) => (Some(op.window), true),
            _ => (None, false),
        };
        let Some(output) = tensors.get_mut(usize::from(op.output())) else {
            continue;
        };
        let Some(input) = input else { continue };
        if let Some(w) = window {
            let h = positions(
                input.h,
                w.pad_top,
                w.pad_bottom,
                w.kernel_h,
                w.dilation_h,
                w.stride_h,
            );
            let across = positions(
                input.w,
                w.pad_left,
                w.pad_right,
                w.kernel_w,
                w.dilation_w,
                w.stride_w,
            );
            if let (Some(h), Some(across)) = (h, across) {
                (output.h, output.w) = (h, across);
            }
            if is_pool {
                output.c = input.c;
            }
        }
        match op {
            Op::DepthwiseConv2d(conv) => {
                conv.groups = input.c;
                if output.c.checked_rem(input.c) != Some(0) {
                    output.c = input.c;
                }
            }
            Op::Conv2d(conv) => {
                let fits = |c: u16| c.checked_rem(conv.groups) == Some(0);
                if !fits(input.c) || !fits(output.c) {
                    conv.groups = 1;
                }
            }
            Op::FullyConnected(_) => (output.h, output.w) = (1, 1),
            Op::Add(_)
            | Op::Mul(_)
            | Op::Max(_)
            | Op::Min(_)
            | Op::Lut(_)
            | Op::Softmax(_)
            | Op::ScaledSoftmax(_) => {
                (output.h, output.w, output.c) = (input.h, input.w, input.c);
            }
            Op::Concat(concat) => {
                let mut shape = input.shape();
                let sum = joined.iter().map(|tensor| {
                    u32::from(
                        tensor
                            .shape()
                            .get(usize::from(concat.axis))
                            .copied()
                            .unwrap_or(0),
                    )
                });
                let sum = u16::try_from(sum.sum::<u32>()).unwrap_or(u16::MAX);
                if let Some(axis) = shape.get_mut(usize::from(concat.axis)) {
                    *axis = sum;
                }
                (output.h, output.w, output.c) = (shape[0], shape[1], shape[2]);
            }
            Op::Pad(pad) => {
                let size = |axis: usize| {
                    input.shape()[axis]
                        .saturating_add(pad.before[axis])
                        .saturating_add(pad.after[axis])
                };
                (output.h, output.w, output.c) = (size(0), size(1), size(2));
            }
            Op::Transpose(transpose) => {
                if transpose
                    .dims
                    .iter()
                    .map(|&d| u64::from(d))
                    .product::<u64>()
                    != input.elements()
                {
                    transpose.dims = [1, input.h, input.w, input.c];
                }
                if output.elements() != input.elements() {
                    (output.h, output.w, output.c) = (input.h, input.w, input.c);
                }
            }
            Op::Reshape(_) => {
                if output.elements() != input.elements() {
                    (output.h, output.w, output.c) = (input.h, input.w, input.c);
                }
                output.offset = input.offset;
            }
            _ => {}
        }
        match op {
            Op::MaxPool(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Concat(_) | Op::Pad(_) => {
                output.zero_point = input.zero_point;
            }
            Op::Softmax(_) | Op::ScaledSoftmax(_) => output.zero_point = -128,
            _ => {}
        }
    }
    if chance(rng, 50) {
        while weights.len() < 1 << 12 {
            weights.push(rng.i8(1..=7));
        }
        while params.len() < 1 << 10 {
            params.push(1 << 20);
        }
    }
}
