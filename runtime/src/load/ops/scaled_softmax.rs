//! Rules of a softmax with its own output scale, equation (20).

use crate::error::LoadError;
use crate::format::program::{ScaledSoftmax, Softmax};
use crate::limits;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for ScaledSoftmax {
    const KERNELS: KernelSet = parts::SCALED_SOFTMAX;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        if !(limits::MIN_SOFTMAX_STEPS..=limits::MAX_SOFTMAX_STEPS).contains(&self.steps) {
            return Err(LoadError::SoftmaxSteps {
                op: c.op,
                found: self.steps,
            });
        }
        Softmax {
            input: self.input,
            output: self.output,
            table: self.table,
        }
        .check::<K>(c)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::SCALED_SOFTMAX
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        // A row is read as a whole before it is written.
        InPlace::At(0)
    }
}
