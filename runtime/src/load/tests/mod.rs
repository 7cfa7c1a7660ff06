//! The format as a whole: identity, every refusal, and damaged blobs.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers and random bits"
)]

use super::Model;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::header::checksum;
use crate::format::metadata::{
    InputMetadata, Metadata, OpMetadata, OutputMetadata, TensorMetadata,
};
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{
    Add, AveragePool, Clamp, Concat, Constant, Conv2d, FullyConnected, Lut, MaxPool, Mul, Op, Pad,
    Port, Requant, Scratch, Softmax, Tensor, Transpose, Unary, WeightType, Window,
};
use crate::format::write::{ProgramParts, arena_bytes, assemble, pack_int4_row, pack_int4_rows};

mod by_hand;
mod extremes;
mod header;
mod in_place;
mod layers;
mod lifetimes;
mod linked;
mod operators;
mod packed;
mod pools;
mod program;
mod reads;
mod refusals;
mod small;
mod written;

/// Everything that goes into a blob.
#[derive(Clone)]
struct Parts {
    program: ProgramParts,
    weights: Vec<i8>,
    params: Vec<i32>,
    metadata: Metadata,
}

type TestModel<'a> = Model<'a, 16, 16>;

impl Parts {
    fn blob(&self) -> Vec<u8> {
        assemble(&self.program, &self.weights, &self.params, &self.metadata).unwrap()
    }

    fn load(&self) -> Result<(), LoadError> {
        load(&self.blob())
    }

    fn weights(&mut self, bytes: &[i8]) -> WeightsOffset {
        self.weights
            .resize(self.weights.len().next_multiple_of(16), 0);
        self.weights.extend_from_slice(bytes);
        WeightsOffset::new((self.weights.len() - bytes.len()) as u32)
    }

    fn params(&mut self, values: &[i32]) -> ParamIndex {
        self.params.extend_from_slice(values);
        ParamIndex::new((self.params.len() - values.len()) as u32)
    }

    /// A tensor behind all others.
    fn tensor(&mut self, shape: [u16; 3], zero_point: i8) -> u16 {
        let offset = arena_bytes(&self.program.tensors, &[]);
        self.program
            .tensors
            .push(Tensor::int8(offset, shape, zero_point));
        self.program.tensors.len() as u16 - 1
    }
}

fn load(blob: &[u8]) -> Result<(), LoadError> {
    TestModel::from_bytes(&AlignedBlob::new(blob)).map(|_| ())
}

const FULL: Clamp = Clamp::PerTensor {
    min: -128,
    max: 127,
};

fn window(kernel: u16, stride: u8, before: u8, after: u8) -> Window {
    Window {
        kernel_h: kernel,
        kernel_w: kernel,
        stride_h: stride,
        stride_w: stride,
        dilation_h: 1,
        dilation_w: 1,
        pad_top: before,
        pad_left: before,
        pad_bottom: after,
        pad_right: after,
    }
}

/// A model with every operator, number `i` of which writes tensor `i + 1`.
fn zoo() -> Parts {
    let mut p = Parts {
        program: ProgramParts::default(),
        weights: Vec::new(),
        params: Vec::new(),
        metadata: Metadata::default(),
    };
    let half = 1 << 30;
    p.tensor([4, 4, 2], 3);

    let conv = Conv2d {
        input: 0,
        output: p.tensor([4, 4, 4], -5),
        window: window(3, 1, 1, 1),
        groups: 1,
        weight_type: WeightType::Int8,
        weights: p.weights(&core::array::from_fn::<i8, 72, _>(|i| {
            (i * 37 % 255) as u8 as i8 / 2
        })),
        bias: p.params(&[100, -200, 300, 0]),
        requant: Requant {
            multipliers: p.params(&[1 << 24; 4]),
            pre_shift: 0,
            clamp: FULL,
        },
        scratch: Scratch::default(),
    };
    let depthwise = Conv2d {
        input: 1,
        output: p.tensor([2, 2, 4], 7),
        window: window(3, 2, 1, 1),
        groups: 4,
        weight_type: WeightType::Int4,
        weights: p.weights(&pack_int4_rows(
            &core::array::from_fn::<i8, 36, _>(|i| (i % 15) as i8 - 7),
            4,
        )),
        bias: p.params(&[1, 2, 3, 4]),
        requant: Requant {
            multipliers: p.params(&[1 << 28; 4]),
            pre_shift: 1,
            clamp: Clamp::PerChannel {
                offset: p.weights(&[-128, 127, -100, 100, 0, 0, 7, 127]),
            },
        },
        scratch: Scratch {
            offset: 4000,
            bytes: 64,
        },
    };
    let max_pool = MaxPool {
        input: 1,
        output: p.tensor([2, 2, 4], -5),
        window: window(2, 2, 0, 0),
        min: -100,
        max: 100,
    };
    let average_pool = AveragePool {
        input: 2,
        output: p.tensor([2, 2, 4], -1),
        window: window(2, 1, 1, 0),
        multiplier_per_count: true,
        requant: Requant {
            multipliers: p.params(&[half, half / 2, half / 3, half / 4]),
            pre_shift: 1,
            clamp: FULL,
        },
    };
    let add = Add {
        a: 3,
        b: 4,
        output: p.tensor([2, 2, 4], 9),
        a_multiplier: 30000,
        b_multiplier: -20000,
        shift: 15,
        min: -128,
        max: 127,
    };
    let constant = Constant {
        output: p.tensor([1, 1, 4], 0),
        data: p.weights(&[1, -2, 3, -4]),
    };
    let mul = Mul {
        a: 5,
        b: 6,
        output: p.tensor([2, 2, 4], 11),
        requant: Requant {
            multipliers: p.params(&[half]),
            pre_shift: 3,
            clamp: FULL,
        },
    };
    // In place.
    p.program.tensors.push(Tensor {
        zero_point: 2,
        ..p.program.tensors[7]
    });
    let lut = Lut {
        input: 7,
        output: 8,
        table: p.weights(&core::array::from_fn::<i8, 256, _>(|i| (255 - i) as i8)),
    };
    let transpose = Transpose {
        input: 8,
        output: p.tensor([2, 2, 4], 2),
        dims: [1, 2, 2, 4],
        perm: [0, 2, 1, 3],
    };
    let concat = Concat {
        inputs: heapless::Vec::from_slice(&[8, 9]).unwrap(),
        output: p.tensor([2, 2, 8], 2),
        axis: 2,
    };
    let pad = Pad {
        input: 10,
        output: p.tensor([3, 3, 8], 2),
        before: [1, 0, 0],
        after: [0, 1, 0],
        value: 2,
    };
    p.program.tensors.push(Tensor {
        h: 1,
        w: 1,
        c: 72,
        ..p.program.tensors[11]
    });
    let reshape = Unary {
        input: 11,
        output: 12,
    };
    let fully_connected = FullyConnected {
        input: 12,
        output: p.tensor([1, 1, 3], 0),
        weight_type: WeightType::Int4,
        weights: p.weights(&pack_int4_rows(
            &core::array::from_fn::<i8, 216, _>(|i| (i % 13) as i8 - 6),
            72,
        )),
        bias: p.params(&[-5, 0, 5]),
        requant: Requant {
            multipliers: p.params(&[1 << 25; 3]),
            pre_shift: 0,
            clamp: FULL,
        },
        scratch: Scratch::default(),
    };
    let table = core::array::from_fn::<i32, 256, _>(|d| (1 << 20) >> (d / 8).min(31));
    let softmax = Softmax {
        input: 13,
        output: p.tensor([1, 1, 3], -128),
        table: p.params(&table),
    };

    p.program.ops = vec![
        Op::Conv2d(conv),
        Op::DepthwiseConv2d(depthwise),
        Op::MaxPool(max_pool),
        Op::AveragePool(average_pool),
        Op::Add(add),
        Op::Constant(constant),
        Op::Mul(mul),
        Op::Lut(lut),
        Op::Transpose(transpose),
        Op::Concat(concat),
        Op::Pad(pad),
        Op::Reshape(reshape),
        Op::FullyConnected(fully_connected),
        Op::Softmax(softmax),
    ];
    p.program.inputs = vec![Port {
        tensor: 0,
        scale_bits: 0.5_f32.to_bits(),
    }];
    p.program.outputs = vec![Port {
        tensor: 14,
        scale_bits: 0x3B80_0000,
    }];
    p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
    p.metadata = Metadata {
        name: "zoo".into(),
        inputs: vec![InputMetadata {
            shape: vec![1, 2, 3],
            source_shape: vec![2, 4, 4],
            source_axes: vec![1, 2, 0],
            divisor_bits: 1,
            mean_bits: vec![2],
            std_bits: vec![3, 4],
        }],
        tensors: vec![TensorMetadata {
            name: "x".into(),
            scale_bits: 1,
        }],
        ops: vec![OpMetadata {
            name: "conv".into(),
        }],
        outputs: vec![OutputMetadata {
            shape: vec![2, 3],
            source_shape: vec![3, 1, 2],
            order: vec![1, 0],
            batch: Some(0),
        }],
    };
    p
}

#[test]
fn what_is_written_is_what_is_read() {
    let parts = zoo();
    let blob = parts.blob();
    let aligned = AlignedBlob::new(&blob);
    let model = TestModel::from_bytes(&aligned).unwrap();
    let program = model.program();
    assert_eq!(program.arena_bytes, parts.program.arena_bytes);
    assert_eq!(program.inputs.as_slice(), parts.program.inputs);
    assert_eq!(program.outputs.as_slice(), parts.program.outputs);
    assert_eq!(program.tensors.as_slice(), parts.program.tensors);
    assert_eq!(program.ops.as_slice(), parts.program.ops);
    assert_eq!(model.weights(), parts.weights);
    assert_eq!(model.params(), parts.params);
    assert_eq!(
        Metadata::from_bytes(&blob).unwrap().unwrap(),
        parts.metadata
    );
    // And back: the engine's own types encode to the same bytes.
    let again = ProgramParts::of(&model);
    assert_eq!(
        assemble(&again, model.weights(), model.params(), &parts.metadata).unwrap(),
        blob
    );
    assert_eq!(
        postcard::to_stdvec(program).unwrap(),
        postcard::to_stdvec(&again).unwrap()
    );
}

#[test]
fn metadata_may_end_before_the_outputs_and_go_on_behind_them() {
    let metadata = zoo().metadata;
    let outputs = postcard::to_stdvec(&metadata.outputs).unwrap();
    let section = postcard::to_stdvec(&metadata).unwrap();
    let first = section.len() - outputs.len();
    let older = Metadata {
        outputs: Vec::new(),
        ..metadata.clone()
    };
    assert_eq!(Metadata::decode(&section[..first]), Some(older));
    for end in (0..first).chain(first + 1..section.len()) {
        assert_eq!(Metadata::decode(&section[..end]), None, "{end}");
    }
    let newer = [&section[..], &[1, 2, 3]].concat();
    assert_eq!(Metadata::decode(&newer), Some(metadata));
}

#[test]
fn int4_packing_puts_the_first_weight_low() {
    assert_eq!(
        pack_int4_row(&[1, -1, 7, -7, 5]),
        [0xF1_u8 as i8, 0x97_u8 as i8, 0x05]
    );
    assert_eq!(
        pack_int4_rows(&[1, 2, 3, 4, 5, 6], 3),
        [0x21, 0x03, 0x54, 0x06]
    );
    assert!(pack_int4_rows(&[1], 0).is_empty());
}

#[test]
fn the_engine_wants_its_arena() {
    let blob = AlignedBlob::new(&zoo().blob());
    let model = TestModel::from_bytes(&blob).unwrap();
    let need = model.arena_bytes();
    let mut small = vec![0; need - 1];
    let error = Engine::new(&model, &mut small).unwrap_err();
    assert_eq!((error.expected, error.found), (need, need - 1));
    let mut arena = vec![55; need + 3];
    let mut engine = Engine::new(&model, &mut arena).unwrap();
    assert_eq!(engine.input_mut(0).len(), 32);
    assert_eq!(
        [
            engine.input_mut(1).len(),
            engine.output(1).len(),
            engine.op_output(14).len()
        ],
        [0, 0, 0]
    );
    engine.step(14);
    engine.run();
    assert_eq!(engine.output(0), engine.op_output(13));
    let whole = engine.output(0).to_vec();
    // Probabilities of three classes.
    assert!(
        (250..=262).contains(&whole.iter().map(|&y| i32::from(y) + 128).sum::<i32>()),
        "{whole:?}"
    );
    // Steps are a run.
    engine.input_mut(0).fill(55);
    (0..engine.op_count()).for_each(|index| engine.step(index));
    assert_eq!(engine.output(0), whole);
    assert_eq!(model.macs(0), 16 * 4 * 18);
    // More than the multiply-accumulates: pools and what is only written count too.
    let macs: u64 = (0..model.op_count()).map(|op| model.macs(op)).sum();
    assert!(model.work() > macs && model.work() < 2 * macs);
    assert_eq!(
        [model.macs(1), model.macs(12), model.macs(2), model.macs(99)],
        [16 * 9, 72 * 3, 0, 0]
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn damaged_blobs_are_refused_or_run() {
    let original = zoo().blob();
    let mut state = 0x1234_5678_9ABC_DEF1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut ran, mut refused) = (0, 0);
    for _ in 0..10_000 {
        let mut blob = original.clone();
        // Half of the flips go to the program, which is where most decisions are.
        let bits = next();
        let reach = if bits & 1 == 0 { blob.len() } else { 600 };
        blob[(bits >> 8) as usize % reach] ^= ((bits >> 1) % 255 + 1) as u8;
        let crc = checksum(&blob);
        blob[16..20].copy_from_slice(&crc.to_le_bytes());
        let blob = AlignedBlob::new(&blob);
        match TestModel::from_bytes(&blob) {
            Ok(model) => {
                let mut arena = vec![next() as i8; model.arena_bytes()];
                let mut engine = Engine::new(&model, &mut arena).unwrap();
                engine
                    .input_mut(0)
                    .iter_mut()
                    .for_each(|x| *x = next() as i8);
                engine.run();
                ran += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    // Both ways are taken often, or this test tests nothing.
    assert!(ran > 1000 && refused > 1000, "{ran} ran, {refused} refused");
}

/// The parameters of an operator of the zoo.
macro_rules! op {
    ($parts:expr, $index:literal, $kind:ident) => {
        match &mut $parts.program.ops[$index] {
            Op::$kind(op) => op,
            other => panic!("{other:?}"),
        }
    };
}
use op;
