//! What the loader and planners ask of an operator.

use super::check::Checker;
use super::site::Site;
use crate::error::LoadError;
use crate::parts::{KernelSet, Kernels};

/// Where an operator may write its output over an input that it reads for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// Nowhere: the two share no byte.
    Never,
    /// In the input's place, where it has to lie: it is the input under another name.
    Alias,
    /// In the input's place: each element is read just before it is written.
    Same,
    /// So many bytes before the input, neither more nor less.
    At(u32),
    /// So many bytes before the input or more.
    Rows(u32),
    /// So many bytes before the input or more, and whole pixels.
    Pixels {
        /// The least number of bytes.
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
    /// The kernels of which any runs it.
    const KERNELS: KernelSet;

    /// Checks the conditions that its section of `docs/arithmetic.md` states.
    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError>;

    /// The kernels and parts of kernels that it needs.
    fn parts(&self, site: &Site<'_>) -> KernelSet;

    /// Where it may write over its input at `position` of [`Op::inputs`](crate::format::program::Op::inputs).
    fn in_place(&self, site: &Site<'_>, position: usize) -> InPlace;

    /// Products of an activation and a weight, padding included. Only layers with weights have any.
    fn macs(&self, _: &Site<'_>) -> u64 {
        0
    }

    /// Elementary operations, of which `written` are the elements of its output: only windows take others than these or products.
    fn work(&self, site: &Site<'_>, written: u64) -> u64 {
        self.macs(site).max(written)
    }

    /// Bytes of scratch that the family's kernel wants. Only layers with weights keep anything there.
    fn scratch_bytes(&self, _: &Site<'_>) -> u64 {
        0
    }

    /// Whether its kernel has no way around the scratch. Only those of weights in pairs have not; others run on the scalar kernel without.
    fn must_have_scratch(&self) -> bool {
        false
    }
}
