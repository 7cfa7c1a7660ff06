//! One row of activations times pairs of output channels.

#[cfg(not(fewbit_family = "dsp"))]
use super::super::cells::int16;
use super::super::params::Stage;
use core::cell::Cell;

/// Bytes of a step of eight expanded activations.
pub(super) const STEP_BYTES: usize = 16;

/// Outputs of an even number of channels.
pub(super) struct Vector<'a> {
    /// `steps` steps of expanded activations.
    pub(super) activations: &'a [Cell<i8>],
    /// 8 times their sum.
    pub(super) sum: i32,
    /// Packed weights from the first pair on.
    pub(super) weights: &'a [i8],
    /// Whether weights are int4, else int8.
    pub(super) int4: bool,
    /// One per channel.
    pub(super) bias: &'a [i32],
    /// One per channel.
    pub(super) multipliers: &'a [i32],
    pub(super) steps: usize,
    pub(super) pairs: usize,
    pub(super) stage: &'a Stage<'a>,
    /// The first channel, for its limits.
    pub(super) first_channel: usize,
    /// One byte per channel.
    pub(super) output: &'a [Cell<i8>],
}

/// Computes the outputs.
pub(super) fn vector(row: &Vector<'_>) {
    #[cfg(fewbit_family = "dsp")]
    row.call();
    #[cfg(not(fewbit_family = "dsp"))]
    row.model();
}

/// Portable model, which the tests and the host run instead of the assembly.
#[cfg(not(fewbit_family = "dsp"))]
impl Vector<'_> {
    fn model(&self) {
        for (channel, y) in self.output.iter().enumerate().take(2 * self.pairs) {
            let sum = if self.int4 {
                self.int4(channel)
            } else {
                self.int8(channel)
            };
            let mut requantizer = self.stage.requantizer(self.first_channel + channel, 0);
            requantizer.multiplier = self.multipliers.get(channel).copied().unwrap_or(0);
            y.set(requantizer.requantize(sum));
        }
    }

    fn bias(&self, channel: usize) -> i32 {
        self.bias.get(channel).copied().unwrap_or(0)
    }

    fn int8(&self, channel: usize) -> i32 {
        use super::multiply::CHUNK;
        let (pair, side) = (channel / 2, channel % 2);
        let bias = self.bias(2 * pair);
        let (mut first, mut joint, mut second) = (bias, bias, 0);
        for step in 0..self.steps {
            for place in 0..8 {
                let start = ((pair * self.steps + step) * 8 + place) * 2;
                let Some(&[low, high]) = self.weights.get(start..start + 2) else {
                    continue;
                };
                let w = i16::from_le_bytes([low.cast_unsigned(), high.cast_unsigned()]);
                let x = i32::from(int16(self.activations, step * 8 + place));
                joint = joint.wrapping_add(x * i32::from(w));
                first = first.wrapping_add(x * i32::from(low));
            }
            if (self.steps - step - 1).is_multiple_of(CHUNK / 8) {
                second += joint.wrapping_sub(first) >> 8;
                joint = first;
            }
        }
        if side == 0 {
            first
        } else {
            second.wrapping_add(self.bias(channel))
        }
    }

    fn int4(&self, channel: usize) -> i32 {
        let (pair, side) = (channel / 2, channel % 2);
        let scale = 4 * side;
        let mut sum = self.bias(channel).wrapping_sub(self.sum) << scale;
        for place in 0..8 * self.steps {
            // Activations lie in the order 0, 2, 1, 3.
            let start = pair * self.steps * 8 + place / 4 * 4 + place % 2 * 2 + place % 4 / 2;
            let byte = self
                .weights
                .get(start)
                .map_or(0, |byte| byte.cast_unsigned());
            let w = i32::from(byte & (0x0F << scale));
            sum = sum.wrapping_add(w * i32::from(int16(self.activations, place)));
        }
        sum >> scale
    }
}

#[cfg(fewbit_family = "dsp")]
#[allow(
    unsafe_code,
    reason = "calls of loops in assembly, each with what makes it sound"
)]
mod arm {
    use super::super::multiply::{CHUNK, Job, Multiply};
    use super::{STEP_BYTES, Vector};
    use crate::kernels::cells::is_aligned;
    use crate::kernels::params::Limits;

    unsafe extern "C" {
        fn fewbit_dsp_vector_int8(job: *const Job);
        fn fewbit_dsp_vector_int4(job: *const Job);
    }

    impl Vector<'_> {
        /// Hands the row to the assembly.
        pub(super) fn call(&self) {
            let int8 = !self.int4;
            let whole = match self.stage.limits {
                Limits::PerTensor(min, max) => [min, max],
                Limits::PerChannel(_) => [i8::MIN, i8::MAX],
            };
            let (limits, limits_step) = Multiply::limits(self.stage, self.first_channel, &whole);
            let channels = 2 * self.pairs;
            let word_bytes = if int8 { 16 } else { 8 };
            let fits = self.pairs > 0
                && self.steps > 0
                && is_aligned(self.activations)
                && self.activations.len() >= self.steps * STEP_BYTES
                && self.weights.as_ptr().addr().is_multiple_of(4)
                && self.weights.len() >= self.pairs * self.steps * word_bytes
                && self.bias.len() >= channels
                && self.multipliers.len() >= channels
                && limits.len() >= 2 + limits_step * (channels - 1)
                && self.output.len() >= channels;
            if !fits {
                return;
            }
            let chunk = if int8 { CHUNK / 8 } else { self.steps };
            let first_chunk = match self.steps % chunk {
                0 => chunk,
                rest => rest,
            };
            let expanded = self.activations.as_ptr().cast::<i8>();
            let at = |steps: usize| expanded.wrapping_add(steps * STEP_BYTES);
            let output = self.output.as_ptr().cast_mut().cast::<i8>();
            let job = Job {
                activations: expanded,
                weights: self.weights.as_ptr(),
                bias: self.bias.as_ptr(),
                multipliers: self.multipliers.as_ptr(),
                output,
                // The second word is the sum for int4.
                offsets: [0, self.sum.cast_unsigned() as usize, 0],
                zero_point: self.stage.zero_point.into(),
                skip: (4 - self.steps % 4) % 4,
                chunk_end: at(first_chunk),
                end: at(self.steps),
                output_end: output.wrapping_add(channels),
                general: self.stage.is_general().into(),
                pre_shift: self.stage.pre_shift.into(),
                limits: limits.as_ptr(),
                limits_step,
                partial: [0; 4],
                first_chunk_end: at(first_chunk),
                unused: [0; 2],
            };
            // SAFETY: the loops read `steps` steps of activations, `pairs * steps` steps of weights, `2 * pairs` biases and
            // multipliers and one pair of limits a channel, and write `2 * pairs` bytes of output: all of that lies inside
            // the slices by the checks above. Activations and weights start at multiples of 4. Outputs are cells.
            unsafe {
                if int8 {
                    fewbit_dsp_vector_int8(&raw const job);
                } else {
                    fewbit_dsp_vector_int4(&raw const job);
                }
            }
        }
    }
}
