//! Taps of a window that are inside the input.

/// Taps of one output pixel that are inside the input, and the position of the first of them.
#[derive(Clone, Copy)]
pub(super) struct Taps {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Index of the first tap's input pixel, in elements.
    pub(super) input: usize,
    /// Input elements from a tap to the one below and to the one at the right.
    pub(super) input_step: [usize; 2],
    /// Index of the first tap, counted in the whole kernel.
    pub(super) tap: usize,
    /// Taps in a row of the whole kernel.
    pub(super) kernel_w: usize,
}

impl Taps {
    /// Calls `tap(at, index)` for every tap: its input element and its place in the whole kernel.
    #[inline(always)]
    pub(super) fn for_each(self, mut tap: impl FnMut(usize, usize)) {
        for ky in 0..self.rows {
            for kx in 0..self.columns {
                let at = self.input + ky * self.input_step[0] + kx * self.input_step[1];
                tap(at, self.tap + ky * self.kernel_w + kx);
            }
        }
    }
}
