//! Sliding windows of convolutions and pools.

use std::ops::Range;

/// Sliding window of a convolution or a pool, each pair `[h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel size.
    pub kernel: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Dilation.
    pub dilation: [usize; 2],
    /// Padding above and at the left.
    pub pad_before: [usize; 2],
    /// Padding below and at the right.
    pub pad_after: [usize; 2],
}

impl Window {
    /// A window of `kernel` size with stride and dilation 1 and no padding.
    pub fn new(kernel: [usize; 2]) -> Self {
        Window {
            kernel,
            stride: [1, 1],
            dilation: [1, 1],
            pad_before: [0, 0],
            pad_after: [0, 0],
        }
    }

    /// Elements spanned by the kernel with its dilation, along axis 0 (h) or 1 (w).
    pub fn extent(&self, axis: usize) -> usize {
        self.dilation[axis] * (self.kernel[axis] - 1) + 1
    }

    /// Output size along an axis for an input of `size`; `None` if the window does not fit.
    pub fn output_size(&self, axis: usize, size: usize) -> Option<usize> {
        let padded = size + self.pad_before[axis] + self.pad_after[axis];
        Some(padded.checked_sub(self.extent(axis))? / self.stride[axis] + 1)
    }

    /// Taps along an axis that are inside an input of `size`, for the output at `position`.
    #[inline(always)]
    pub(crate) fn taps_inside(&self, axis: usize, position: usize, size: usize) -> Range<usize> {
        let (dilation, pad) = (self.dilation[axis], self.pad_before[axis]);
        let origin = position * self.stride[axis];
        let first = pad.saturating_sub(origin).div_ceil(dilation);
        let end = (size + pad)
            .saturating_sub(origin)
            .div_ceil(dilation)
            .min(self.kernel[axis]);
        first.min(end)..end
    }

    /// Whether at some position all taps along an axis are in the padding of an input of `size`.
    pub(crate) fn misses_input(&self, axis: usize, size: usize) -> bool {
        let positions = self.output_size(axis, size).unwrap_or(0);
        (0..positions).any(|position| self.taps_inside(axis, position, size).is_empty())
    }

    /// Whether any padding is there.
    pub fn is_padded(&self) -> bool {
        self.pad_before != [0, 0] || self.pad_after != [0, 0]
    }
}
