//! Memory in which no vector crosses a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Elements that begin at a cache line. Loads and stores across two lines take twice as long, and the allocator promises less.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    values: Vec<f32>,
    /// Index of the first element.
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LINE / size_of::<f32>()];
        // Not reached by any allocator at hand; then it is merely slower.
        let start = values.as_ptr().align_offset(LINE);
        let start = if start + len <= values.len() {
            start
        } else {
            0
        };
        Aligned { values, start, len }
    }

    /// Makes room for at least `len` elements; what they are then is arbitrary.
    pub(super) fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Aligned::zeros(len);
        }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.len]
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Aligned::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}
