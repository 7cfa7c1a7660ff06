//! What an operator needs of a build: its kernels, and bytes of scratch.

use crate::format::family::Packing;
use crate::format::program::{Clamp, Conv2d, Op, Tensor, TensorIndex, Window};
use crate::pack::CONV_MULTIPLE;
use crate::parts::*;

/// The bits of everything that an operator needs.
///
/// `packing` is the blob's. An index out of range gives some bits; the loader refuses it.
pub(crate) fn kernels_of_op(op: &Op, tensors: &[Tensor], packing: Packing) -> KernelSet {
    let channels = |index: TensorIndex| {
        tensors
            .get(usize::from(index))
            .map_or(0, |tensor| usize::from(tensor.c))
    };
    let odd = |index: TensorIndex| {
        if channels(index).is_multiple_of(2) {
            KernelSet::NONE
        } else {
            ODD_CHANNELS
        }
    };
    match op {
        Op::Conv2d(op) if op.weight_type.is_paired() => {
            PAIRED_CONV_2D
                | weights(op.weight_type)
                | windows(&op.window, channels(op.input))
                | odd(op.output)
        }
        Op::Conv2d(op) => CONV_2D | weights(op.weight_type),
        Op::DepthwiseConv2d(op) => depthwise(op, tensors, packing) | weights(op.weight_type),
        Op::FullyConnected(op) if op.weight_type.is_paired() => {
            PAIRED_FULLY_CONNECTED | weights(op.weight_type) | odd(op.output)
        }
        Op::FullyConnected(op) => FULLY_CONNECTED | weights(op.weight_type),
        Op::MaxPool(op) => MAX_POOL | dilated_pool(&op.window),
        Op::AveragePool(op) => AVERAGE_POOL | dilated_pool(&op.window),
        Op::Add(_) => ADD,
        Op::Mul(_) => MUL,
        Op::Lut(_) => LUT,
        Op::Softmax(_) => SOFTMAX,
        Op::Reshape(_) => RESHAPE,
        Op::Transpose(_) => TRANSPOSE,
        Op::Concat(_) => CONCAT,
        Op::Pad(_) => PAD,
        Op::Constant(_) => CONSTANT,
        Op::ScaledSoftmax(_) => SCALED_SOFTMAX,
    }
}

fn dilated_pool(window: &Window) -> KernelSet {
    if is_dilated(window) {
        DILATED_POOLS
    } else {
        KernelSet::NONE
    }
}

fn depthwise(op: &Conv2d, tensors: &[Tensor], packing: Packing) -> KernelSet {
    let tensor = |index: TensorIndex| tensors.get(usize::from(index));
    let (Some(input), Some(output)) = (tensor(op.input), tensor(op.output)) else {
        return DEPTHWISE_ANY;
    };
    // As an index out of range: the loader refuses it, and build scripts ask before.
    if output.len() == 0 || op.window.kernel_h == 0 || op.window.kernel_w == 0 {
        return DEPTHWISE_ANY;
    }
    if packing == Packing::Mve {
        let taps = u64::from(op.window.kernel_h) * u64::from(op.window.kernel_w);
        let plain = is_plain(op.weight_type, input.c.into(), output.c.into())
            && matches!(op.requant.clamp, Clamp::PerTensor { .. })
            && u64::from(op.scratch.bytes) >= taps * u64::from(input.c);
        if plain {
            return DEPTHWISE_VECTORS;
        }
    }
    let lines = crate::kernels::depthwise_lines(
        &op.window,
        [input.h.into(), input.w.into()],
        [output.h.into(), output.w.into()],
        input.c == output.c,
        op.scratch.bytes.into(),
    );
    if lines.has(DEPTHWISE_3X3) && is_general(&op.requant) {
        lines | DEPTHWISE_GENERAL
    } else {
        lines
    }
}

/// Bytes of scratch that the family's kernel needs for an operator with its weights as they are; 0 for most.
///
/// Only weights in pairs cannot do without. Other convolutions are slower then, and cannot work in place.
#[must_use]
pub fn scratch_bytes(op: &Op, tensors: &[Tensor], packing: Packing) -> u64 {
    let tensor = |index: TensorIndex| tensors.get(usize::from(index));
    match op {
        Op::Conv2d(conv) if conv.weight_type.is_paired() && packing == Packing::Dsp => {
            tensor(conv.input).map_or(0, |input| {
                paired_scratch_bytes(&conv.window, input.c.into())
            })
        }
        Op::FullyConnected(layer) if layer.weight_type.is_paired() && packing == Packing::Dsp => {
            tensor(layer.input).map_or(0, |input| input.len().div_ceil(8).saturating_mul(16))
        }
        // A window.
        Op::Conv2d(conv) if conv.groups == 1 => tensor(conv.input).map_or(0, |input| {
            let taps = u64::from(conv.window.kernel_h) * u64::from(conv.window.kernel_w);
            taps.saturating_mul(input.c.into())
        }),
        // Vectors run over the channels of a window, not along lines.
        Op::DepthwiseConv2d(conv) if packing == Packing::Mve => {
            tensor(conv.input).map_or(0, |input| {
                let taps = u64::from(conv.window.kernel_h) * u64::from(conv.window.kernel_w);
                taps.saturating_mul(input.c.into())
            })
        }
        Op::DepthwiseConv2d(conv) => match (tensor(conv.input), tensor(conv.output)) {
            (Some(input), Some(output)) => depthwise_scratch_bytes(&conv.window, input, output),
            _ => 0,
        },
        _ => 0,
    }
}

/// Bytes of scratch of a depthwise convolution; 0 for a window that its kernel does not take.
pub(super) fn depthwise_scratch_bytes(window: &Window, input: &Tensor, output: &Tensor) -> u64 {
    // The loader refuses it, and planners may ask before.
    if output.len() == 0 || window.kernel_h == 0 || window.kernel_w == 0 {
        return 0;
    }
    crate::kernels::depthwise_scratch_bytes(
        window,
        [input.h.into(), input.w.into()],
        [output.h.into(), output.w.into()],
    )
}

/// Bytes of scratch of a convolution with weights in pairs: sums, four expanded windows, and a pixel of zero points or the
/// windows' bytes.
fn paired_scratch_bytes(window: &Window, in_channels: u64) -> u64 {
    let taps = u64::from(window.kernel_h) * u64::from(window.kernel_w);
    let quads = taps.saturating_mul(in_channels).div_ceil(CONV_MULTIPLE);
    let rest = if in_channels.is_multiple_of(CONV_MULTIPLE) {
        in_channels
    } else {
        quads.saturating_mul(16)
    };
    quads
        .saturating_mul(32)
        .saturating_add(rest)
        .saturating_add(16)
}

/// The kernels that a blob needs.
///
/// # Errors
/// As [`Summary::from_bytes`](crate::Summary::from_bytes), and [`LoadError::Program`](crate::LoadError::Program) for a program that cannot be decoded.
#[cfg(feature = "std")]
pub fn kernels_of(blob: &[u8]) -> Result<KernelSet, crate::LoadError> {
    let (header, blob) = crate::format::header::Header::check(blob)?;
    let program: crate::format::write::ProgramParts =
        postcard::from_bytes(header.program.of(blob)).map_err(|_| crate::LoadError::Program)?;
    let bits = |op: &Op| kernels_of_op(op, &program.tensors, header.packing());
    Ok(program
        .ops
        .iter()
        .fold(KernelSet::NONE, |all, op| all | bits(op)))
}
