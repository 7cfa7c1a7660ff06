//! The program section: tensors and operators, as serde data for postcard.
//!
//! Everything here is small integers, so postcard's varints are welcome; the bulk data (weights, biases, multipliers,
//! tables) lies in aligned sections beside the program and is referred to by offset.
//! The same types serve the host's writer and the engine: what is written is what is run.
//! Field by field layout: `docs/model-format.md`; what each operator computes: `docs/arithmetic.md`.

use super::place::{ParamIndex, WeightsOffset};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Most inputs or outputs that a model may have.
pub const MAX_PORTS: usize = 4;

/// Most tensors that one concat operator joins; the host chains several for more.
pub const MAX_CONCAT: usize = 8;

/// Index into [`Program::tensors`].
pub type TensorIndex = u16;

/// The decoded program section, with room for `TENSORS` tensors and `OPS` operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program<const TENSORS: usize, const OPS: usize> {
    /// Bytes of arena that the plan needs: the largest end of a tensor or of a scratch area.
    pub arena_bytes: u32,
    /// Model inputs, in order.
    pub inputs: Vec<Port, MAX_PORTS>,
    /// Model outputs, in order.
    pub outputs: Vec<Port, MAX_PORTS>,
    /// Every activation tensor.
    pub tensors: Vec<Tensor, TENSORS>,
    /// The operators in execution order.
    pub ops: Vec<Op, OPS>,
}

/// A model input or output: a tensor and its scale, for whoever turns bytes back into real numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The tensor.
    pub tensor: TensorIndex,
    /// Bits of the tensor's scale as an IEEE 754 single (`f32::from_bits`); inference never uses it.
    pub scale_bits: u32,
}

/// An int8 activation tensor `[h, w, c]` (NHWC, N = 1) at a fixed place of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// First byte in the arena.
    pub offset: u32,
    /// Rows, at least 1.
    pub h: u16,
    /// Columns, at least 1.
    pub w: u16,
    /// Channels, at least 1.
    pub c: u16,
    /// The quantized value of the real number 0, in -128..=127.
    pub zero_point: i8,
    /// Element type.
    pub dtype: DType,
}

impl Tensor {
    /// An int8 tensor `[h, w, c]` at `offset` of the arena.
    #[must_use]
    pub fn int8(offset: u32, [h, w, c]: [u16; 3], zero_point: i8) -> Self {
        Tensor {
            offset,
            h,
            w,
            c,
            zero_point,
            dtype: DType::Int8,
        }
    }

    /// Number of elements, below 2^48.
    #[must_use]
    pub fn elements(&self) -> u64 {
        u64::from(self.h) * u64::from(self.w) * u64::from(self.c)
    }

    /// Number of bytes that it takes in the arena.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.elements() * self.dtype.bytes()
    }

    /// `[h, w, c]`.
    #[must_use]
    pub fn shape(&self) -> [u16; 3] {
        [self.h, self.w, self.c]
    }
}

/// Element type of an activation tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DType {
    /// 8 bits, two's complement.
    Int8,
}

impl DType {
    /// Bytes of an element.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            DType::Int8 => 1,
        }
    }
}

/// Storage of a weight tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightType {
    /// One byte per weight, -127..=127.
    Int8,
    /// Two weights per byte, -7..=7, low nibble first, rows padded to a byte.
    Int4,
    /// As [`Int8`](Self::Int8), two output channels side by side, for the DSP family.
    PairedInt8,
    /// As [`Int4`](Self::Int4), two output channels side by side, for the DSP family.
    PairedInt4,
}

impl WeightType {
    /// Whether two output channels lie side by side.
    #[must_use]
    pub const fn is_paired(self) -> bool {
        matches!(self, WeightType::PairedInt8 | WeightType::PairedInt4)
    }
}

/// An operator of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Convolution with groups; weights OHWI.
    Conv2d(Conv2d),
    /// Depthwise convolution with a depth multiplier; weights 1HWO; `groups` is the number of input channels.
    DepthwiseConv2d(Conv2d),
    /// Matrix times vector; weights OI.
    FullyConnected(FullyConnected),
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Mean over a window.
    AveragePool(AveragePool),
    /// Sum of two tensors.
    Add(Add),
    /// Product of two tensors.
    Mul(Mul),
    /// Any function of one variable, by table.
    Lut(Lut),
    /// Softmax over the channels.
    Softmax(Softmax),
    /// The same bytes under another shape, in place.
    Reshape(Unary),
    /// Permutation of up to four dimensions.
    Transpose(Transpose),
    /// Several tensors joined along one axis.
    Concat(Concat),
    /// A border of constant elements.
    Pad(Pad),
    /// A tensor of constants out of the weights section.
    Constant(Constant),
    /// Softmax over the channels whose output has a scale of its own.
    ScaledSoftmax(ScaledSoftmax),
    /// The larger of two tensors' elements.
    Max(Extremum),
    /// The smaller of two tensors' elements.
    Min(Extremum),
}

impl Op {
    /// Name of the operator, as in `docs/arithmetic.md`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Conv2d(_) => "conv_2d",
            Op::DepthwiseConv2d(_) => "depthwise_conv_2d",
            Op::FullyConnected(_) => "fully_connected",
            Op::MaxPool(_) => "max_pool",
            Op::AveragePool(_) => "average_pool",
            Op::Add(_) => "add",
            Op::Mul(_) => "mul",
            Op::Lut(_) => "lut",
            Op::Softmax(_) => "softmax",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Concat(_) => "concat",
            Op::Pad(_) => "pad",
            Op::Constant(_) => "constant",
            Op::ScaledSoftmax(_) => "scaled_softmax",
            Op::Max(_) => "max",
            Op::Min(_) => "min",
        }
    }

    /// The tensor that the operator writes.
    #[must_use]
    pub fn output(&self) -> TensorIndex {
        match self {
            Op::Conv2d(op) | Op::DepthwiseConv2d(op) => op.output,
            Op::FullyConnected(op) => op.output,
            Op::MaxPool(op) => op.output,
            Op::AveragePool(op) => op.output,
            Op::Add(op) => op.output,
            Op::Mul(op) => op.output,
            Op::Lut(op) => op.output,
            Op::Softmax(op) => op.output,
            Op::Reshape(op) => op.output,
            Op::Transpose(op) => op.output,
            Op::Concat(op) => op.output,
            Op::Pad(op) => op.output,
            Op::Constant(op) => op.output,
            Op::ScaledSoftmax(op) => op.output,
            Op::Max(op) | Op::Min(op) => op.output,
        }
    }

    /// The tensors that the operator reads, in the order of its fields.
    pub fn inputs(&self) -> impl Iterator<Item = TensorIndex> + '_ {
        let (first, second, rest): (_, _, &[TensorIndex]) = match self {
            Op::Conv2d(op) | Op::DepthwiseConv2d(op) => (Some(op.input), None, &[]),
            Op::FullyConnected(op) => (Some(op.input), None, &[]),
            Op::MaxPool(op) => (Some(op.input), None, &[]),
            Op::AveragePool(op) => (Some(op.input), None, &[]),
            Op::Add(op) => (Some(op.a), Some(op.b), &[]),
            Op::Mul(op) => (Some(op.a), Some(op.b), &[]),
            Op::Lut(op) => (Some(op.input), None, &[]),
            Op::Softmax(op) => (Some(op.input), None, &[]),
            Op::Reshape(op) => (Some(op.input), None, &[]),
            Op::Transpose(op) => (Some(op.input), None, &[]),
            Op::Concat(op) => (None, None, &op.inputs),
            Op::Pad(op) => (Some(op.input), None, &[]),
            Op::Constant(_) => (None, None, &[]),
            Op::ScaledSoftmax(op) => (Some(op.input), None, &[]),
            Op::Max(op) | Op::Min(op) => (Some(op.a), Some(op.b), &[]),
        };
        first.into_iter().chain(second).chain(rest.iter().copied())
    }

    /// The operator's intermediate bytes; of length 0 for most.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        match self {
            Op::Conv2d(op) | Op::DepthwiseConv2d(op) => op.scratch,
            Op::FullyConnected(op) => op.scratch,
            _ => Scratch::default(),
        }
    }
}

#[cfg(feature = "std")]
impl Op {
    /// The operator's intermediate bytes, for those operators that may have some.
    pub fn scratch_mut(&mut self) -> Option<&mut Scratch> {
        match self {
            Op::Conv2d(op) | Op::DepthwiseConv2d(op) => Some(&mut op.scratch),
            Op::FullyConnected(op) => Some(&mut op.scratch),
            _ => None,
        }
    }
}

/// Place for an operator's intermediate bytes; part of the plan like any tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scratch {
    /// First byte in the arena.
    pub offset: u32,
    /// Length in bytes; 0 when the operator needs none.
    pub bytes: u32,
}

/// Sliding window of a convolution or a pool, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Kernel height, at least 1.
    pub kernel_h: u16,
    /// Kernel width, at least 1.
    pub kernel_w: u16,
    /// Vertical stride, at least 1.
    pub stride_h: u8,
    /// Horizontal stride, at least 1.
    pub stride_w: u8,
    /// Vertical dilation, at least 1.
    pub dilation_h: u8,
    /// Horizontal dilation, at least 1.
    pub dilation_w: u8,
    /// Rows of padding above.
    pub pad_top: u8,
    /// Columns of padding at the left.
    pub pad_left: u8,
    /// Rows of padding below.
    pub pad_bottom: u8,
    /// Columns of padding at the right.
    pub pad_right: u8,
}

/// Range of an operator's output in quantized units; carries a fused Relu or Clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clamp {
    /// One range for all channels, `min <= max`.
    PerTensor {
        /// Smallest output.
        min: i8,
        /// Largest output.
        max: i8,
    },
    /// A range for each output channel: `out_c` pairs of bytes (min, max) in the weights section.
    PerChannel {
        /// First pair.
        offset: WeightsOffset,
    },
}

/// Requantization of an operator's accumulators to its outputs: equations (2) to (4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requant {
    /// First Q32 multiplier.
    pub multipliers: ParamIndex,
    /// Left shift of the accumulator before the multiplication, 0..=30.
    pub pre_shift: u8,
    /// Range of the output.
    pub clamp: Clamp,
}

/// Parameters of [`Op::Conv2d`] (7) and [`Op::DepthwiseConv2d`] (8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Input `[in_h, in_w, in_c]`.
    pub input: TensorIndex,
    /// Output `[out_h, out_w, out_c]`.
    pub output: TensorIndex,
    /// The window.
    pub window: Window,
    /// Groups; divides `in_c` and `out_c`.
    pub groups: u16,
    /// Weight storage.
    pub weight_type: WeightType,
    /// First byte of the weights.
    pub weights: WeightsOffset,
    /// First of `out_c` folded biases.
    pub bias: ParamIndex,
    /// Requantization, `out_c` multipliers.
    pub requant: Requant,
    /// Intermediate bytes, for kernels that want them.
    pub scratch: Scratch,
}

/// Parameters of [`Op::FullyConnected`] (9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullyConnected {
    /// Input, of any shape, read as a flat vector.
    pub input: TensorIndex,
    /// Output `[1, 1, out_c]`.
    pub output: TensorIndex,
    /// Weight storage.
    pub weight_type: WeightType,
    /// First byte of the weights.
    pub weights: WeightsOffset,
    /// First of `out_c` folded biases.
    pub bias: ParamIndex,
    /// Requantization, `out_c` multipliers.
    pub requant: Requant,
    /// Intermediate bytes, for kernels that want them.
    pub scratch: Scratch,
}

/// Parameters of [`Op::MaxPool`] (10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxPool {
    /// Input `[in_h, in_w, c]`.
    pub input: TensorIndex,
    /// Output `[out_h, out_w, c]`.
    pub output: TensorIndex,
    /// The window, of which no position lies wholly in the padding.
    pub window: Window,
    /// Smallest output.
    pub min: i8,
    /// Largest output.
    pub max: i8,
}

/// Parameters of [`Op::AveragePool`] (11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AveragePool {
    /// Input `[in_h, in_w, c]`.
    pub input: TensorIndex,
    /// Output `[out_h, out_w, c]`.
    pub output: TensorIndex,
    /// The window, of which no position lies wholly in the padding.
    pub window: Window,
    /// Whether there is a multiplier for every count `1..=kernel_h * kernel_w` of real elements (padding does not count) or
    /// only one.
    pub multiplier_per_count: bool,
    /// Requantization.
    pub requant: Requant,
}

/// Parameters of [`Op::Add`] (12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// First operand.
    pub a: TensorIndex,
    /// Second operand: the shape of `a`, or `[1, 1, c]`, or `[1, 1, 1]`.
    pub b: TensorIndex,
    /// Output, the shape of `a`.
    pub output: TensorIndex,
    /// Multiplier of `a`, in units of `2^-shift`.
    pub a_multiplier: i16,
    /// Multiplier of `b`, in units of `2^-shift`; negative for a subtraction.
    pub b_multiplier: i16,
    /// Fraction bits of the two multipliers, 1..=22.
    pub shift: u8,
    /// Smallest output.
    pub min: i8,
    /// Largest output.
    pub max: i8,
}

/// Parameters of [`Op::Mul`] (13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mul {
    /// First operand.
    pub a: TensorIndex,
    /// Second operand: the shape of `a`, or `[1, 1, c]`, or `[1, 1, 1]`.
    pub b: TensorIndex,
    /// Output, the shape of `a`.
    pub output: TensorIndex,
    /// Requantization, one multiplier.
    pub requant: Requant,
}

/// Parameters of [`Op::Lut`] (14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lut {
    /// Input.
    pub input: TensorIndex,
    /// Output, the shape of the input.
    pub output: TensorIndex,
    /// First of 256 bytes; entry `x + 128` is the output for `x`.
    pub table: WeightsOffset,
}

/// Parameters of [`Op::Softmax`] (15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Softmax {
    /// Input.
    pub input: TensorIndex,
    /// Output, the shape of the input; zero_point -128.
    pub output: TensorIndex,
    /// First of 256 table entries.
    pub table: ParamIndex,
}

/// Parameters of [`Op::Reshape`]: an input and an output of equal length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unary {
    /// Input.
    pub input: TensorIndex,
    /// Output, at the same place of the arena.
    pub output: TensorIndex,
}

/// Parameters of [`Op::Transpose`] (16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transpose {
    /// Input.
    pub input: TensorIndex,
    /// Output.
    pub output: TensorIndex,
    /// Dimensions of the input, outermost first; their product is the number of elements.
    pub dims: [u16; 4],
    /// Output axis `j` is input axis `perm[j]`.
    pub perm: [u8; 4],
}

/// Parameters of [`Op::Concat`] (17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concat {
    /// Inputs, at least one.
    pub inputs: Vec<TensorIndex, MAX_CONCAT>,
    /// Output.
    pub output: TensorIndex,
    /// 0 = h, 1 = w, 2 = c.
    pub axis: u8,
}

/// Parameters of [`Op::Pad`] (18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pad {
    /// Input.
    pub input: TensorIndex,
    /// Output.
    pub output: TensorIndex,
    /// Elements before the input in h, w, c.
    pub before: [u16; 3],
    /// Elements after the input in h, w, c.
    pub after: [u16; 3],
    /// The quantized value of the border.
    pub value: i8,
}

/// Parameters of [`Op::Constant`] (19).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constant {
    /// Output.
    pub output: TensorIndex,
    /// First of the output's elements.
    pub data: WeightsOffset,
}

/// Parameters of [`Op::ScaledSoftmax`] (20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaledSoftmax {
    /// Input.
    pub input: TensorIndex,
    /// Output, the shape of the input; zero_point -128.
    pub output: TensorIndex,
    /// First of 256 table entries.
    pub table: ParamIndex,
    /// Steps of the output from 0 to 1, 257..=2^19: its scale is `1 / steps`, and what is more than 255 of them saturates.
    pub steps: u32,
}

/// Parameters of [`Op::Max`] (21) and [`Op::Min`] (22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extremum {
    /// First operand.
    pub a: TensorIndex,
    /// Second operand: the shape of `a`, or `[1, 1, c]`, or `[1, 1, 1]`.
    pub b: TensorIndex,
    /// Output, the shape of `a`.
    pub output: TensorIndex,
    /// Multiplier of `a`, in units of `2^-shift`.
    pub a_multiplier: i16,
    /// Multiplier of `b`, in units of `2^-shift`.
    pub b_multiplier: i16,
    /// Fraction bits of the two multipliers, 1..=22.
    pub shift: u8,
    /// Smallest output.
    pub min: i8,
    /// Largest output.
    pub max: i8,
}
