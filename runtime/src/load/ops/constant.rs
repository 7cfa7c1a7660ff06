//! The rules of a tensor of constants, equation (19).

use crate::error::LoadError;
use crate::format::program::Constant;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Constant {
    const KERNELS: KernelSet = parts::CONSTANT;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let output = c.tensor(self.output)?;
        c.bytes(self.data, output.bytes()).map(|_| ())
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::CONSTANT
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        // It reads no tensor.
        InPlace::Never
    }
}
