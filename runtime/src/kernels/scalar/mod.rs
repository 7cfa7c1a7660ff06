//! The scalar family: plain Rust for every core, and the specification.
//!
//! One operator a file; each names its equation in `docs/arithmetic.md`. Every other family returns the same bytes.

mod add;
mod average_pool;
mod constant;
mod conv2d;
mod copy_runs;
mod depthwise_conv2d;
mod fully_connected;
mod lut;
mod max_pool;
mod mul;
mod pad;
mod softmax;
mod transpose;
mod weights;

pub(super) use add::add;
pub(super) use average_pool::average_pool;
pub(super) use constant::constant;
pub(super) use conv2d::conv2d;
pub(super) use copy_runs::copy_runs;
pub(super) use depthwise_conv2d::depthwise_conv2d;
pub(super) use fully_connected::fully_connected;
pub(super) use lut::lut;
pub(super) use max_pool::max_pool;
pub(super) use mul::mul;
pub(super) use pad::pad;
pub(super) use softmax::softmax;
pub(super) use transpose::transpose;

/// Cells of a test's values.
#[cfg(test)]
fn cells(values: &[i8]) -> Vec<core::cell::Cell<i8>> {
    values.iter().copied().map(core::cell::Cell::new).collect()
}

/// Values of a test's cells.
#[cfg(test)]
fn values(cells: &[core::cell::Cell<i8>]) -> Vec<i8> {
    cells.iter().map(core::cell::Cell::get).collect()
}
