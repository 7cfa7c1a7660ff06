//! Rules of several tensors joined along an axis, equation (17).

use crate::error::LoadError;
use crate::format::program::Concat;
use crate::load::check::Checker;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Concat {
    const KERNELS: KernelSet = parts::CONCAT;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let output = c.tensor(self.output)?;
        if self.axis > 2 {
            return Err(LoadError::Axis {
                op: c.op,
                found: self.axis,
            });
        }
        if self.inputs.is_empty() {
            return Err(LoadError::NoInputs { op: c.op });
        }
        let mut joined = 0_u32;
        for &index in &self.inputs {
            let input = c.tensor(index)?;
            for ((axis, dim), expected) in (0..3).zip(input.shape()).zip(output.shape()) {
                if axis == self.axis {
                    joined += u32::from(dim);
                } else {
                    c.dimension(axis, expected.into(), dim.into())?;
                }
            }
            c.same_zero_point(input, output)?;
        }
        c.axis(self.axis, joined, output)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::CONCAT
    }

    fn in_place(&self, site: &Site<'_>, position: usize) -> InPlace {
        let Some(output) = site.tensor(self.output) else {
            return InPlace::Never;
        };
        // Joining along the outermost axis only copies: an input that lies where it belongs stays there.
        let outermost = match self.axis {
            0 => true,
            1 => output.h == 1,
            _ => output.h == 1 && output.w == 1,
        };
        if !outermost {
            return InPlace::Never;
        }
        let before = self.inputs.iter().take(position);
        InPlace::At(before.fold(0, |sum, &input| sum + site.bytes(input)))
    }
}
