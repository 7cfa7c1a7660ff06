//! Rules of an operator, for the loader and planners.

use super::check::Checker;
use super::site::Site;
use crate::error::LoadError;
use crate::parts::{KernelSet, Kernels};

/// Place of an operator's output over an input that it reads for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// Nowhere: the two share no byte.
    Never,
    /// In the input's place, which is required: it is the input under another name.
    Alias,
    /// In the input's place: each element is read just before it is written.
    Same,
    /// Exactly this number of bytes before the input.
    At(u32),
    /// At least this number of bytes before the input.
    Rows(u32),
    /// At least this number of bytes before the input, by whole pixels.
    Pixels {
        /// Smallest number of bytes.
        distance: u32,
        /// Bytes of a pixel, at least 1: the number of bytes is a multiple of it.
        pixel: u16,
    },
}

impl InPlace {
    /// Whether the output may start `apart` bytes before the input.
    #[must_use]
    pub fn allows(self, apart: u32) -> bool {
        match self {
            InPlace::Never => false,
            InPlace::Alias | InPlace::Same => apart == 0,
            InPlace::At(distance) => apart == distance,
            InPlace::Rows(distance) => apart >= distance,
            InPlace::Pixels { distance, pixel } => {
                apart >= distance && apart.checked_rem(pixel.into()) == Some(0)
            }
        }
    }
}

/// The rules of an operator.
pub(super) trait Rules {
    /// Kernels, any of which runs it.
    const KERNELS: KernelSet;

    /// Checks the conditions in its section of `docs/arithmetic.md`.
    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError>;

    /// Kernels and parts of kernels that it needs.
    fn parts(&self, site: &Site<'_>) -> KernelSet;

    /// Place of its output over its input at `position` of [`Op::inputs`](crate::format::program::Op::inputs).
    fn in_place(&self, site: &Site<'_>, position: usize) -> InPlace;

    /// Number of products of an activation and a weight, padding included. Only layers with weights have any.
    fn macs(&self, _: &Site<'_>) -> u64 {
        0
    }

    /// Number of elementary operations, of which `written` are the elements of its output: only windows have others than these or products.
    fn work(&self, site: &Site<'_>, written: u64) -> u64 {
        self.macs(site).max(written)
    }

    /// Bytes of scratch of the family's kernel. Only layers with weights use scratch.
    fn scratch_bytes(&self, _: &Site<'_>) -> u64 {
        0
    }

    /// Whether its kernel requires the scratch. Only those of weights in pairs do; others run on the scalar kernel without it.
    fn must_have_scratch(&self) -> bool {
        false
    }
}
