//! Each operator once, in each packing, against outputs worked out by hand.
//!
//! Small enough for an interpreter, which loads few blobs in a minute: what CI runs in Miri of the loader is mostly this.

use super::super::needs::scratch_bytes;
use super::small::{POINT, port};
use super::{FULL, Metadata, Parts, TestModel, checksum, window};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::family::Family;
use crate::format::place::WeightsOffset;
use crate::format::program::{
    Add, AveragePool, Clamp, Concat, Constant, Conv2d, Extremum, FullyConnected, Lut, MaxPool, Mul,
    Op, Pad, Requant, ScaledSoftmax, Scratch, Softmax, Tensor, TensorIndex, Transpose, Unary,
    WeightType, Window,
};
use crate::format::write::{BlobWriter, ProgramParts, arena_bytes, pack_int4_rows};
use crate::pack::pack;

/// A multiplier that, with the shift of [`Example::requant`], is the real factor 1.
const ONE: i32 = 1 << 30;

/// A model of a few operators, what goes into it and what comes out.
struct Example {
    name: &'static str,
    parts: Parts,
    inputs: Vec<Vec<i8>>,
    output: Vec<i8>,
}

impl Example {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            parts: Parts {
                program: ProgramParts::default(),
                weights: Vec::new(),
                params: Vec::new(),
                metadata: Metadata::default(),
            },
            inputs: Vec::new(),
            output: Vec::new(),
        }
    }

    fn input(&mut self, shape: [u16; 3], zero_point: i8, values: &[i8]) -> TensorIndex {
        let tensor = self.parts.tensor(shape, zero_point);
        self.parts.program.inputs.push(port(tensor));
        self.inputs.push(values.to_vec());
        tensor
    }

    /// The model's output, and what it is to hold.
    fn output(&mut self, shape: [u16; 3], zero_point: i8, values: &[i8]) -> TensorIndex {
        let tensor = self.parts.tensor(shape, zero_point);
        self.parts.program.outputs.push(port(tensor));
        self.output = values.to_vec();
        tensor
    }

    fn requant(&mut self, multipliers: &[i32], clamp: Clamp) -> Requant {
        Requant {
            multipliers: self.parts.params(multipliers),
            pre_shift: 2,
            clamp,
        }
    }

    /// Weights as they are, or two a byte in rows of `row`.
    fn weights(&mut self, weight_type: WeightType, weights: &[i8], row: usize) -> WeightsOffset {
        if weight_type == WeightType::Int4 {
            self.parts.weights(&pack_int4_rows(weights, row))
        } else {
            self.parts.weights(weights)
        }
    }

    /// The example with these operators.
    fn of(mut self, ops: impl IntoIterator<Item = Op>) -> Self {
        self.parts.program.ops.extend(ops);
        self
    }

    /// The model as a planner would make it for a family: weights in its order, and its scratch behind the tensors.
    fn packed(&self, packing: Family) -> Parts {
        let mut parts = self.parts.clone();
        let program = &mut parts.program;
        let sections = BlobWriter::with_sections(parts.weights, parts.params);
        let packed = pack(packing, &mut program.ops, &program.tensors, &sections);
        let mut free = arena_bytes(&program.tensors, &[]).next_multiple_of(16);
        for op in &mut program.ops {
            let bytes = scratch_bytes(op, &program.tensors, packing) as u32;
            if let (Some(place), true) = (op.scratch_mut(), bytes > 0) {
                *place = Scratch {
                    offset: free,
                    bytes,
                };
                free = (free + bytes).next_multiple_of(16);
            }
        }
        program.arena_bytes = arena_bytes(&program.tensors, &program.ops);
        program.packing = packing;
        parts.weights = packed.weights().to_vec();
        parts.params = packed.params().to_vec();
        parts
    }

    fn blob(&self, packing: Family) -> Vec<u8> {
        self.packed(packing).blob()
    }

    /// Output of the model, for any contents of the arena.
    fn run(&self, blob: &[u8]) -> Result<Vec<i8>, LoadError> {
        let blob = AlignedBlob::new(blob);
        let model = TestModel::from_bytes(&blob)?;
        let [first, second] = [-77, 99].map(|fill| {
            let mut arena = vec![fill; model.arena_bytes()];
            let mut engine = Engine::new(&model, &mut arena).unwrap();
            for (index, input) in self.inputs.iter().enumerate() {
                engine.input_mut(index).copy_from_slice(input);
            }
            engine.run();
            engine.output(0).to_vec()
        });
        assert_eq!(first, second, "{}", self.name);
        Ok(first)
    }
}

/// The sum of a pixel and its neighbours, and 50 less the pixel. Around the square there are tens: the zero point.
fn conv(weight_type: WeightType, clamp: &[i8], output: [i8; 18]) -> Example {
    let mut e = Example::new("conv_2d");
    let mut weights = [1; 18];
    weights[9..].copy_from_slice(&[0, 0, 0, 0, -1, 0, 0, 0, 0]);
    let clamp = match clamp {
        [] => FULL,
        _ => Clamp::PerChannel {
            offset: e.parts.weights(clamp),
        },
    };
    let op = Conv2d {
        input: e.input([3, 3, 1], 10, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        output: e.output([3, 3, 2], 0, &output),
        window: window(3, 1, 1, 1),
        groups: 1,
        weight_type,
        weights: e.weights(weight_type, &weights, 9),
        bias: e.parts.params(&[0, 50]),
        requant: e.requant(&[ONE; 2], clamp),
        scratch: Scratch::default(),
    };
    e.of([Op::Conv2d(op)])
}

/// Two pixels of four channels: the first group adds its two, the second one subtracts.
fn grouped(weight_type: WeightType) -> Example {
    let mut e = Example::new("conv_2d of groups");
    let op = Conv2d {
        input: e.input([1, 2, 4], 0, &[1, 2, 3, 5, 10, 20, 30, 50]),
        output: e.output([1, 2, 2], 0, &[3, 98, 30, 80]),
        window: POINT,
        groups: 2,
        weight_type,
        weights: e.weights(weight_type, &[1, 1, 1, -1], 2),
        bias: e.parts.params(&[0, 100]),
        requant: e.requant(&[ONE; 2], FULL),
        scratch: Scratch::default(),
    };
    e.of([Op::Conv2d(op)])
}

/// Every window holds the four pixels: the first channel adds them up, the second one looks up and to the left.
fn depthwise(weight_type: WeightType) -> Example {
    let mut e = Example::new("depthwise_conv_2d");
    let mut weights = [0; 18];
    (0..9).for_each(|tap| weights[2 * tap] = 1);
    weights[1] = 1;
    let op = Conv2d {
        input: e.input([2, 2, 2], 0, &[1, 5, 2, 6, 3, 7, 4, 8]),
        output: e.output([2, 2, 2], 7, &[27, -3, 27, -3, 27, -3, 27, 2]),
        window: window(3, 1, 1, 1),
        groups: 2,
        weight_type,
        weights: e.weights(weight_type, &weights, 2),
        bias: e.parts.params(&[10, -10]),
        requant: e.requant(&[ONE; 2], FULL),
        scratch: Scratch::default(),
    };
    e.of([Op::DepthwiseConv2d(op)])
}

fn fully_connected(weight_type: WeightType) -> Example {
    let mut e = Example::new("fully_connected");
    // 4 + 10 + 21 + 10, and (-4 + 7 + 20) / 2 rounded up from 11.5.
    let op = FullyConnected {
        input: e.input([1, 1, 3], 0, &[4, 5, 7]),
        output: e.output([1, 1, 2], 0, &[45, 12]),
        weight_type,
        weights: e.weights(weight_type, &[1, 2, 3, -1, 0, 1], 3),
        bias: e.parts.params(&[10, 20]),
        requant: e.requant(&[ONE, ONE / 2], FULL),
        scratch: Scratch::default(),
    };
    e.of([Op::FullyConnected(op)])
}

fn max_pools() -> [Example; 2] {
    let mut e = Example::new("max_pool");
    // The second channel is the first's negative. Padding takes no part.
    let expected = [
        -7, 8, -7, 8, -7, 8, -7, 8, -6, 8, -6, 8, -7, 7, -6, 7, -6, 6,
    ];
    let plain = MaxPool {
        input: e.input([2, 2, 2], 0, &[-9, 9, -8, 8, -7, 7, -6, 6]),
        output: e.output([3, 3, 2], 0, &expected),
        window: window(2, 1, 1, 1),
        min: -7,
        max: 8,
    };
    let plain = e.of([Op::MaxPool(plain)]);
    let mut e = Example::new("max_pool with holes");
    let dilated = MaxPool {
        input: e.input([1, 5, 1], -5, &[1, 9, 2, 8, 3]),
        output: e.output([1, 3, 1], -5, &[2, 9, 3]),
        window: Window {
            kernel_w: 2,
            dilation_w: 2,
            ..POINT
        },
        min: -128,
        max: 127,
    };
    [plain, e.of([Op::MaxPool(dilated)])]
}

/// Real 0 10 / 20 30: corners see one element of four, the middle all.
fn average_pool(multiplier_per_count: bool, multipliers: &[i32], output: [i8; 9]) -> Example {
    let mut e = Example::new("average_pool");
    let op = AveragePool {
        input: e.input([2, 2, 1], 10, &[10, 20, 30, 40]),
        output: e.output([3, 3, 1], 0, &output),
        window: window(2, 1, 1, 1),
        multiplier_per_count,
        requant: e.requant(multipliers, FULL),
    };
    e.of([Op::AveragePool(op)])
}

/// `(a - 1) + (b - 3) / 2 - 4`, ties up, with one `b` for each channel or one for all.
fn add(b: &[i8], output: [i8; 4]) -> Example {
    let mut e = Example::new("add");
    let op = Add {
        a: e.input([1, 2, 2], 1, &[1, 1, 11, 11]),
        b: e.input([1, 1, b.len() as u16], 3, b),
        output: e.output([1, 2, 2], -4, &output),
        a_multiplier: 2,
        b_multiplier: 1,
        shift: 1,
        min: -128,
        max: 127,
    };
    e.of([Op::Add(op)])
}

/// The larger or smaller of `a - 1` and `(b - 3) / 2`, less 4, ties up, with as many `b` as `a`, one for each channel or one for all.
fn extremum(make: fn(Extremum) -> Op, shape: [u16; 3], b: &[i8], output: [i8; 4]) -> Example {
    let mut e = Example::new("extremum");
    let op = Extremum {
        a: e.input([1, 2, 2], 1, &[1, 1, 11, 11]),
        b: e.input(shape, 3, b),
        output: e.output([1, 2, 2], -4, &output),
        a_multiplier: 2,
        b_multiplier: 1,
        shift: 1,
        min: -128,
        max: 127,
    };
    e.of([make(op)])
}

/// `(a - 1) * (b + 2) / 2`, ties up.
fn mul(shape: [u16; 3], b: &[i8], output: [i8; 4]) -> Example {
    let mut e = Example::new("mul");
    let op = Mul {
        a: e.input([1, 2, 2], 1, &[4, 5, -6, 127]),
        b: e.input(shape, -2, b),
        output: e.output([1, 2, 2], 0, &output),
        requant: e.requant(&[ONE / 2], FULL),
    };
    e.of([Op::Mul(op)])
}

/// An entry for each value, the smallest one's first.
fn lut() -> Example {
    let mut e = Example::new("lut");
    let table: [i8; 256] = core::array::from_fn(|i| (i as i32 - 128) as i8 ^ 0x55);
    let values = [-128, -1, 0, 1, 127];
    let op = Lut {
        input: e.input([1, 1, 5], 0, &values),
        output: e.output([1, 1, 5], 0, &values.map(|value| value ^ 0x55)),
        table: e.parts.weights(&table),
    };
    e.of([Op::Lut(op)])
}

/// 1 : 1/2 : 1/2 gives 1/2, 1/4 and 1/4 of 256 steps; in the second row the first is all but alone.
fn softmax() -> Example {
    let mut e = Example::new("softmax");
    let halving: [i32; 256] = core::array::from_fn(|d| if d > 20 { 0 } else { (1 << 20) >> d });
    let op = Softmax {
        input: e.input([1, 2, 3], 0, &[9, 8, 8, 127, -128, -128]),
        output: e.output([1, 2, 3], -128, &[0, -64, -64, 127, -128, -128]),
        table: e.parts.params(&halving),
    };
    e.of([Op::Softmax(op)])
}

/// 2/3 and 1/3 of 300 steps, of which there are 255, and 1/2 each.
fn scaled_softmax() -> Example {
    let mut e = Example::new("scaled_softmax");
    let mut table = [0; 256];
    (table[0], table[1]) = (1 << 20, 1 << 19);
    let op = ScaledSoftmax {
        input: e.input([1, 2, 2], 0, &[9, 8, -128, -128]),
        output: e.output([1, 2, 2], -128, &[72, -28, 22, 22]),
        table: e.parts.params(&table),
        steps: 300,
    };
    e.of([Op::ScaledSoftmax(op)])
}

/// Operators that move elements and compute nothing.
fn movements() -> [Example; 5] {
    let mut e = Example::new("reshape");
    let values = [1, -2, 3, -4, 5, -6];
    let input = e.input([1, 2, 3], 4, &values);
    let output = e.output([1, 3, 2], 4, &values);
    e.parts.program.tensors[1] = Tensor::int8(0, [1, 3, 2], 4);
    let reshape = e.of([Op::Reshape(Unary { input, output })]);

    let mut e = Example::new("transpose");
    let op = Transpose {
        input: e.input([1, 2, 3], 0, &[0, 1, 2, 3, 4, 5]),
        output: e.output([1, 3, 2], 0, &[0, 3, 1, 4, 2, 5]),
        dims: [1, 1, 2, 3],
        perm: [0, 1, 3, 2],
    };
    let transpose = e.of([Op::Transpose(op)]);

    let mut e = Example::new("concat");
    let inputs = [
        e.input([1, 2, 1], 0, &[1, 2]),
        e.input([1, 2, 2], 0, &[3, 4, 5, 6]),
    ];
    let op = Concat {
        inputs: heapless::Vec::from_slice(&inputs).unwrap(),
        output: e.output([1, 2, 3], 0, &[1, 3, 4, 2, 5, 6]),
        axis: 2,
    };
    let concat = e.of([Op::Concat(op)]);

    let mut e = Example::new("pad");
    let expected = [9, 9, 9, 9, 9, 9, 9, 1, 9, 2, 9, 9, 9, 9, 9, 9, 9, 9];
    let op = Pad {
        input: e.input([1, 2, 1], 9, &[1, 2]),
        output: e.output([3, 3, 2], 9, &expected),
        before: [1, 0, 1],
        after: [1, 1, 0],
        value: 9,
    };
    let pad = e.of([Op::Pad(op)]);

    // Joined to what comes in, as every input is read.
    let mut e = Example::new("constant");
    let input = e.input([1, 1, 1], 0, &[7]);
    let data = e.parts.weights(&[1, -2, 3]);
    let constant = e.parts.tensor([1, 1, 3], 0);
    let op = Concat {
        inputs: heapless::Vec::from_slice(&[constant, input]).unwrap(),
        output: e.output([1, 1, 4], 0, &[1, -2, 3, 7]),
        axis: 2,
    };
    let constant = Constant {
        output: constant,
        data,
    };
    let constant = e.of([Op::Constant(constant), Op::Concat(op)]);
    [reshape, transpose, concat, pad, constant]
}

fn examples() -> Vec<Example> {
    // 1 + 2 + 4 + 5 and five tens in the first corner, 1 to 6 and three tens beside it.
    let sums = [
        62, 49, 51, 48, 66, 47, 57, 46, 45, 45, 63, 44, 74, 43, 69, 42, 78, 41,
    ];
    let clamps = [50, 70, 44, 46];
    let clamped = [
        62, 46, 51, 46, 66, 46, 57, 46, 50, 45, 63, 44, 70, 44, 69, 44, 70, 44,
    ];
    let mut all = Vec::new();
    for weight_type in [WeightType::Int8, WeightType::Int4] {
        all.push(conv(weight_type, &[], sums));
        all.push(conv(weight_type, &clamps, clamped));
        all.push(grouped(weight_type));
        all.push(depthwise(weight_type));
        all.push(fully_connected(weight_type));
    }
    all.extend(max_pools());
    let quarters = [0, 3, 3, 5, 15, 10, 5, 13, 8];
    let means = [0, 5, 10, 10, 15, 20, 20, 25, 30];
    all.push(average_pool(false, &[ONE / 4], quarters));
    let counts = [ONE, ONE / 2, ONE / 3, ONE / 4];
    all.push(average_pool(true, &counts, means));
    all.push(add(&[3, 5], [-4, -3, 6, 7]));
    all.push(add(&[5], [-3, -3, 7, 7]));
    all.push(mul([1, 2, 2], &[1, -3, 0, 127], [5, -2, -7, 127]));
    all.push(mul([1, 1, 2], &[0, -4], [3, -4, -7, -126]));
    all.push(mul([1, 1, 1], &[0], [3, 4, -7, 126]));
    all.push(extremum(
        Op::Max,
        [1, 2, 2],
        &[3, 4, 22, 24],
        [-4, -3, 6, 7],
    ));
    all.push(extremum(Op::Max, [1, 1, 2], &[3, 9], [-4, -1, 6, 6]));
    all.push(extremum(Op::Max, [1, 1, 1], &[9], [-1, -1, 6, 6]));
    all.push(extremum(
        Op::Min,
        [1, 2, 2],
        &[3, 4, 22, 24],
        [-4, -4, 6, 6],
    ));
    all.push(extremum(Op::Min, [1, 1, 2], &[3, 9], [-4, -4, -4, -1]));
    all.push(extremum(Op::Min, [1, 1, 1], &[9], [-4, -4, -1, -1]));
    all.extend([lut(), softmax(), scaled_softmax()]);
    all.extend(movements());
    all
}

#[test]
fn each_operator_gives_in_each_packing_what_it_should() {
    for example in examples() {
        for packing in Family::ALL {
            let found = example.run(&example.blob(packing));
            assert_eq!(
                found.as_deref(),
                Ok(&*example.output),
                "{} in {packing:?}",
                example.name
            );
        }
    }
}

/// The format's own list: the numbers under which an operator can be read.
#[test]
fn no_operator_is_left_out() {
    let number = |op: &Op| postcard::to_stdvec(op).unwrap()[0];
    let examples = examples();
    let ops = examples
        .iter()
        .flat_map(|example| &example.parts.program.ops);
    let mut found: Vec<u8> = ops.map(number).collect();
    found.sort_unstable();
    found.dedup();
    let readable = |number: &u8| {
        let mut bytes = [0; 64];
        bytes[0] = *number;
        postcard::take_from_bytes::<Op>(&bytes).is_ok()
    };
    assert_eq!(found, (0..128).filter(readable).collect::<Vec<u8>>());
    assert!(found.len() >= 17);
    // And each kind of weights.
    let mut types = Vec::new();
    for example in &examples {
        let ops = example.packed(Family::Dsp).program.ops;
        types.extend(ops.iter().filter_map(|op| match op {
            Op::Conv2d(op) | Op::DepthwiseConv2d(op) => Some(op.weight_type as u8),
            Op::FullyConnected(op) => Some(op.weight_type as u8),
            _ => None,
        }));
    }
    types.sort_unstable();
    types.dedup();
    assert_eq!(types, [0, 1, 2, 3]);
}

/// Cut short, with a wrong checksum, and with a bit of the program changed.
#[test]
fn broken_examples_are_refused_or_run() {
    let (mut ran, mut refused) = (0, 0);
    // An interpreter takes a second for what is a millisecond elsewhere.
    let step = if cfg!(miri) { 17 } else { 1 };
    for (index, example) in examples().iter().enumerate() {
        for packing in Family::ALL {
            if cfg!(miri) && index % 3 != packing as usize {
                continue;
            }
            let blob = example.blob(packing);
            for length in [0, 8, 63, 64, 80, blob.len() - 1] {
                let error = runs(&blob[..length]).unwrap_err();
                assert!(matches!(error, LoadError::TooShort { .. }), "{error}");
            }
            let mut damaged = blob.clone();
            *damaged.last_mut().unwrap() ^= 4;
            let error = runs(&damaged).unwrap_err();
            assert!(matches!(error, LoadError::Checksum { .. }), "{error}");
            let program = u32::from_le_bytes(blob[24..28].try_into().unwrap()) as usize;
            for place in (index % step..program).step_by(step) {
                let mut damaged = blob.clone();
                damaged[64 + place] ^= 1 << (place % 7);
                let crc = checksum(&damaged);
                damaged[16..20].copy_from_slice(&crc.to_le_bytes());
                match runs(&damaged) {
                    Ok(()) => ran += 1,
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
    }
    // Both ways are taken often, or this test tests nothing.
    let least = if cfg!(miri) { 5 } else { 400 };
    assert!(
        ran > least && refused > least,
        "{ran} ran, {refused} refused"
    );
}

/// Loads a blob and, if it is accepted, runs it, whatever its shapes are.
fn runs(blob: &[u8]) -> Result<(), LoadError> {
    let blob = AlignedBlob::new(blob);
    let model = TestModel::from_bytes(&blob)?;
    let mut arena = vec![55; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).unwrap();
    engine.run();
    Ok(())
}
