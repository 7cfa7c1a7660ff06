//! Rules of a maximum over a window, equation (10).

use crate::error::LoadError;
use crate::format::program::MaxPool;
use crate::load::check::{Checker, taps};
use crate::load::in_place::row_distance;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for MaxPool {
    const KERNELS: KernelSet = parts::MAX_POOL;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        c.pool::<K>(&self.window, input, output)?;
        c.same_zero_point(input, output)?;
        c.range(self.min, self.max)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::MAX_POOL | parts::dilated_pool(&self.window)
    }

    fn in_place(&self, site: &Site<'_>, _: usize) -> InPlace {
        let Some([input, output]) = site.ends(self.input, self.output) else {
            return InPlace::Never;
        };
        InPlace::Rows(row_distance(input, &self.window, output, 0))
    }

    fn work(&self, _: &Site<'_>, written: u64) -> u64 {
        written.saturating_mul(taps(&self.window))
    }
}
