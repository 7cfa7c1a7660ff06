//! A window of activations times rows of weights.

use super::super::params::{Limits, Stage};
use core::cell::Cell;

/// Output channels of a turn.
const BLOCK: usize = 4;

/// Requantized outputs of one window, whose rows of weights are as long as it is.
pub(super) fn rows(
    weights: &[i8],
    bias: &[i32],
    stage: &Stage<'_>,
    window: &[Cell<i8>],
    outputs: &[Cell<i8>],
) {
    let whole = match stage.limits {
        Limits::PerTensor(min, max) => {
            let blocks = outputs.len() / BLOCK;
            let done = blocks * BLOCK;
            let fits = weights.len() >= done * window.len()
                && bias.len() >= done
                && stage.multipliers.len() >= done
                && !window.is_empty();
            if fits && blocks > 0 {
                blocks_of_four(weights, bias, stage, [min, max], window, outputs, blocks);
            }
            done
        }
        Limits::PerChannel(_) => 0,
    };
    for (y, o) in outputs.get(whole..).unwrap_or_default().iter().zip(whole..) {
        let row = weights.get(o * window.len()..).unwrap_or_default();
        let sum: i32 = row
            .iter()
            .zip(window)
            .map(|(&w, x)| i32::from(w) * i32::from(x.get()))
            .sum();
        let acc = bias.get(o).copied().unwrap_or(0) + sum;
        y.set(stage.requantizer(o, o).requantize(acc));
    }
}

/// Portable model, which the host runs instead of the assembly: the same blocks with the same order of operations.
#[cfg(not(fewbit_family = "mve"))]
fn blocks_of_four(
    weights: &[i8],
    bias: &[i32],
    stage: &Stage<'_>,
    [min, max]: [i8; 2],
    window: &[Cell<i8>],
    outputs: &[Cell<i8>],
    blocks: usize,
) {
    let channels = outputs.iter().zip(bias).zip(stage.multipliers);
    for (((y, bias), multiplier), o) in channels.zip(0..).take(BLOCK * blocks) {
        let row = weights.get(o * window.len()..).unwrap_or_default();
        let sum = row.iter().zip(window).fold(*bias, |sum, (&w, x)| {
            sum.wrapping_add(i32::from(w) * i32::from(x.get()))
        });
        let t = sum.wrapping_shl(stage.pre_shift.into());
        let r = crate::arith::multiply_high(t, *multiplier) + i32::from(stage.zero_point);
        y.set(i8::try_from(r.max(min.into()).min(max.into())).unwrap_or(0));
    }
}

#[cfg(fewbit_family = "mve")]
use arm::blocks_of_four;
#[cfg(fewbit_family = "mve")]
pub(super) use arm::copy_lines;

/// Copies `lines` lines of `length` bytes, `stride` bytes apart, behind each other.
#[cfg(not(fewbit_family = "mve"))]
pub(super) fn copy_lines(
    to: &[Cell<i8>],
    from: &[Cell<i8>],
    lines: usize,
    length: usize,
    stride: usize,
) {
    for line in 0..lines {
        let from = from.get(line * stride..).unwrap_or_default();
        let to = to.get(line * length..).unwrap_or_default();
        to.iter()
            .zip(from)
            .take(length)
            .for_each(|(to, from)| to.set(from.get()));
    }
}

#[cfg(fewbit_family = "mve")]
#[allow(
    unsafe_code,
    reason = "calls of loops in assembly, each with what makes it sound"
)]
mod arm {
    use super::BLOCK;
    use crate::kernels::params::Stage;
    use core::cell::Cell;

    // The assembler has to be told that there are vectors.
    core::arch::global_asm!(".cpu cortex-m55", include_str!("rows.s"));

    /// Parameters of the assembly loop, and its saved positions.
    #[repr(C)]
    struct Job {
        window: *const i8,
        weights: *const i8,
        bias: *const i32,
        multipliers: *const i32,
        output: *mut i8,
        length: usize,
        blocks: usize,
        zero_point: i32,
        min: i32,
        max: i32,
        pre_shift: u32,
        unused: u32,
    }

    unsafe extern "C" {
        fn fewbit_mve_rows(job: *mut Job);
        fn fewbit_mve_copy_lines(
            to: *mut i8,
            from: *const i8,
            lines: usize,
            length: usize,
            stride: usize,
        );
    }

    /// The caller has checked that weights, biases, multipliers and outputs are there for `blocks` blocks, and that neither
    /// `blocks` nor the window is empty.
    pub(super) fn blocks_of_four(
        weights: &[i8],
        bias: &[i32],
        stage: &Stage<'_>,
        [min, max]: [i8; 2],
        window: &[Cell<i8>],
        outputs: &[Cell<i8>],
        blocks: usize,
    ) {
        let mut job = Job {
            window: window.as_ptr().cast(),
            weights: weights.as_ptr(),
            bias: bias.as_ptr(),
            multipliers: stage.multipliers.as_ptr(),
            output: outputs.as_ptr().cast_mut().cast(),
            length: window.len(),
            blocks,
            zero_point: stage.zero_point.into(),
            min: min.into(),
            max: max.into(),
            pre_shift: stage.pre_shift.into(),
            unused: 0,
        };
        debug_assert!(outputs.len() >= BLOCK * blocks);
        // SAFETY: the loop reads the window and four rows of its length, four biases and four multipliers a block, and writes four
        // outputs a block: all of that is there, as the caller has checked; predication keeps vectors inside rows.
        // Outputs are cells. The function follows the procedure call standard.
        unsafe {
            fewbit_mve_rows(&raw mut job);
        }
    }

    pub(in super::super) fn copy_lines(
        to: &[Cell<i8>],
        from: &[Cell<i8>],
        lines: usize,
        length: usize,
        stride: usize,
    ) {
        if lines == 0
            || length == 0
            || to.len() < lines * length
            || from.len() < (lines - 1) * stride + length
        {
            return;
        }
        // SAFETY: `to` holds `lines * length` bytes and `from` `length` bytes at each of `lines` places `stride` bytes apart, by the
        // check above; predication keeps vectors inside lines. All are cells.
        unsafe {
            fewbit_mve_copy_lines(
                to.as_ptr().cast_mut().cast(),
                from.as_ptr().cast(),
                lines,
                length,
                stride,
            );
        }
    }
}
