//! Rules of a product of two tensors, equation (13).

use crate::error::LoadError;
use crate::format::program::Mul;
use crate::limits;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Mul {
    const KERNELS: KernelSet = parts::MUL;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        c.binary(self.a, self.b, self.output)?;
        c.requant(&self.requant, 1, c.tensor(self.output)?)?;
        c.accumulator(0, limits::MAX_PRODUCT, self.requant.pre_shift)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::MUL
    }

    fn in_place(&self, site: &Site<'_>, position: usize) -> InPlace {
        let input = if position == 0 { self.a } else { self.b };
        // A value for each channel, or one for all, is read again for the next pixel.
        if site.elements(input) == site.elements(self.output) {
            InPlace::Same
        } else {
            InPlace::Never
        }
    }
}
