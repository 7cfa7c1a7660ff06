//! The rules of a reshape.

use crate::error::LoadError;
use crate::format::program::Unary;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Unary {
    const KERNELS: KernelSet = parts::RESHAPE;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        c.elements(input.elements(), output)?;
        c.same_zero_point(input, output)?;
        if input.offset != output.offset {
            return Err(LoadError::ReshapePlace {
                op: c.op,
                expected: input.offset,
                found: output.offset,
            });
        }
        Ok(())
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::RESHAPE
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        InPlace::Alias
    }
}
