//! Rules of a sum of two tensors, equation (12).

use crate::error::LoadError;
use crate::format::program::Add;
use crate::limits;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Add {
    const KERNELS: KernelSet = parts::ADD;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        c.binary(self.a, self.b, self.output)?;
        if !limits::ADD_SHIFTS.contains(&self.shift) {
            return Err(LoadError::AddShift {
                op: c.op,
                found: self.shift,
            });
        }
        if self.a_multiplier == i16::MIN || self.b_multiplier == i16::MIN {
            return Err(LoadError::AddMultiplier { op: c.op });
        }
        c.range(self.min, self.max)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::ADD
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
