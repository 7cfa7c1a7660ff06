//! Where an operator's data lies in the two sections beside the program.
//!
//! Both are a `u32` in the blob; as types they cannot be mistaken for one another, or for a place in the arena.

use serde::{Deserialize, Serialize};

/// Byte offset into the weights section: of weights, a table of bytes, constants, or the pairs of a per-channel clamp.
///
/// Data that a loaded model refers to starts at a multiple of [`ALIGNMENT`](super::ALIGNMENT).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WeightsOffset(u32);

/// Index into the parameters section, in values of 32 bits: of the first bias, multiplier or entry of a softmax table.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ParamIndex(u32);

impl WeightsOffset {
    /// The offset of this many bytes.
    #[inline]
    #[must_use]
    pub const fn new(bytes: u32) -> Self {
        WeightsOffset(bytes)
    }

    /// The number of bytes.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// `length` bytes of the weights section from here on; `None` where it is shorter.
    #[inline]
    #[must_use]
    pub fn slice(self, weights: &[i8], length: usize) -> Option<&[i8]> {
        slice(weights, self.0, length)
    }

    /// The weights section from here to its end; `None` behind its end.
    #[inline]
    #[must_use]
    pub fn rest(self, weights: &[i8]) -> Option<&[i8]> {
        weights.get(self.0 as usize..)
    }
}

impl ParamIndex {
    /// The index of the value behind this many others.
    #[inline]
    #[must_use]
    pub const fn new(values: u32) -> Self {
        ParamIndex(values)
    }

    /// The number of values before it.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// `length` values of the parameters section from here on; `None` where it is shorter.
    #[inline]
    #[must_use]
    pub fn slice(self, params: &[i32], length: usize) -> Option<&[i32]> {
        slice(params, self.0, length)
    }
}

/// Moves on by bytes, for who joins sections. Saturates: no section reaches that far.
#[cfg(feature = "std")]
impl core::ops::AddAssign<u32> for WeightsOffset {
    fn add_assign(&mut self, bytes: u32) {
        self.0 = self.0.saturating_add(bytes);
    }
}

/// Moves on by values, for who joins sections. Saturates: no section reaches that far.
#[cfg(feature = "std")]
impl core::ops::AddAssign<u32> for ParamIndex {
    fn add_assign(&mut self, values: u32) {
        self.0 = self.0.saturating_add(values);
    }
}

/// `length` elements from `start` on.
#[inline]
fn slice<T>(section: &[T], start: u32, length: usize) -> Option<&[T]> {
    section.get(start as usize..)?.get(..length)
}
