//! Four pixels times pairs of output channels: the loop of convolutions.

#[cfg(not(fewbit_family = "dsp"))]
use super::super::cells::int16;
use super::super::params::Stage;
use super::QUAD;
use core::cell::Cell;

/// Bytes that a step of four products of four pixels takes: 16 int16.
pub(super) const STEP_BYTES: usize = 32;

/// Bytes before the activations, for sums.
pub(super) const SUMS_BYTES: usize = 16;

/// Products that are summed before the second channel's sum is taken out of the joint one: 512 * 127 * 128 < 2^23.
pub(super) const CHUNK: usize = 512;

/// Blocks of outputs: four pixels, an even number of channels.
#[derive(Clone, Copy)]
pub(super) struct Multiply<'a> {
    /// [`SUMS_BYTES`] for 8 times each pixel's sum (int4 only), then `quads` steps of expanded activations.
    pub(super) activations: &'a [Cell<i8>],
    /// Packed weights from the first pair on.
    pub(super) weights: &'a [i8],
    /// Whether weights are int4, else int8.
    pub(super) int4: bool,
    /// One per channel.
    pub(super) bias: &'a [i32],
    /// One per channel.
    pub(super) multipliers: &'a [i32],
    pub(super) quads: usize,
    pub(super) pairs: usize,
    pub(super) stage: &'a Stage<'a>,
    /// The first channel of the block, for its limits.
    pub(super) first_channel: usize,
    /// From the first pixel's first channel on.
    pub(super) output: &'a [Cell<i8>],
}

impl Multiply<'_> {
    /// Calls `each` with a function that computes a block. It takes the places where the pixels start in `output`, ascending; pixels
    /// that do not exist repeat the last place, which is written before them.
    pub(super) fn blocks(&self, each: impl FnOnce(&mut dyn FnMut([usize; 4]))) {
        #[cfg(fewbit_family = "dsp")]
        self.call(each);
        #[cfg(not(fewbit_family = "dsp"))]
        each(&mut |offsets| self.model(offsets));
    }
}

#[cfg(fewbit_family = "dsp")]
impl Multiply<'_> {
    /// The pairs (min, max) from the block's first channel on, and how far the next channel's pair is.
    pub(super) fn limits<'s>(
        stage: &Stage<'s>,
        first: usize,
        whole: &'s [i8; 2],
    ) -> (&'s [i8], usize) {
        use super::super::params::Limits;
        match stage.limits {
            Limits::PerTensor(..) => (whole, 0),
            Limits::PerChannel(pairs) => (pairs.get(2 * first..).unwrap_or_default(), 2),
        }
    }
}

/// Portable model, which the tests and the host run instead of the assembly.
#[cfg(not(fewbit_family = "dsp"))]
impl Multiply<'_> {
    fn model(&self, offsets: [usize; 4]) {
        let expanded = self.activations.get(SUMS_BYTES..).unwrap_or_default();
        for pair in 0..self.pairs {
            let both: [(i32, i32); 4] = core::array::from_fn(|pixel| {
                if self.int4 {
                    self.int4(pair, pixel, expanded)
                } else {
                    self.int8(pair, pixel, expanded)
                }
            });
            let sums = [both.map(|sums| sums.0), both.map(|sums| sums.1)];
            for (side, sums) in sums.iter().enumerate() {
                let channel = 2 * pair + side;
                let mut requantizer = self.stage.requantizer(self.first_channel + channel, 0);
                requantizer.multiplier = self.multipliers.get(channel).copied().unwrap_or(0);
                // The last pixel first, as the assembly does.
                for (sum, offset) in sums.iter().zip(offsets).rev() {
                    if let Some(y) = self.output.get(offset + channel) {
                        y.set(requantizer.requantize(*sum));
                    }
                }
            }
        }
    }

    fn bias(&self, channel: usize) -> i32 {
        self.bias.get(channel).copied().unwrap_or(0)
    }

    /// The activations of two products: pair 0 of step `quad` is (4q, 4q + 2), pair 1 is (4q + 1, 4q + 3).
    fn activations(expanded: &[Cell<i8>], quad: usize, pair: usize, pixel: usize) -> [i32; 2] {
        let at = quad * 16 + pair * 8 + pixel * 2;
        [int16(expanded, at).into(), int16(expanded, at + 1).into()]
    }

    fn int8(&self, pair: usize, pixel: usize, expanded: &[Cell<i8>]) -> (i32, i32) {
        let bias = self.bias(2 * pair);
        // The sum of the first channel, the joint sum, and what was taken out of it.
        let (mut first, mut joint, mut second) = (bias, bias, 0);
        for quad in 0..self.quads {
            for half in 0..2 {
                let x = Self::activations(expanded, quad, half, pixel);
                let start = ((pair * self.quads + quad) * 2 + half) * 4;
                let Some(&[a, b, c, d]) = self.weights.get(start..start + 4) else {
                    continue;
                };
                let word = [[a, b], [c, d]].map(|w| i16::from_le_bytes(w.map(i8::cast_unsigned)));
                for (x, w) in x.into_iter().zip(word) {
                    joint = joint.wrapping_add(x * i32::from(w));
                    first = first.wrapping_add(x * i32::from(w.to_le_bytes()[0].cast_signed()));
                }
            }
            // Chunks end where CHUNK products are left to the end, as often as they fit.
            if (self.quads - quad - 1).is_multiple_of(CHUNK / QUAD) {
                second += joint.wrapping_sub(first) >> 8;
                joint = first;
            }
        }
        (first, second.wrapping_add(self.bias(2 * pair + 1)))
    }

    fn int4(&self, pair: usize, pixel: usize, expanded: &[Cell<i8>]) -> (i32, i32) {
        let cells = self
            .activations
            .get(4 * pixel..4 * pixel + 4)
            .unwrap_or_default();
        let sum = match cells {
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d].map(|cell| cell.get().cast_unsigned())),
            _ => 0,
        };
        let mut first = self.bias(2 * pair).wrapping_sub(sum);
        let mut second = (self.bias(2 * pair + 1).wrapping_sub(sum)) << 4;
        for quad in 0..self.quads {
            let start = (pair * self.quads + quad) * 4;
            let Some(&[a, b, c, d]) = self.weights.get(start..start + 4) else {
                continue;
            };
            let word = u32::from_le_bytes([a, b, c, d].map(i8::cast_unsigned));
            for half in 0..2 {
                let x = Self::activations(expanded, quad, half, pixel);
                let word = word >> (8 * half);
                for (x, shift) in x.into_iter().zip([0, 16]) {
                    let [low, high] =
                        [0x0F, 0xF0].map(|mask| ((word >> shift) & mask).cast_signed());
                    first = first.wrapping_add(x * low);
                    second = second.wrapping_add(x * high);
                }
            }
        }
        (first, second >> 4)
    }
}

#[cfg(fewbit_family = "dsp")]
pub(super) use arm::Job;

#[cfg(fewbit_family = "dsp")]
#[allow(
    unsafe_code,
    reason = "calls of loops in assembly, each with what makes it sound"
)]
mod arm {
    use super::{CHUNK, Multiply, QUAD, STEP_BYTES, SUMS_BYTES};
    use crate::kernels::cells::is_aligned;
    use crate::kernels::params::Limits;

    /// Parameters of the assembly loops: the words named `J_` in multiply.s.
    #[repr(C)]
    pub(in super::super) struct Job {
        pub(in super::super) activations: *const i8,
        pub(in super::super) weights: *const i8,
        pub(in super::super) bias: *const i32,
        pub(in super::super) multipliers: *const i32,
        pub(in super::super) output: *mut i8,
        pub(in super::super) offsets: [usize; 3],
        pub(in super::super) zero_point: i32,
        /// Steps to leave out of the first turn.
        pub(in super::super) skip: usize,
        pub(in super::super) chunk_end: *const i8,
        pub(in super::super) end: *const i8,
        pub(in super::super) output_end: *mut i8,
        pub(in super::super) general: u32,
        pub(in super::super) pre_shift: u32,
        pub(in super::super) limits: *const i8,
        pub(in super::super) limits_step: usize,
        pub(in super::super) partial: [i32; 4],
        pub(in super::super) first_chunk_end: *const i8,
        pub(in super::super) unused: [u32; 2],
    }

    const _: () = assert!(size_of::<Job>() == 96);

    unsafe extern "C" {
        fn fewbit_dsp_multiply_int8(job: *const Job);
        fn fewbit_dsp_multiply_int4(job: *const Job);
    }

    impl Multiply<'_> {
        /// Has blocks computed by the assembly.
        pub(super) fn call(&self, each: impl FnOnce(&mut dyn FnMut([usize; 4]))) {
            let int8 = !self.int4;
            let whole = match self.stage.limits {
                Limits::PerTensor(min, max) => [min, max],
                Limits::PerChannel(_) => [i8::MIN, i8::MAX],
            };
            let (limits, limits_step) = Self::limits(self.stage, self.first_channel, &whole);
            let channels = 2 * self.pairs;
            let word_bytes = if int8 { 8 } else { 4 };
            let fits = self.pairs > 0
                && self.quads > 0
                && is_aligned(self.activations)
                && self.activations.len() >= SUMS_BYTES + self.quads * STEP_BYTES
                && self.weights.as_ptr().addr().is_multiple_of(4)
                && self.weights.len() >= self.pairs * self.quads * word_bytes
                && self.bias.len() >= channels
                && self.multipliers.len() >= channels
                && limits.len() >= 2 + limits_step * (channels - 1)
                && self.output.len() >= channels;
            if !fits {
                return;
            }
            let last_start = self.output.len() - channels;
            let chunk = if int8 { CHUNK / QUAD } else { self.quads };
            let first_chunk = match self.quads % chunk {
                0 => chunk,
                rest => rest,
            };
            let unroll = if int8 { 8 } else { 4 };
            let expanded = self
                .activations
                .as_ptr()
                .cast::<i8>()
                .wrapping_add(SUMS_BYTES);
            let at = |quads: usize| expanded.wrapping_add(quads * STEP_BYTES);
            let output = self.output.as_ptr().cast_mut().cast::<i8>();
            let mut job = Job {
                activations: if int8 {
                    expanded
                } else {
                    self.activations.as_ptr().cast()
                },
                weights: self.weights.as_ptr(),
                bias: self.bias.as_ptr(),
                multipliers: self.multipliers.as_ptr(),
                output,
                offsets: [0; 3],
                zero_point: self.stage.zero_point.into(),
                skip: (unroll - self.quads % unroll) % unroll,
                chunk_end: at(first_chunk),
                end: at(self.quads),
                output_end: output,
                general: (self.stage.is_general() || first_chunk < self.quads).into(),
                pre_shift: self.stage.pre_shift.into(),
                limits: limits.as_ptr(),
                limits_step,
                partial: [0; 4],
                first_chunk_end: at(first_chunk),
                unused: [0; 2],
            };
            each(&mut |[first, s1, s2, s3]| {
                if first > s1 || s1 > s2 || s2 > s3 || s3 > last_start {
                    return;
                }
                job.output = output.wrapping_add(first);
                job.offsets = [s1 - first, s2 - first, s3 - first];
                job.output_end = job.output.wrapping_add(channels);
                // SAFETY: the loops read `quads` steps of activations, `pairs * quads` steps of weights, `2 * pairs` biases and
                // multipliers and one pair of limits a channel, and write `2 * pairs` bytes at each of the four offsets: all
                // of that lies inside the slices by the checks above. Activations and weights start at multiples of 4.
                // Outputs are cells, which may be written through a shared reference. The functions follow the procedure
                // call standard, keep nothing, and only read the job.
                unsafe {
                    if int8 {
                        fewbit_dsp_multiply_int8(&raw const job);
                    } else {
                        fewbit_dsp_multiply_int4(&raw const job);
                    }
                }
            });
        }
    }
}
