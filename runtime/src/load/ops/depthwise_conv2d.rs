//! The rules of a depthwise convolution, equation (8).

use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::program::{Clamp, Conv2d, Tensor, Window};
use crate::kernels::{self, DepthMultiplier, depthwise_lines};
use crate::load::check::{Checker, Layer, taps};
use crate::load::in_place::row_distance;
use crate::load::rules::{InPlace, Rules};
use crate::load::site::Site;
use crate::parts::{self, KernelSet, Kernels};

/// A convolution as a depthwise one.
pub(super) struct Depthwise<'p>(pub(super) &'p Conv2d);

impl Rules for Depthwise<'_> {
    const KERNELS: KernelSet = parts::ANY_DEPTHWISE;

    fn check<K: Kernels>(&self, c: &Checker<'_>) -> Result<(), LoadError> {
        let Depthwise(op) = self;
        let (input, output) = (c.tensor(op.input)?, c.tensor(op.output)?);
        c.window(&op.window, input, output)?;
        if op.groups != input.c || output.c.checked_rem(input.c) != Some(0) {
            return Err(LoadError::Groups {
                op: c.op,
                found: op.groups,
            });
        }
        c.layer(&Layer {
            weight_type: op.weight_type,
            multiple: None,
            weights: op.weights,
            rows: taps(&op.window),
            row: output.c.into(),
            products: taps(&op.window),
            bias: op.bias,
            requant: &op.requant,
            output,
        })
    }

    fn parts(&self, site: &Site<'_>) -> KernelSet {
        kernels_of(self.0, site) | parts::weights(self.0.weight_type)
    }

    fn in_place(&self, site: &Site<'_>, _: usize) -> InPlace {
        let Some([input, output]) = site.ends(self.0.input, self.0.output) else {
            return InPlace::Never;
        };
        if input.c != output.c {
            return InPlace::Never;
        }
        // The kernels' ring holds the rows of a window, so that these may be overwritten; vectors work without.
        let window = &self.0.window;
        let depth =
            (u32::from(window.kernel_h).saturating_sub(1)) * u32::from(window.dilation_h) + 1;
        let needed = scratch_bytes(window, input, output);
        let ring =
            site.packing != Family::Mve && needed > 0 && u64::from(self.0.scratch.bytes) >= needed;
        InPlace::Pixels {
            distance: row_distance(input, window, output, if ring { depth } else { 0 }),
            // Kernels take some channels of all rows first: they may only meet their own.
            pixel: output.c,
        }
    }

    fn macs(&self, site: &Site<'_>) -> u64 {
        site.elements(self.0.output)
            .saturating_mul(taps(&self.0.window))
    }

    fn scratch_bytes(&self, site: &Site<'_>) -> u64 {
        let op = self.0;
        match (site.tensor(op.input), site.tensor(op.output)) {
            // Vectors run over the channels of a window, not along lines.
            (Some(input), _) if site.packing == Family::Mve => {
                taps(&op.window).saturating_mul(input.c.into())
            }
            (Some(input), Some(output)) => scratch_bytes(&op.window, input, output),
            _ => 0,
        }
    }
}

/// The kernels that will run it.
fn kernels_of(op: &Conv2d, site: &Site<'_>) -> KernelSet {
    let (Some(input), Some(output)) = (site.tensor(op.input), site.tensor(op.output)) else {
        return parts::DEPTHWISE_ANY;
    };
    // As an index out of range: the loader refuses it, and build scripts ask before.
    if output.elements() == 0 || op.window.kernel_h == 0 || op.window.kernel_w == 0 {
        return parts::DEPTHWISE_ANY;
    }
    if site.packing == Family::Mve {
        let plain = parts::is_plain(op.weight_type, input.c.into(), output.c.into())
            && matches!(op.requant.clamp, Clamp::PerTensor { .. })
            && u64::from(op.scratch.bytes) >= taps(&op.window) * u64::from(input.c);
        if plain {
            return parts::DEPTHWISE_VECTORS;
        }
    }
    let lines = depthwise_lines(
        &op.window,
        [input.h.into(), input.w.into()],
        [output.h.into(), output.w.into()],
        DepthMultiplier::of(input.c.into(), output.c.into()),
        op.scratch.bytes.into(),
    );
    if lines.has(parts::DEPTHWISE_3X3) && parts::is_general(&op.requant) {
        lines | parts::DEPTHWISE_GENERAL
    } else {
        lines
    }
}

/// Bytes of scratch of a depthwise convolution; 0 for a window that its kernel does not take.
pub(in crate::load) fn scratch_bytes(window: &Window, input: &Tensor, output: &Tensor) -> u64 {
    // The loader refuses it, and planners may ask before.
    if output.elements() == 0 || window.kernel_h == 0 || window.kernel_w == 0 {
        return 0;
    }
    kernels::depthwise_scratch_bytes(
        window,
        [input.h.into(), input.w.into()],
        [output.h.into(), output.w.into()],
    )
}
