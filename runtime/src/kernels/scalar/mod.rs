//! The scalar family: plain Rust for every core, and the specification.
//!
//! One operator a file; each names its equation in `docs/arithmetic.md`. Every other family returns the same bytes.

mod add;
mod average_pool;
mod constant;
mod conv2d;
mod copy_runs;
mod depthwise_conv2d;
mod extremum;
mod fully_connected;
mod lut;
mod max_pool;
mod mul;
mod pad;
mod scaled_softmax;
mod softmax;
mod transpose;
#[cfg(fewbit_core = "v6m")]
mod v6m;
mod weights;

pub(super) use add::add;
pub(super) use average_pool::{average_pool, dilated_average_pool};
pub(super) use constant::constant;
pub(super) use conv2d::conv2d;
pub(super) use copy_runs::copy_runs;
pub(super) use depthwise_conv2d::TapWeights;
pub(super) use depthwise_conv2d::depthwise_conv2d;
pub(super) use extremum::{max, min};
pub(super) use fully_connected::fully_connected;
pub(super) use lut::lut;
pub(super) use max_pool::{dilated_max_pool, max_pool};
pub(super) use mul::mul;
pub(super) use pad::pad;
pub(super) use scaled_softmax::scaled_softmax;
pub(super) use softmax::softmax;
pub(super) use transpose::transpose;

#[cfg(test)]
mod testing {
    //! Shared parts of the kernels' unit tests.

    use super::super::params::Stage;
    use crate::format::place::ParamIndex;
    use crate::format::program::{Clamp, Requant, Window};
    use core::cell::Cell;

    /// A multiplier that, with the `pre_shift` of [`unit`], is the real factor 1.
    pub(super) const ONE: i32 = 1 << 30;

    pub(super) fn cells(values: &[i8]) -> Vec<Cell<i8>> {
        values.iter().copied().map(Cell::new).collect()
    }

    pub(super) fn values(cells: &[Cell<i8>]) -> Vec<i8> {
        cells.iter().map(Cell::get).collect()
    }

    /// Output of a kernel of `len` elements; all of them are overwritten.
    pub(super) fn outputs(len: usize, kernel: impl Fn(&[Cell<i8>])) -> Vec<i8> {
        let [first, second] = [-77, 99].map(|fill| {
            let y = cells(&vec![fill; len]);
            kernel(&y);
            values(&y)
        });
        assert_eq!(first, second, "an output was not written");
        first
    }

    /// An output stage with zero_point 0 and the full range.
    pub(super) fn unit(multipliers: &[i32]) -> Stage<'_> {
        let clamp = Clamp::PerTensor {
            min: -128,
            max: 127,
        };
        Stage::new(
            0,
            &Requant {
                multipliers: ParamIndex::new(0),
                pre_shift: 2,
                clamp,
            },
            multipliers,
            &[],
        )
    }

    /// A square window.
    pub(super) fn window(kernel: u16, stride: u8, pad: u8, dilation: u8) -> Window {
        Window {
            kernel_h: kernel,
            kernel_w: kernel,
            stride_h: stride,
            stride_w: stride,
            dilation_h: dilation,
            dilation_w: dilation,
            pad_top: pad,
            pad_left: pad,
            pad_bottom: pad,
            pad_right: pad,
        }
    }
}
