//! The arithmetic of native models once more, as plainly as it can be written.
//!
//! Every operator of `docs/arithmetic.md`, element by element, in 128-bit integers: no fast path, no shared helper, nothing
//! of the runtime but the types that describe a program. What a kernel family computes is compared with this byte for byte.
//! The proofs that the document gives for its machine types are assertions here, so that every layer run checks them too.
//!
//! Tensors are values of their own: the arena does not exist here, so that a plan that lets one tensor overwrite
//! another shows up as a difference.

mod convolution;
mod elementwise;
mod movement;
mod pool;
mod requantize;
mod softmax;

pub use requantize::{Requantizer, requantize};

use fewbit_runtime::ProgramParts;
use fewbit_runtime::format::place::{ParamIndex, WeightsOffset};
use fewbit_runtime::format::program::{Clamp, Op, Requant, Tensor, TensorIndex, WeightType};

/// Events of a run: proof that the corner cases occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Input coordinates outside of the tensor.
    pub border_reads: u64,
    /// Outputs that lay below the smallest allowed value.
    pub clamped_low: u64,
    /// Outputs that lay above the largest allowed value.
    pub clamped_high: u64,
    /// Outputs strictly inside of their range.
    pub inside: u64,
    /// Requantizations exactly half way between two integers.
    pub ties: u64,
    /// Requantizations with a `pre_shift` above 0.
    pub pre_shifted: u64,
    /// The largest `|t|` of equation (2).
    pub largest_t: u64,
}

impl Trace {
    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Trace) {
        self.border_reads += other.border_reads;
        self.clamped_low += other.clamped_low;
        self.clamped_high += other.clamped_high;
        self.inside += other.inside;
        self.ties += other.ties;
        self.pre_shifted += other.pre_shifted;
        self.largest_t = self.largest_t.max(other.largest_t);
    }

    /// `clamp(v, lo, hi)` of section 1, as int8.
    fn clamp(&mut self, value: i128, lo: i128, hi: i128) -> i8 {
        assert!(
            (-128..=127).contains(&lo) && lo <= hi && hi <= 127,
            "clamp to {lo}..={hi}"
        );
        if value < lo {
            self.clamped_low += 1;
        } else if value > hi {
            self.clamped_high += 1;
        } else if lo < value && value < hi {
            self.inside += 1;
        }
        let clamped = if value < lo {
            lo
        } else if value > hi {
            hi
        } else {
            value
        };
        clamped as i8
    }
}

/// The constant sections of a blob.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    /// The weights section.
    pub weights: &'a [i8],
    /// The parameters section.
    pub params: &'a [i32],
}

impl Sections<'_> {
    fn param(&self, first: ParamIndex, index: usize) -> i128 {
        i128::from(self.params[first.get() as usize + index])
    }

    fn byte(&self, first: WeightsOffset, index: usize) -> i8 {
        self.weights[first.get() as usize + index]
    }

    /// Weight `column` of row `row`, where a row has `row_len` weights: section 4, "int4".
    fn weight(
        &self,
        first: WeightsOffset,
        weight_type: WeightType,
        row: usize,
        column: usize,
        row_len: usize,
    ) -> i128 {
        match weight_type {
            WeightType::Int8 => i128::from(self.byte(first, row * row_len + column)),
            WeightType::PairedInt8 | WeightType::PairedInt4 => panic!("the oracle reads rows"),
            WeightType::Int4 => {
                let row_bytes = row_len / 2 + row_len % 2;
                let byte = i128::from(self.byte(first, row * row_bytes + column / 2) as u8);
                let nibble = if column.is_multiple_of(2) {
                    byte % 16
                } else {
                    byte / 16
                };
                if nibble >= 8 { nibble - 16 } else { nibble }
            }
        }
    }

    /// The output range of a channel.
    fn clamp(&self, clamp: &Clamp, channel: usize) -> (i128, i128) {
        match *clamp {
            Clamp::PerTensor { min, max } => (i128::from(min), i128::from(max)),
            Clamp::PerChannel { offset } => {
                let min = self.byte(offset, 2 * channel);
                let max = self.byte(offset, 2 * channel + 1);
                (i128::from(min), i128::from(max))
            }
        }
    }

    /// Requantization of the accumulators of `channel`, with the multiplier of index `which`.
    fn requantizer(
        &self,
        requant: &Requant,
        which: usize,
        channel: usize,
        zero_point: i8,
    ) -> Requantizer {
        let (activation_min, activation_max) = self.clamp(&requant.clamp, channel);
        Requantizer {
            pre_shift: u32::from(requant.pre_shift),
            multiplier: self.param(requant.multipliers, which),
            zero_point: i128::from(zero_point),
            activation_min,
            activation_max,
        }
    }
}

/// A tensor `[h, w, c]` with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Activation {
    h: usize,
    w: usize,
    c: usize,
    zero_point: i128,
    data: Vec<i8>,
}

impl Activation {
    fn new(tensor: &Tensor, data: Vec<i8>) -> Self {
        let (h, w, c) = (
            usize::from(tensor.h),
            usize::from(tensor.w),
            usize::from(tensor.c),
        );
        assert_eq!(data.len(), h * w * c, "a tensor of {h} x {w} x {c}");
        Activation {
            h,
            w,
            c,
            zero_point: i128::from(tensor.zero_point),
            data,
        }
    }

    /// Element `(y, x, k)`.
    fn at(&self, y: usize, x: usize, k: usize) -> i128 {
        assert!(
            y < self.h && x < self.w && k < self.c,
            "({y}, {x}, {k}) of {} x {} x {}",
            self.h,
            self.w,
            self.c
        );
        i128::from(self.data[(y * self.w + x) * self.c + k])
    }

    fn contains(&self, y: i128, x: i128) -> bool {
        0 <= y && y < self.h as i128 && 0 <= x && x < self.w as i128
    }
}

/// Runs a program on `inputs`, one vector a model input, and returns the model outputs and what happened.
///
/// # Panics
/// When the program is not one that `docs/arithmetic.md` allows.
#[must_use]
pub fn run(
    program: &ProgramParts,
    sections: &Sections,
    inputs: &[Vec<i8>],
) -> (Vec<Vec<i8>>, Trace) {
    let mut trace = Trace::default();
    let mut values: Vec<Option<Activation>> = vec![None; program.tensors.len()];
    assert_eq!(
        inputs.len(),
        program.inputs.len(),
        "one vector a model input"
    );
    for (port, data) in program.inputs.iter().zip(inputs) {
        let index = usize::from(port.tensor);
        values[index] = Some(Activation::new(&program.tensors[index], data.clone()));
    }
    for op in &program.ops {
        let output = output_of(op);
        let tensor = &program.tensors[usize::from(output)];
        let data = run_op(op, &values, tensor, sections, &mut trace);
        values[usize::from(output)] = Some(Activation::new(tensor, data));
    }
    let outputs = program
        .outputs
        .iter()
        .map(|port| value(&values, port.tensor).data.clone())
        .collect();
    (outputs, trace)
}

fn value(values: &[Option<Activation>], index: TensorIndex) -> &Activation {
    values[usize::from(index)]
        .as_ref()
        .expect("a tensor is written before it is read")
}

fn run_op(
    op: &Op,
    values: &[Option<Activation>],
    output: &Tensor,
    sections: &Sections,
    trace: &mut Trace,
) -> Vec<i8> {
    let get = |index: TensorIndex| value(values, index);
    match op {
        Op::Conv2d(op) => convolution::conv_2d(op, get(op.input), output, sections, trace),
        Op::DepthwiseConv2d(op) => {
            convolution::depthwise_conv_2d(op, get(op.input), output, sections, trace)
        }
        Op::FullyConnected(op) => {
            convolution::fully_connected(op, get(op.input), output, sections, trace)
        }
        Op::MaxPool(op) => pool::max_pool(op, get(op.input), output, trace),
        Op::AveragePool(op) => pool::average_pool(op, get(op.input), output, sections, trace),
        Op::Add(op) => elementwise::add(op, get(op.a), get(op.b), output, trace),
        Op::Mul(op) => elementwise::mul(op, get(op.a), get(op.b), output, sections, trace),
        Op::Max(op) => elementwise::extremum(op, [get(op.a), get(op.b)], output, i128::max, trace),
        Op::Min(op) => elementwise::extremum(op, [get(op.a), get(op.b)], output, i128::min, trace),
        Op::Lut(op) => elementwise::lut(op, get(op.input), sections),
        Op::Softmax(op) => softmax::softmax(op, get(op.input), sections),
        Op::ScaledSoftmax(op) => softmax::scaled_softmax(op, get(op.input), sections),
        Op::Reshape(op) => get(op.input).data.clone(),
        Op::Transpose(op) => movement::transpose(op, get(op.input)),
        Op::Concat(op) => {
            let inputs: Vec<&Activation> = op.inputs.iter().map(|&index| get(index)).collect();
            movement::concat(usize::from(op.axis), &inputs, output)
        }
        Op::Pad(op) => movement::pad(op, get(op.input), output),
        Op::Constant(op) => {
            let count = usize::from(output.h) * usize::from(output.w) * usize::from(output.c);
            (0..count)
                .map(|index| sections.byte(op.data, index))
                .collect()
        }
    }
}

/// The tensor that an operator writes.
#[must_use]
pub fn output_of(op: &Op) -> TensorIndex {
    match op {
        Op::Conv2d(op) | Op::DepthwiseConv2d(op) => op.output,
        Op::FullyConnected(op) => op.output,
        Op::MaxPool(op) => op.output,
        Op::AveragePool(op) => op.output,
        Op::Add(op) => op.output,
        Op::Mul(op) => op.output,
        Op::Lut(op) => op.output,
        Op::Softmax(op) => op.output,
        Op::ScaledSoftmax(op) => op.output,
        Op::Max(op) | Op::Min(op) => op.output,
        Op::Reshape(op) => op.output,
        Op::Transpose(op) => op.output,
        Op::Concat(op) => op.output,
        Op::Pad(op) => op.output,
        Op::Constant(op) => op.output,
    }
}
