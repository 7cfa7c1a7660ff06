//! How much an operator computes.
//!
//! For reports, and for the limit on forged blobs.

use crate::format::program::{Conv2d, Op, Tensor, TensorIndex, Window};

fn elements(tensors: &[Tensor], index: TensorIndex) -> u64 {
    tensors.get(usize::from(index)).map_or(0, Tensor::len)
}

fn taps(window: &Window) -> u64 {
    u64::from(window.kernel_h) * u64::from(window.kernel_w)
}

/// Products of an activation and a weight, padding included.
pub(super) fn macs(op: &Op, tensors: &[Tensor]) -> u64 {
    // Outputs are below 2^26 in a checked arena, taps below 2^32: what saturates is above any limit.
    match op {
        Op::Conv2d(Conv2d {
            input,
            output,
            window,
            groups,
            ..
        }) => {
            let channels = tensors
                .get(usize::from(*input))
                .map_or(0, |t| t.c.checked_div(*groups).unwrap_or(0));
            (elements(tensors, *output) * u64::from(channels)).saturating_mul(taps(window))
        }
        Op::DepthwiseConv2d(op) => elements(tensors, op.output).saturating_mul(taps(&op.window)),
        Op::FullyConnected(op) => {
            elements(tensors, op.output).saturating_mul(elements(tensors, op.input))
        }
        _ => 0,
    }
}

/// Elementary operations: multiply-accumulates, window positions, or elements written.
pub(super) fn work(op: &Op, tensors: &[Tensor]) -> u64 {
    let written = elements(tensors, op.output());
    match op {
        Op::MaxPool(pool) => written.saturating_mul(taps(&pool.window)),
        Op::AveragePool(pool) => written.saturating_mul(taps(&pool.window)),
        _ => macs(op, tensors).max(written),
    }
}
