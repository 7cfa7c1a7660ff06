//! The rules of a convolution with groups, equation (7).

use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::program::{Conv2d, Window};
use crate::load::check::{Checker, Layer, taps};
use crate::load::in_place::row_distance;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::pack::CONV_MULTIPLE;
use crate::parts::{self, KernelSet, Kernels};

impl Rules for Conv2d {
    const KERNELS: KernelSet = parts::ANY_CONV_2D;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let (input, output) = (c.tensor(self.input)?, c.tensor(self.output)?);
        c.window(&self.window, input, output)?;
        let groups = Err(LoadError::Groups {
            op: c.op,
            found: self.groups,
        });
        let (Some(0), Some(0)) = (
            input.c.checked_rem(self.groups),
            output.c.checked_rem(self.groups),
        ) else {
            return groups;
        };
        let channels = input.c.checked_div(self.groups).unwrap_or(0);
        let products = taps(&self.window) * u64::from(channels);
        c.layer(&Layer {
            weight_type: self.weight_type,
            multiple: (self.groups == 1).then_some(CONV_MULTIPLE),
            weights: self.weights,
            rows: output.c.into(),
            row: products,
            products,
            bias: self.bias,
            requant: &self.requant,
            output,
        })
    }

    fn parts(&self, site: &Site<'_>) -> KernelSet {
        let weights = parts::weights(self.weight_type);
        if self.weight_type.is_paired() {
            let windows = parts::windows(&self.window, site.channels(self.input));
            parts::PAIRED_CONV_2D | weights | windows | site.odd_channels(self.output)
        } else {
            parts::CONV_2D | weights
        }
    }

    fn in_place(&self, site: &Site<'_>, _: usize) -> InPlace {
        let Some([input, output]) = site.ends(self.input, self.output) else {
            return InPlace::Never;
        };
        let window = &self.window;
        let pads = window.pad_top | window.pad_left | window.pad_bottom | window.pad_right;
        let kernel = [window.kernel_h, window.kernel_w] == [1, 1];
        let stride = [window.stride_h, window.stride_w] == [1, 1];
        let pixel_by_pixel =
            kernel && stride && pads == 0 && self.groups == 1 && output.c <= input.c;
        // Scratch that holds a pixel.
        if pixel_by_pixel && self.scratch.bytes >= input.c.into() {
            return InPlace::Rows(0);
        }
        InPlace::Rows(row_distance(input, window, output, 0))
    }

    fn macs(&self, site: &Site<'_>) -> u64 {
        let channels = site
            .tensor(self.input)
            .map_or(0, |t| t.c.checked_div(self.groups).unwrap_or(0));
        // Outputs are below 2^26 in a checked arena, taps below 2^32: what saturates is above any limit.
        (site.elements(self.output) * u64::from(channels)).saturating_mul(taps(&self.window))
    }

    fn scratch_bytes(&self, site: &Site<'_>) -> u64 {
        let Some(input) = site.tensor(self.input) else {
            return 0;
        };
        if self.weight_type.is_paired() && site.packing == Family::Dsp {
            paired_scratch_bytes(&self.window, input.c.into())
        } else if self.groups == 1 {
            // A window.
            taps(&self.window).saturating_mul(input.c.into())
        } else {
            0
        }
    }

    fn must_have_scratch(&self) -> bool {
        self.weight_type.is_paired()
    }
}

/// Bytes of scratch of a convolution with weights in pairs: sums, four expanded windows, and a pixel of zero points or the
/// windows' bytes.
fn paired_scratch_bytes(window: &Window, in_channels: u64) -> u64 {
    let quads = taps(window)
        .saturating_mul(in_channels)
        .div_ceil(CONV_MULTIPLE);
    let rest = if in_channels.is_multiple_of(CONV_MULTIPLE) {
        in_channels
    } else {
        quads.saturating_mul(16)
    };
    quads
        .saturating_mul(32)
        .saturating_add(rest)
        .saturating_add(16)
}
