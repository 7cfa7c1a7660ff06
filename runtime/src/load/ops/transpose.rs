//! Rules of a permutation of dimensions, equation (16).

use crate::error::LoadError;
use crate::format::program::Transpose;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Transpose {
    const KERNELS: KernelSet = parts::TRANSPOSE;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        if !(0..4).all(|axis| self.perm.contains(&axis)) {
            return Err(LoadError::Permutation { op: c.op });
        }
        // Four dimensions of 16 bits: below 2^64.
        let product = self
            .dims
            .iter()
            .fold(1, |product, &dim| product * u64::from(dim));
        c.elements(product, input)?;
        c.elements(product, output)?;
        c.same_zero_point(input, output)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::TRANSPOSE
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        InPlace::Never
    }
}
