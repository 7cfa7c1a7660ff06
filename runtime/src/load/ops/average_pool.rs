//! Rules of a mean over a window, equation (11).

use crate::error::LoadError;
use crate::format::program::AveragePool;
use crate::limits;
use crate::load::check::{Checker, taps};
use crate::load::in_place::row_distance;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for AveragePool {
    const KERNELS: KernelSet = parts::AVERAGE_POOL;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        c.pool::<K>(&self.window, input, output)?;
        let count = taps(&self.window);
        c.requant(
            &self.requant,
            if self.multiplier_per_count { count } else { 1 },
            output,
        )?;
        c.accumulator(0, limits::pool_sum(count), self.requant.pre_shift)
    }

    fn parts(&self, _: &Site<'_>) -> KernelSet {
        parts::AVERAGE_POOL | parts::dilated_pool(&self.window)
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
