//! Distances at which outputs may lie over rows of inputs.
//!
//! The rows are no longer needed then. Each operator's rule is in `ops`; planners call `in_place` of `needs`.
//! Blacker et al. call this diagonal memory optimisation ("Diagonal Memory
//! Optimisation for Machine Learning on Micro-controllers", 2020), here by rows, or by pixels if scratch holds one.

use crate::format::program::{Tensor, Window};

/// The largest of `(r + 1) * output_row - (r * stride_h - pad_top + held) * input_row` over the rows `r` of the output, where the second is one
/// of the input's rows: below that row the input may not be overwritten yet. `held` rows of a window are kept elsewhere.
#[inline(never)]
pub(super) fn row_distance(input: &Tensor, window: &Window, output: &Tensor, held: u32) -> u32 {
    let (stride, pad) = (window.stride_h.into(), u32::from(window.pad_top));
    let reaching = |row: u32| {
        (row + pad)
            .saturating_sub(held)
            .checked_div(stride)
            .unwrap_or(0)
    };
    // It is linear in the row while windows start above the input, inside, and below: the largest is at one of the ends.
    let above = reaching(0);
    let inside = reaching(u32::from(input.h).saturating_sub(1));
    let distance = |at| row_distance_at(input, window, output, held, at);
    let inside = distance(above + 1).max(distance(inside));
    distance(above).max(inside).max(distance(u32::MAX))
}

/// Distance that row `at` of the output, or the last one before it, needs.
#[inline(never)]
fn row_distance_at(input: &Tensor, window: &Window, output: &Tensor, held: u32, at: u32) -> u32 {
    let at = at.min(u32::from(output.h).saturating_sub(1));
    let first = (at * u32::from(window.stride_h) + held).saturating_sub(window.pad_top.into());
    // All rows are read: there is nothing left to overwrite.
    if first >= input.h.into() && held > 0 {
        return 0;
    }
    let row = |tensor: &Tensor| u32::from(tensor.w) * u32::from(tensor.c);
    // Neither is more bytes than its tensor has, which lies in the arena.
    let free = first.min(input.h.into()).wrapping_mul(row(input));
    (at + 1).wrapping_mul(row(output)).saturating_sub(free)
}
