//! The rules of a fully connected layer, equation (9).

use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::program::FullyConnected;
use crate::load::check::{Checker, Layer};
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::pack::FULLY_CONNECTED_MULTIPLE;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for FullyConnected {
    const KERNELS: KernelSet = parts::ANY_FULLY_CONNECTED;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        c.axis(0, 1, output)?;
        c.axis(1, 1, output)?;
        c.layer(&Layer {
            weight_type: self.weight_type,
            multiple: Some(FULLY_CONNECTED_MULTIPLE),
            weights: self.weights,
            rows: output.c.into(),
            row: input.elements(),
            products: input.elements(),
            bias: self.bias,
            requant: &self.requant,
            output,
        })
    }

    fn parts(&self, site: &Site<'_>) -> KernelSet {
        let weights = parts::weights(self.weight_type);
        if self.weight_type.is_paired() {
            parts::PAIRED_FULLY_CONNECTED | weights | site.odd_channels(self.output)
        } else {
            parts::FULLY_CONNECTED | weights
        }
    }

    fn in_place(&self, _: &Site<'_>, _: usize) -> InPlace {
        InPlace::Never
    }

    fn macs(&self, site: &Site<'_>) -> u64 {
        site.elements(self.output)
            .saturating_mul(site.elements(self.input))
    }

    fn scratch_bytes(&self, site: &Site<'_>) -> u64 {
        if self.weight_type.is_paired() && site.packing == Family::Dsp {
            site.elements(self.input).div_ceil(8).saturating_mul(16)
        } else {
            0
        }
    }

    fn must_have_scratch(&self) -> bool {
        self.weight_type.is_paired()
    }
}
