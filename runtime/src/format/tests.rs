//! The format as a whole: identity, every refusal, and damaged blobs.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers and random bits"
)]

use super::aligned::AlignedBlob;
use super::header::{Header, Summary, checksum};
use super::metadata::{Metadata, OpMetadata, TensorMetadata};
use super::program::{
    Add, AveragePool, Clamp, Concat, Constant, Conv2d, FullyConnected, Lut, MaxPool, Mul, Op, Pad,
    Port, Requant, Scratch, Softmax, Tensor, Transpose, Unary, WeightType, Window,
};
use super::read::Model;
use super::write::{ProgramParts, arena_bytes, assemble, pack_int4_row, pack_int4_rows};
use crate::engine::Engine;
use crate::error::{LoadError, Section};

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

    fn weights(&mut self, bytes: &[i8]) -> u32 {
        self.weights
            .resize(self.weights.len().next_multiple_of(16), 0);
        self.weights.extend_from_slice(bytes);
        (self.weights.len() - bytes.len()) as u32
    }

    fn params(&mut self, values: &[i32]) -> u32 {
        self.params.extend_from_slice(values);
        (self.params.len() - values.len()) as u32
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
        scale_bits: (1.0_f32 / 256.0).to_bits(),
    }];
    p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
    p.metadata = Metadata {
        name: "zoo".into(),
        tensors: vec![TensorMetadata {
            name: "x".into(),
            scale_bits: 1,
        }],
        ops: vec![OpMetadata {
            name: "conv".into(),
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
    let again = ProgramParts {
        arena_bytes: program.arena_bytes,
        inputs: program.inputs.to_vec(),
        outputs: program.outputs.to_vec(),
        tensors: program.tensors.to_vec(),
        ops: program.ops.to_vec(),
    };
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
fn the_summary_is_the_headers() {
    let parts = zoo();
    let blob = parts.blob();
    let summary = Summary::from_bytes(&blob).unwrap();
    assert_eq!((summary.tensors, summary.ops), (15, 14));
    assert_eq!(summary.arena_bytes, parts.program.arena_bytes);
    assert_eq!(summary.length as usize, blob.len());
    assert_eq!(summary.weights_bytes as usize, parts.weights.len());
    assert_eq!(summary.parameters_bytes as usize, 4 * parts.params.len());
    let header = Header::parse(&blob).unwrap();
    assert_eq!(header.emit(), blob[..64]);
    // The known check value of CRC-32: nine digits behind twenty bytes that it skips.
    assert_eq!(checksum(b"                    123456789"), 0xCBF4_3926);
}

#[test]
fn bytes_behind_the_blob_are_ignored() {
    let mut blob = zoo().blob();
    blob.extend([0xFF; 100]);
    assert_eq!(load(&blob), Ok(()));
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

/// The parameters of an operator of the zoo.
macro_rules! op {
    ($parts:expr, $index:literal, $kind:ident) => {
        match &mut $parts.program.ops[$index] {
            Op::$kind(op) => op,
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn a_damaged_header_is_refused() {
    use LoadError::*;
    type Change = fn(&mut Vec<u8>);
    let cases: &[(Change, fn(LoadError) -> bool)] = &[
        (
            |b| b.truncate(63),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 63
                    }
                )
            },
        ),
        (
            |b| b.truncate(5),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 5
                    }
                )
            },
        ),
        (
            |b| b.clear(),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 0
                    }
                )
            },
        ),
        (|b| *b = b"ELF".to_vec(), |e| e == Magic),
        (
            |b| b.truncate(b.len() - 1),
            |e| matches!(e, TooShort { .. }),
        ),
        (
            |b| b[12..16].copy_from_slice(&32_u32.to_le_bytes()),
            |e| {
                matches!(
                    e,
                    TooShort {
                        expected: 64,
                        found: 32
                    }
                )
            },
        ),
        (|b| b[7] = b'\r', |e| e == Magic),
        (
            |b| b[8] = 2,
            |e| {
                e == Version {
                    expected: 1,
                    found: 2,
                }
            },
        ),
        (|b| b[10] = 1, |e| e == Packing { found: 1 }),
        (|b| b[11] = 1, |e| e == Arithmetic { found: 1 }),
        (|b| b[60] = 1, |e| e == Reserved { found: 1 }),
        (
            |b| b[20] = 80,
            |e| {
                e == SectionOffset {
                    section: Section::Program,
                    expected: 64,
                    found: 80,
                }
            },
        ),
        (
            |b| b[24..28].fill(0xFF),
            |e| {
                e == SectionLength {
                    section: Section::Program,
                    found: u32::MAX,
                }
            },
        ),
        (
            |b| b[40] += 1,
            |e| {
                matches!(
                    e,
                    SectionLength {
                        section: Section::Parameters,
                        ..
                    }
                )
            },
        ),
        (
            |b| b[49] += 1,
            |e| {
                matches!(
                    e,
                    SectionLength {
                        section: Section::Metadata,
                        ..
                    }
                )
            },
        ),
        (
            |b| *b.last_mut().unwrap() = 1,
            |e| {
                e == Padding {
                    section: Section::Metadata,
                }
            },
        ),
        (
            |b| b[52] = 14,
            |e| {
                e == TensorCount {
                    expected: 14,
                    found: 15,
                }
            },
        ),
        (
            |b| b[52] = 17,
            |e| {
                e == TensorCapacity {
                    capacity: 16,
                    found: 17,
                }
            },
        ),
        (
            |b| b[54] = 13,
            |e| {
                e == OpCount {
                    expected: 13,
                    found: 14,
                }
            },
        ),
        (
            |b| b[54] = 17,
            |e| {
                e == OpCapacity {
                    capacity: 16,
                    found: 17,
                }
            },
        ),
        (|b| b[56] ^= 1, |e| matches!(e, ArenaBytes { .. })),
        (
            |b| b[24] -= 1,
            |e| {
                matches!(
                    e,
                    Padding {
                        section: Section::Program
                    } | Program
                )
            },
        ),
    ];
    for (index, (change, expected)) in cases.iter().enumerate() {
        let mut blob = zoo().blob();
        change(&mut blob);
        if blob.len() >= 64 {
            let end =
                (u32::from_le_bytes(blob[12..16].try_into().unwrap()) as usize).min(blob.len());
            let crc = checksum(&blob[..end]);
            blob[16..20].copy_from_slice(&crc.to_le_bytes());
        }
        let error = load(&blob).unwrap_err();
        assert!(expected(error), "case {index}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
    let mut blob = zoo().blob();
    blob[100] ^= 1;
    assert!(matches!(load(&blob), Err(Checksum { .. })));
    // A varint that never ends.
    let mut blob = zoo().blob();
    blob[64..80].fill(0xFF);
    let crc = checksum(&blob);
    blob[16..20].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(load(&blob), Err(Program));
    // One byte past a multiple of 16.
    let mut shifted = vec![0];
    shifted.extend(zoo().blob());
    let aligned = AlignedBlob::new(&shifted);
    assert_eq!(
        TestModel::from_bytes(&aligned[1..]).unwrap_err(),
        Misaligned { found: 1 }
    );
}

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
        |p| p.program.outputs[0].scale_bits = f32::INFINITY.to_bits() => PortScale { tensor: 14, .. },
        |p| p.program.outputs[0].scale_bits = (-1.0_f32).to_bits() => PortScale { .. },
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
        |p| op!(p, 2, MaxPool).window = window(2, 4, 2, 2) => PoolPad { op: 2, kernel: 2, found: 2 },
        |p| op!(p, 0, Conv2d).groups = 0 => Groups { op: 0, found: 0 },
        |p| op!(p, 0, Conv2d).groups = 4 => Groups { op: 0, found: 4 },
        |p| op!(p, 1, DepthwiseConv2d).groups = 2 => Groups { op: 1, found: 2 },
        |p| op!(p, 0, Conv2d).weights = 8 => WeightsAlignment { op: 0, found: 8 },
        |p| op!(p, 0, Conv2d).weights = p.weights.len() as u32 / 16 * 16 => WeightsRange { op: 0, .. },
        |p| op!(p, 0, Conv2d).bias = u32::MAX => ParametersRange { op: 0, .. },
        |p| op!(p, 13, Softmax).table += 1 => ParametersRange { op: 13, .. },
        |p| p.weights[3] = -128 => WeightValue { op: 0, at: 3, found: -128 },
        |p| { let at = op!(p, 1, DepthwiseConv2d).weights as usize; p.weights[at + 2] = 0x08; } => WeightValue { op: 1, at: 2, .. },
        |p| { let at = op!(p, 12, FullyConnected).weights as usize; p.weights[at] = -128; } => WeightValue { op: 12, at: 0, .. },
        |p| p.params[5] = -1 => Multiplier { op: 0, at: 1, found: -1 },
        |p| op!(p, 6, Mul).requant.pre_shift = 31 => PreShift { op: 6, found: 31 },
        |p| op!(p, 6, Mul).requant.pre_shift = 16 => Accumulator { op: 6, .. },
        |p| p.params[1] = i32::MIN => Accumulator { op: 0, channel: 1, .. },
        |p| op!(p, 3, AveragePool).requant.pre_shift = 21 => Accumulator { op: 3, limit: 1024, found: 1024, .. },
        |p| op!(p, 2, MaxPool).min = 101 => Clamp { op: 2, min: 101, max: 100 },
        |p| op!(p, 0, Conv2d).requant.clamp = super::program::Clamp::PerTensor { min: 1, max: 0 } => Clamp { op: 0, .. },
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
        |p| op!(p, 7, Lut).table = p.weights.len().next_multiple_of(16) as u32 => WeightsRange { op: 7, .. },
        |p| op!(p, 5, Constant).data = p.weights.len().next_multiple_of(16) as u32 => WeightsRange { op: 5, .. },
        |p| { let at = op!(p, 13, Softmax).table as usize; p.params[at] -= 1; } => SoftmaxTable { op: 13, at: 0, .. },
        |p| { let at = op!(p, 13, Softmax).table as usize; p.params[at + 255] = -1; } => SoftmaxTable { op: 13, at: 255, found: -1 },
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

/// A model that negates by table, joins and adds, with its tensors at the given places.
fn joined(offsets: [u32; 5], axis: u8) -> Result<(), LoadError> {
    let mut p = zoo();
    let table = op!(p, 7, Lut).table;
    let [h, w] = if axis == 0 { [2, 1] } else { [1, 2] };
    let shapes = [[1, 1, 8], [1, 1, 8], [1, 1, 8], [h, w, 8], [h, w, 8]];
    p.program.tensors = offsets
        .into_iter()
        .zip(shapes)
        .map(|(offset, s)| Tensor::int8(offset, s, 0))
        .collect();
    p.program.inputs[0].tensor = 0;
    p.program.outputs[0].tensor = 4;
    let inputs = heapless::Vec::from_slice(&[1, 2]).unwrap();
    p.program.ops = vec![
        Op::Lut(Lut {
            input: 0,
            output: 1,
            table,
        }),
        Op::Lut(Lut {
            input: 0,
            output: 2,
            table,
        }),
        Op::Concat(Concat {
            inputs,
            output: 3,
            axis,
        }),
        Op::Lut(Lut {
            input: 3,
            output: 4,
            table,
        }),
    ];
    p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
    p.load()
}

#[test]
fn operators_work_in_place_only_where_kernels_can() {
    // Everything apart; then the second lut over its input, and the last.
    assert_eq!(joined([0, 8, 16, 32, 64], 0), Ok(()));
    assert_eq!(joined([0, 8, 0, 32, 32], 0), Ok(()));
    // The first lut's input is still needed; another place than the input's is not in place.
    assert_eq!(
        joined([0, 0, 16, 32, 64], 0),
        Err(LoadError::Overlap {
            tensor: 1,
            other: 0
        })
    );
    assert_eq!(
        joined([0, 16, 4, 32, 64], 0),
        Err(LoadError::Overlap {
            tensor: 2,
            other: 0
        })
    );
    assert_eq!(
        joined([0, 8, 16, 32, 33], 0),
        Err(LoadError::Overlap {
            tensor: 4,
            other: 3
        })
    );
    // A concat's inputs may lie where they belong, in either outermost axis, and nowhere else in its output.
    assert_eq!(joined([0, 16, 24, 16, 64], 0), Ok(()));
    assert_eq!(joined([0, 16, 24, 16, 64], 1), Ok(()));
    assert_eq!(
        joined([0, 24, 16, 16, 64], 0),
        Err(LoadError::Overlap {
            tensor: 3,
            other: 1
        })
    );
    assert_eq!(
        joined([0, 16, 20, 16, 64], 0),
        Err(LoadError::Overlap {
            tensor: 2,
            other: 1
        })
    );
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
    assert_eq!(
        [model.macs(1), model.macs(12), model.macs(2), model.macs(99)],
        [16 * 9, 72 * 3, 0, 0]
    );
}

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
