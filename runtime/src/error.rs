//! Reasons why a blob was refused.
//!
//! Flat and `Copy`, so that it costs nothing to return on a device: a variant is a violated condition, and its fields
//! give the expected and the found value. `op` is the operator's index in execution order.

use core::fmt;

/// A section of the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Section {
    /// Tensors and operators.
    Program,
    /// Bytes: convolution weights, lookup tables, per-channel clamps, constants.
    Weights,
    /// int32: biases, multipliers, softmax tables.
    Parameters,
    /// Names and scales for tools.
    Metadata,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Section::Program => "program",
            Section::Weights => "weights",
            Section::Parameters => "parameters",
            Section::Metadata => "metadata",
        })
    }
}

/// Declares the error, its documentation and its message in one place each.
macro_rules! load_errors {
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),+ $(,)? })? => $message:literal;)+) => {
        /// Reason why [`Model::from_bytes`](crate::Model::from_bytes) refused a blob.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum LoadError {
            $($(#[$doc])* $name $({ $($(#[$field_doc])* $field: $type),+ })?,)+
        }

        #[cfg(feature = "std")]
        impl LoadError {
            /// Names of all conditions, in the order in which they are declared: for tools that count them.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Name of the condition: that of the variant.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(LoadError::$name { .. } => stringify!($name),)+
                }
            }
        }

        impl fmt::Display for LoadError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(LoadError::$name $({ $($field),+ })? => write!(f, $message),)+
                }
            }
        }
    };
}

load_errors! {
    /// The bytes end before the blob does.
    TooShort {
        /// Bytes in the header, or of the header itself.
        expected: u32,
        /// Bytes given.
        found: u32,
    } => "the blob is cut short: {found} bytes of {expected}";
    /// The blob does not start at a multiple of 16; wrap it in [`Aligned`](crate::Aligned).
    Misaligned {
        /// The address modulo 16.
        found: u32,
    } => "the blob lies {found} bytes past a multiple of 16; wrap it in `Aligned`";
    /// The first eight bytes are not those of a blob.
    Magic => "not a fewbit blob";
    /// The blob's format version is not this runtime's.
    Version {
        /// The version that this runtime reads.
        expected: u16,
        /// Version of the blob.
        found: u16,
    } => "format version {found}, this runtime reads version {expected}";
    /// The weights have an order that this version does not know.
    Packing {
        /// The header's `packing`.
        found: u8,
    } => "weights are packed in order {found}, which this version does not know; pack the model with this version's tool";
    /// The weights are packed for a kernel family that this build lacks.
    OtherFamily {
        /// Name of the family.
        packing: &'static str,
    } => "weights are packed for the kernel family `{packing}`, which this build lacks; quantize with `--target` for this board, or without for any";
    /// The build left out the kernel of an operator.
    Kernel {
        /// The operator.
        op: u16,
    } => "operator {op}: this build was made for another model and has no kernel for it; build the firmware with this blob, or with all kernels";
    /// The weights of an operator have an order that it, or the blob's family, does not have.
    WeightOrder {
        /// The operator.
        op: u16,
    } => "operator {op}: its weights are in pairs, which only plain convolutions and fully connected layers of a blob for `dsp` have";
    /// The scratch area of an operator is smaller than its kernel needs, or does not start at a multiple of 4.
    ScratchSize {
        /// The operator.
        op: u16,
        /// Bytes that the kernel needs.
        expected: u64,
        /// Bytes of the area.
        found: u32,
    } => "operator {op}: {found} bytes of scratch, its kernel needs {expected} from a multiple of 4 on";
    /// The model needs an arithmetic that this build lacks.
    Arithmetic {
        /// The header's `arithmetic`.
        found: u8,
    } => "the model needs arithmetic {found}, this build has 0 (native)";
    /// A reserved header field is not zero.
    Reserved {
        /// Its value.
        found: u32,
    } => "a reserved header field holds {found} instead of 0";
    /// The blob is damaged.
    Checksum {
        /// The header's CRC-32.
        expected: u32,
        /// CRC-32 of the bytes.
        found: u32,
    } => "the blob is damaged: CRC-32 {found:#010x} instead of {expected:#010x}";
    /// A section does not start where the one before it ends.
    SectionOffset {
        /// The section.
        section: Section,
        /// End of the section before it.
        expected: u32,
        /// Offset in the header.
        found: u32,
    } => "the {section} section starts at {found} instead of {expected}";
    /// The last section does not end at the end of the blob, or a length is impossible.
    SectionLength {
        /// The section.
        section: Section,
        /// Its length in bytes.
        found: u32,
    } => "the {section} section has an impossible length of {found} bytes";
    /// The bytes that fill a section up to a multiple of 16 are not zero.
    Padding {
        /// The section.
        section: Section,
    } => "the padding of the {section} section is not zero";
    /// `Model`'s `TENSORS` is too small for this blob.
    TensorCapacity {
        /// `TENSORS`.
        capacity: u32,
        /// Tensors in the blob.
        found: u32,
    } => "the model has {found} tensors, there is room for {capacity}";
    /// `Model`'s `OPS` is too small for this blob.
    OpCapacity {
        /// `OPS`.
        capacity: u32,
        /// Operators in the blob.
        found: u32,
    } => "the model has {found} operators, there is room for {capacity}";
    /// The program section is not the encoding of a program.
    Program => "the program section cannot be decoded";
    /// The program has another number of tensors than the header says.
    TensorCount {
        /// Number in the header.
        expected: u32,
        /// Number in the program.
        found: u32,
    } => "the program has {found} tensors, the header says {expected}";
    /// The program has another number of operators than the header says.
    OpCount {
        /// Number in the header.
        expected: u32,
        /// Number in the program.
        found: u32,
    } => "the program has {found} operators, the header says {expected}";
    /// The arena's size is not the same in the header, in the program and by the tensors.
    ArenaBytes {
        /// Bytes in the header, or the largest end of a tensor or scratch area.
        expected: u32,
        /// Number in the program.
        found: u32,
    } => "the program says that the arena has {found} bytes, it has {expected}";
    /// The arena is larger than the format's limit.
    ArenaLimit {
        /// The limit.
        limit: u32,
        /// The blob's.
        found: u32,
    } => "the arena of {found} bytes is above the limit of {limit}";
    /// One inference takes more elementary operations than the format's limit.
    Work {
        /// The limit.
        limit: u64,
        /// The blob's.
        found: u64,
    } => "an inference takes {found} operations, the limit is {limit}";
    /// A model input or output is not the index of a tensor.
    PortTensor {
        /// Number of tensors.
        tensors: u16,
        /// The index.
        found: u16,
    } => "a model input or output names tensor {found} of {tensors}";
    /// The scale of a model input or output is not a positive finite number.
    PortScale {
        /// The port's tensor.
        tensor: u16,
        /// Its bits.
        found: u32,
    } => "the scale of tensor {tensor} has the bits {found:#010x}, not a positive number";
    /// A tensor is a model input twice.
    DuplicateInput {
        /// The tensor.
        tensor: u16,
    } => "tensor {tensor} is a model input twice";
    /// A dimension of a tensor is zero.
    EmptyTensor {
        /// The tensor.
        tensor: u16,
    } => "tensor {tensor} has a dimension of 0";
    /// A tensor ends after the arena.
    TensorBounds {
        /// The tensor.
        tensor: u16,
        /// Bytes of arena.
        arena: u32,
        /// The tensor's end.
        found: u64,
    } => "tensor {tensor} ends at {found} in an arena of {arena} bytes";
    /// A scratch area ends after the arena.
    ScratchBounds {
        /// The operator.
        op: u16,
        /// Bytes of arena.
        arena: u32,
        /// The area's end.
        found: u64,
    } => "operator {op}: scratch ends at {found} in an arena of {arena} bytes";
    /// An operator's tensor index is out of range.
    TensorIndex {
        /// The operator.
        op: u16,
        /// Number of tensors.
        tensors: u16,
        /// The index.
        found: u16,
    } => "operator {op}: tensor {found} of {tensors}";
    /// Bytes of an operator lie outside the weights section.
    WeightsRange {
        /// The operator.
        op: u16,
        /// Bytes in the section.
        section: u32,
        /// End of the operator's bytes.
        found: u64,
    } => "operator {op}: weights end at {found} in a section of {section} bytes";
    /// Bytes of an operator do not start at a multiple of 16 of the weights section.
    WeightsAlignment {
        /// The operator.
        op: u16,
        /// The offset.
        found: u32,
    } => "operator {op}: weights start at {found}, not a multiple of 16";
    /// int32 values of an operator lie outside the parameters section.
    ParametersRange {
        /// The operator.
        op: u16,
        /// Values in the section.
        section: u32,
        /// End of the operator's values.
        found: u64,
    } => "operator {op}: parameters end at {found} in a section of {section}";
    /// A weight is the one value without a negative (-128 or -8), or a spare nibble is not zero.
    WeightValue {
        /// The operator.
        op: u16,
        /// Byte of the operator's weights.
        at: u32,
        /// The byte.
        found: i8,
    } => "operator {op}: weight byte {at} is {found}, outside the symmetric range";
    /// A multiplier is negative.
    Multiplier {
        /// The operator.
        op: u16,
        /// Index of the multiplier.
        at: u32,
        /// Its value.
        found: i32,
    } => "operator {op}: multiplier {at} is {found}, outside 0..2^31";
    /// A pre_shift is above 30.
    PreShift {
        /// The operator.
        op: u16,
        /// Its value.
        found: u8,
    } => "operator {op}: pre_shift {found} is above 30";
    /// An accumulator could overflow: equation (5).
    Accumulator {
        /// The operator.
        op: u16,
        /// The output channel.
        channel: u32,
        /// Bound that the magnitude must stay below.
        limit: u64,
        /// The largest possible magnitude.
        found: u64,
    } => "operator {op}: the accumulator of channel {channel} can reach {found}, it must stay below {limit}";
    /// A clamp's smallest value is above its largest.
    Clamp {
        /// The operator.
        op: u16,
        /// Smallest value.
        min: i8,
        /// Largest value.
        max: i8,
    } => "operator {op}: clamp to {min}..={max}";
    /// A kernel, stride or dilation is zero, or a pool's dilation is not one.
    Window {
        /// The operator.
        op: u16,
    } => "operator {op}: impossible kernel, stride or dilation";
    /// The checks read more than [`CHECK_FACTOR`](crate::limits::CHECK_FACTOR) times the blob's length: operators share weights and parameters.
    Reads {
        /// First operator that exceeds the limit.
        op: u16,
        /// Bytes that may be read.
        limit: u64,
        /// Bytes read with this operator's.
        found: u64,
    } => "operator {op}: the operators so far have {found} bytes of weights and parameters, counting shared ones each time; at most {limit} are checked";
    /// Operators are compared with living tensors more than [`CHECK_FACTOR`](crate::limits::CHECK_FACTOR) times as often as the blob has bytes.
    Lifetimes {
        /// First operator that exceeds the limit.
        op: u16,
        /// Allowed number of comparisons.
        limit: u32,
    } => "operator {op}: more tensors are needed at the same time than are checked, by {limit} comparisons in all";
    /// A pool's pad is not smaller than its window.
    PoolPad {
        /// The operator.
        op: u16,
        /// Elements that the kernel spans in that direction, with its dilation.
        extent: u32,
        /// The pad.
        found: u8,
    } => "operator {op}: a pad of {found} under a window over {extent} elements";
    /// A window of a pool has all of its taps beside the input.
    PoolWindow {
        /// The operator.
        op: u16,
    } => "operator {op}: a window of the pool lies wholly in the padding";
    /// The groups do not divide the channels, or are not the input channels of a depthwise convolution.
    Groups {
        /// The operator.
        op: u16,
        /// The groups.
        found: u16,
    } => "operator {op}: {found} groups do not fit the channels";
    /// A tensor has another height, width or number of channels than the operator gives or takes.
    Shape {
        /// The operator.
        op: u16,
        /// 0 = h, 1 = w, 2 = c.
        axis: u8,
        /// By the operator and its input.
        expected: u32,
        /// The tensor's.
        found: u32,
    } => "operator {op}: axis {axis} is {found} instead of {expected}";
    /// A tensor has another number of elements than the operator gives or takes.
    Elements {
        /// The operator.
        op: u16,
        /// By the operator and its input.
        expected: u64,
        /// The tensor's.
        found: u64,
    } => "operator {op}: {found} elements instead of {expected}";
    /// Two encodings must be equal, or one is fixed, and a zero_point differs.
    ZeroPoint {
        /// The operator.
        op: u16,
        /// The operator's.
        expected: i8,
        /// The tensor's.
        found: i8,
    } => "operator {op}: zero_point {found} instead of {expected}";
    /// The shift of a sum, a maximum or a minimum is outside 1..=22.
    AddShift {
        /// The operator.
        op: u16,
        /// The shift.
        found: u8,
    } => "operator {op}: shift {found} is outside 1..=22";
    /// A multiplier of an addition is -32768.
    AddMultiplier {
        /// The operator.
        op: u16,
    } => "operator {op}: a multiplier of -32768";
    /// A softmax over more than 2047 values.
    SoftmaxRow {
        /// The operator.
        op: u16,
        /// Values in a row.
        found: u32,
    } => "operator {op}: softmax over {found} values, at most 2047";
    /// A softmax table's entry is outside 0..=2^20, or the first is not 2^20.
    SoftmaxTable {
        /// The operator.
        op: u16,
        /// The entry.
        at: u32,
        /// Its value.
        found: i32,
    } => "operator {op}: softmax table entry {at} is {found}";
    /// A softmax's output has fewer than 257 or more than 2^19 steps from 0 to 1.
    SoftmaxSteps {
        /// The operator.
        op: u16,
        /// The steps.
        found: u32,
    } => "operator {op}: softmax with {found} steps from 0 to 1, expected 257 to 524288";
    /// A transpose's `perm` is not a permutation of four axes.
    Permutation {
        /// The operator.
        op: u16,
    } => "operator {op}: not a permutation";
    /// A concat's axis is above 2.
    Axis {
        /// The operator.
        op: u16,
        /// The axis.
        found: u8,
    } => "operator {op}: axis {found} of 0..=2";
    /// A concat has no input.
    NoInputs {
        /// The operator.
        op: u16,
    } => "operator {op}: no inputs";
    /// A reshape's output is not at the place of its input.
    ReshapePlace {
        /// The operator.
        op: u16,
        /// The input's offset in the arena.
        expected: u32,
        /// The output's.
        found: u32,
    } => "operator {op}: the output lies at {found} instead of {expected}";
    /// An operator reads a tensor before it is written.
    ReadBeforeWrite {
        /// The operator.
        op: u16,
        /// The tensor.
        tensor: u16,
    } => "operator {op} reads tensor {tensor} before it is written";
    /// An operator writes a tensor that is a model input or was written before.
    WrittenTwice {
        /// The operator.
        op: u16,
        /// The tensor.
        tensor: u16,
    } => "operator {op} writes tensor {tensor} again";
    /// A tensor is neither an input nor written.
    NeverWritten {
        /// The tensor.
        tensor: u16,
    } => "tensor {tensor} is never written";
    /// A tensor is written over another that is still needed.
    Overlap {
        /// The tensor that is written.
        tensor: u16,
        /// Tensor that it overwrites.
        other: u16,
    } => "tensor {tensor} overwrites tensor {other}, which is still needed";
    /// A scratch area overlaps a tensor that is still needed.
    ScratchOverlap {
        /// The operator.
        op: u16,
        /// The tensor.
        tensor: u16,
    } => "operator {op}: scratch overwrites tensor {tensor}";
}

impl core::error::Error for LoadError {}
