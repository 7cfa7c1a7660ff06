//! Rules of a softmax over the channels, equation (15).

use crate::error::LoadError;
use crate::format::program::Softmax;
use crate::limits;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Softmax {
    const KERNELS: KernelSet = parts::SOFTMAX;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        c.same_shape(input, output)?;
        c.zero_point(-128, output)?;
        if input.c > limits::MAX_SOFTMAX_ROW {
            return Err(LoadError::SoftmaxRow {
                op: c.op,
                found: input.c.into(),
            });
        }
        for (&value, at) in c.values_to_read(self.table, 256)?.iter().zip(0_u32..) {
            if !(0..=limits::SOFTMAX_ONE).contains(&value)
                || (at == 0 && value != limits::SOFTMAX_ONE)
            {
                return Err(LoadError::SoftmaxTable {
                    op: c.op,
                    at,
                    found: value,
                });
            }
        }
        Ok(())
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::SOFTMAX
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        // A row is read as a whole before it is written.
        InPlace::At(0)
    }
}
