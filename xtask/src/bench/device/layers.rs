//! The layers of the benchmark, all in one program.
//!
//! Weights and inputs are pseudo-random, accumulators spread over int8, input zero points are -128 as behind a Relu. A constant operator in
//! front of each layer fills its input, so that one firmware measures them all.

use anyhow::{Context as _, Result};
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{
    Add, AveragePool, Clamp, Constant, Conv2d, FullyConnected, Lut, MaxPool, Op, Port, Requant,
    Scratch, Softmax, Tensor, WeightType, Window,
};
use fewbit_runtime::format::write::{arena_bytes, pack_int4_rows};
use fewbit_runtime::load;
use fewbit_runtime::pack;
use fewbit_runtime::{BlobWriter, Metadata, ProgramParts};

use fewbit::random::Random;

/// Computation of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Kernel size, stride, padding before and after, output channels.
    Conv([u16; 2], u8, [u8; 2], u16),
    /// 3x3, stride 1, padding 1.
    Depthwise,
    /// Outputs.
    FullyConnected(u16),
    Add,
    AveragePool,
    MaxPool,
    Softmax,
}

/// A layer of the benchmark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    /// Its letter; the peers' figures go by the same.
    pub(super) name: &'static str,
    /// Description, for readers.
    pub(super) what: &'static str,
    input: [u16; 3],
    kind: Kind,
    weight_type: WeightType,
}

const fn layer(name: &'static str, what: &'static str, input: [u16; 3], kind: Kind) -> Layer {
    Layer {
        name,
        what,
        input,
        kind,
        weight_type: WeightType::Int8,
    }
}

const fn int4(name: &'static str, what: &'static str, input: [u16; 3], kind: Kind) -> Layer {
    Layer {
        name,
        what,
        input,
        kind,
        weight_type: WeightType::Int4,
    }
}

/// All layers.
pub(super) const LAYERS: [Layer; 21] = [
    layer(
        "a",
        "conv 3x3 16->16, 32x32",
        [32, 32, 16],
        Kind::Conv([3, 3], 1, [1, 1], 16),
    ),
    layer(
        "b",
        "conv 1x1 64->64, 25x5",
        [25, 5, 64],
        Kind::Conv([1, 1], 1, [0, 0], 64),
    ),
    layer("c", "depthwise 3x3 64, 25x5", [25, 5, 64], Kind::Depthwise),
    layer(
        "d1",
        "conv 1x1 128->128, 12x12",
        [12, 12, 128],
        Kind::Conv([1, 1], 1, [0, 0], 128),
    ),
    layer(
        "d2",
        "depthwise 3x3 128, 12x12",
        [12, 12, 128],
        Kind::Depthwise,
    ),
    layer(
        "e1c",
        "fully connected 640->128",
        [1, 1, 640],
        Kind::FullyConnected(128),
    ),
    layer(
        "e2c",
        "fully connected 128->128",
        [1, 1, 128],
        Kind::FullyConnected(128),
    ),
    layer(
        "f",
        "conv 3x3 3->16, 32x32",
        [32, 32, 3],
        Kind::Conv([3, 3], 1, [1, 1], 16),
    ),
    layer(
        "f2",
        "conv 3x3 3->8, 96x96, stride 2",
        [96, 96, 3],
        Kind::Conv([3, 3], 2, [0, 1], 8),
    ),
    layer(
        "x1",
        "conv 3x3 32->64, 16x16, stride 2",
        [16, 16, 32],
        Kind::Conv([3, 3], 2, [0, 1], 64),
    ),
    layer(
        "x2",
        "conv 3x3 64->64, 8x8",
        [8, 8, 64],
        Kind::Conv([3, 3], 1, [1, 1], 64),
    ),
    layer("g1", "average pool 8x8, 64", [8, 8, 64], Kind::AveragePool),
    layer("g2", "softmax 10", [1, 1, 10], Kind::Softmax),
    layer("g3", "add 32x32x16", [32, 32, 16], Kind::Add),
    layer("g4", "max pool 2x2, 32x32x16", [32, 32, 16], Kind::MaxPool),
    int4(
        "h1",
        "conv 1x1 64->64, 25x5, int4",
        [25, 5, 64],
        Kind::Conv([1, 1], 1, [0, 0], 64),
    ),
    int4(
        "h1b",
        "conv 1x1 128->128, 12x12, int4",
        [12, 12, 128],
        Kind::Conv([1, 1], 1, [0, 0], 128),
    ),
    int4(
        "h1c",
        "conv 3x3 16->16, 32x32, int4",
        [32, 32, 16],
        Kind::Conv([3, 3], 1, [1, 1], 16),
    ),
    int4(
        "h1d",
        "depthwise 3x3 64, 25x5, int4",
        [25, 5, 64],
        Kind::Depthwise,
    ),
    int4(
        "h2",
        "fully connected 640->128, int4",
        [1, 1, 640],
        Kind::FullyConnected(128),
    ),
    int4(
        "h2b",
        "fully connected 128->128, int4",
        [1, 1, 128],
        Kind::FullyConnected(128),
    ),
];

/// A program of layers.
pub(super) struct Program {
    /// The blob.
    pub(super) blob: Vec<u8>,
    /// The operator of each layer.
    pub(super) ops: Vec<usize>,
}

/// Builds the blob that runs `layers`, packed for a kernel family.
///
/// # Errors
///
/// If the writer refuses it.
pub(super) fn program(layers: &[Layer], packing: Family) -> Result<Program> {
    let mut builder = Builder {
        writer: BlobWriter::new(),
        tensors: Vec::new(),
        ops: Vec::new(),
        random: Random::new(1),
    };
    let own: Vec<usize> = layers.iter().map(|layer| builder.layer(layer)).collect();
    let (input, output) = (builder.tensor([1, 1, 1], 0), builder.tensor([1, 1, 1], 0));
    let table = builder.writer.append_weights(&[0; 256]);
    builder.ops.push(Op::Lut(Lut {
        input,
        output,
        table,
    }));
    let Builder {
        writer,
        mut tensors,
        mut ops,
        ..
    } = builder;
    let mut writer = pack::pack(packing, &mut ops, &tensors, &writer);
    place(&mut tensors, &mut ops, packing);
    let port = |tensor| Port {
        tensor,
        scale_bits: 1.0_f32.to_bits(),
    };
    let parts = ProgramParts {
        arena_bytes: arena_bytes(&tensors, &ops),
        inputs: vec![port(input)],
        outputs: vec![port(output)],
        tensors,
        ops,
        packing,
    };
    let writer = std::mem::take(&mut writer);
    let blob = writer
        .finish(&parts, &Metadata::default())
        .context("the benchmark's program is not valid")?;
    Ok(Program { blob, ops: own })
}

/// One operator's tensors and scratch behind each other, all operators in the same bytes; the ports behind everything.
fn place(tensors: &mut [Tensor], ops: &mut [Op], packing: Family) {
    let ports = tensors.len() - 2;
    let mut largest = 0;
    let last = ops.len() - 1;
    let mut next = 0;
    for op in &mut ops[..last] {
        let mut put = |index: u16| {
            let tensor = &mut tensors[usize::from(index)];
            tensor.offset = next;
            let bytes = tensor
                .shape()
                .iter()
                .map(|&dim| u32::from(dim))
                .product::<u32>();
            next += bytes.next_multiple_of(16);
        };
        if let Op::Constant(constant) = op {
            put(constant.output);
            continue;
        }
        put(op.output());
        let bytes = u32::try_from(load::scratch_bytes(op, tensors, packing)).unwrap_or(0);
        if let Some(scratch) = op.scratch_mut()
            && bytes > 0
        {
            *scratch = Scratch {
                offset: next,
                bytes,
            };
            next += bytes;
        }
        largest = largest.max(next);
        next = 0;
    }
    for tensor in &mut tensors[ports..] {
        tensor.offset = largest;
    }
}

struct Builder {
    writer: BlobWriter,
    tensors: Vec<Tensor>,
    ops: Vec<Op>,
    random: Random,
}

impl Builder {
    fn tensor(&mut self, shape: [u16; 3], zero_point: i8) -> u16 {
        self.tensors.push(Tensor::int8(0, shape, zero_point));
        u16::try_from(self.tensors.len() - 1).unwrap_or(u16::MAX)
    }

    fn values(&mut self, count: usize, limit: i8) -> Vec<i8> {
        let limit = i16::from(limit);
        let span = 2 * u64::from(limit.unsigned_abs()) + 1;
        (0..count)
            .map(|_| {
                let value = i16::try_from(self.random.below(span)).unwrap_or(0) - limit;
                i8::try_from(value).unwrap_or(0)
            })
            .collect()
    }

    /// A tensor that an operator fills with pseudo-random values.
    fn input(&mut self, shape: [u16; 3]) -> u16 {
        let tensor = self.tensor(shape, -128);
        let count = shape.iter().map(|&dim| usize::from(dim)).product();
        let values = self.values(count, 127);
        let data = self.writer.append_weights(&values);
        self.ops.push(Op::Constant(Constant {
            output: tensor,
            data,
        }));
        tensor
    }

    fn requant(&mut self, channels: u16, multiplier: i32) -> Requant {
        let multipliers: Vec<i32> = (0..i32::from(channels))
            .map(|c| multiplier + 1000 * c)
            .collect();
        Requant {
            multipliers: self.writer.append_params(&multipliers),
            pre_shift: 0,
            clamp: Clamp::PerTensor {
                min: -128,
                max: 127,
            },
        }
    }

    fn weights(&mut self, layer: &Layer, count: usize, row: usize) -> WeightsOffset {
        if layer.weight_type == WeightType::Int4 {
            let values = self.values(count, 7);
            self.writer.append_weights(&pack_int4_rows(&values, row))
        } else {
            let values = self.values(count, 127);
            self.writer.append_weights(&values)
        }
    }

    fn bias(&mut self, channels: u16) -> ParamIndex {
        let values: Vec<i32> = (0..i32::from(channels)).map(|c| 5000 - 300 * c).collect();
        self.writer.append_params(&values)
    }

    /// Adds a layer and returns its operator.
    fn layer(&mut self, layer: &Layer) -> usize {
        let [h, w, c] = layer.input;
        let input = self.input(layer.input);
        let window = |kernel: [u16; 2], stride: u8, pads: [u8; 2]| Window {
            kernel_h: kernel[0],
            kernel_w: kernel[1],
            stride_h: stride,
            stride_w: stride,
            dilation_h: 1,
            dilation_w: 1,
            pad_top: pads[0],
            pad_left: pads[0],
            pad_bottom: pads[1],
            pad_right: pads[1],
        };
        // About 2^-9, and 16 times that for the smaller int4 weights.
        let multiplier = if layer.weight_type == WeightType::Int4 {
            1 << 27
        } else {
            1 << 23
        };
        let op = match layer.kind {
            Kind::Conv(kernel, stride, pads, out_c) => {
                let size = |n: u16, kernel: u16| {
                    (n + u16::from(pads[0] + pads[1]) - kernel) / u16::from(stride) + 1
                };
                let row = usize::from(kernel[0]) * usize::from(kernel[1]) * usize::from(c);
                Op::Conv2d(Conv2d {
                    input,
                    output: self.tensor([size(h, kernel[0]), size(w, kernel[1]), out_c], -128),
                    window: window(kernel, stride, pads),
                    groups: 1,
                    weight_type: layer.weight_type,
                    weights: self.weights(layer, row * usize::from(out_c), row),
                    bias: self.bias(out_c),
                    requant: self.requant(out_c, multiplier),
                    scratch: Scratch::default(),
                })
            }
            Kind::Depthwise => Op::DepthwiseConv2d(Conv2d {
                input,
                output: self.tensor(layer.input, -128),
                window: window([3, 3], 1, [1, 1]),
                groups: c,
                weight_type: layer.weight_type,
                weights: self.weights(layer, 9 * usize::from(c), c.into()),
                bias: self.bias(c),
                requant: self.requant(c, multiplier * 4),
                scratch: Scratch::default(),
            }),
            Kind::FullyConnected(out_c) => Op::FullyConnected(FullyConnected {
                input,
                output: self.tensor([1, 1, out_c], -128),
                weight_type: layer.weight_type,
                weights: self.weights(layer, usize::from(c) * usize::from(out_c), c.into()),
                bias: self.bias(out_c),
                requant: self.requant(out_c, multiplier),
                scratch: Scratch::default(),
            }),
            Kind::Add => {
                let b = self.input(layer.input);
                Op::Add(Add {
                    a: input,
                    b,
                    output: self.tensor(layer.input, -128),
                    a_multiplier: 9000,
                    b_multiplier: 7000,
                    shift: 14,
                    min: -128,
                    max: 127,
                })
            }
            Kind::AveragePool => Op::AveragePool(AveragePool {
                input,
                output: self.tensor([1, 1, c], -128),
                window: window([h, w], 1, [0, 0]),
                multiplier_per_count: false,
                requant: self.requant(1, 1 << 26),
            }),
            Kind::MaxPool => Op::MaxPool(MaxPool {
                input,
                output: self.tensor([h / 2, w / 2, c], -128),
                window: window([2, 2], 2, [0, 0]),
                min: -128,
                max: 127,
            }),
            Kind::Softmax => {
                let table: Vec<i32> = (0..256).map(|d| (1 << 20) >> (d / 8)).collect();
                Op::Softmax(Softmax {
                    input,
                    output: self.tensor(layer.input, -128),
                    table: self.writer.append_params(&table),
                })
            }
        };
        self.ops.push(op);
        self.ops.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fewbit_runtime::{AlignedBlob, Engine, Model};

    #[test]
    fn every_family_gives_the_same_bytes() {
        let mut outputs = Vec::new();
        for packing in Family::ALL {
            let program = program(&LAYERS, packing).expect("valid");
            let blob = AlignedBlob::new(&program.blob);
            let model = Box::new(Model::<128, 128>::from_bytes(blob.as_bytes()).expect("loads"));
            let mut arena = vec![0; model.arena_bytes()];
            let mut engine = Engine::new(&model, &mut arena).expect("large enough");
            let mut all = Vec::new();
            for op in 0..engine.op_count() {
                engine.step(op);
                all.push(engine.op_output(op).to_vec());
            }
            for (layer, &op) in LAYERS.iter().zip(&program.ops) {
                let different = all[op]
                    .iter()
                    .collect::<std::collections::BTreeSet<_>>()
                    .len();
                assert!(
                    different > all[op].len().min(20) / 4,
                    "{} saturates: {different}",
                    layer.name
                );
            }
            outputs.push(all);
        }
        assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
