//! The rules of the larger or smaller of two tensors, equations (21) and (22).

use crate::error::LoadError;
use crate::format::program::Extremum;
use crate::limits;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Extremum {
    const KERNELS: KernelSet = parts::EXTREMUM;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        c.binary(self.a, self.b, self.output)?;
        if !limits::ADD_SHIFTS.contains(&self.shift) {
            return Err(LoadError::AddShift {
                op: c.op,
                found: self.shift,
            });
        }
        c.range(self.min, self.max)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::EXTREMUM
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
