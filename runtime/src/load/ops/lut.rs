//! Rules of a lookup table, equation (14).

use crate::error::LoadError;
use crate::format::program::Lut;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Lut {
    const KERNELS: KernelSet = parts::LUT;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        c.same_shape(c.tensor(self.input)?, c.tensor(self.output)?)?;
        c.bytes(self.table, 256).map(|_| ())
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::LUT
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        InPlace::Same
    }
}
