//! Rules of a border of constant elements, equation (18).

use crate::error::LoadError;
use crate::format::program::Pad;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Pad {
    const KERNELS: KernelSet = parts::PAD;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        let borders = self.before.iter().zip(&self.after);
        for ((axis, dim), (&before, &after)) in (0..3).zip(input.shape()).zip(borders) {
            c.axis(
                axis,
                u32::from(dim) + u32::from(before) + u32::from(after),
                output,
            )?;
        }
        c.same_zero_point(input, output)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::PAD
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        InPlace::Never
    }
}
