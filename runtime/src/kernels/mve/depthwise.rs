//! One pixel of a depthwise convolution: the loop over its channels.

use super::super::params::Stage;
use core::cell::Cell;

/// Channels of a turn.
const BLOCK: usize = crate::parts::VECTOR_CHANNELS;

/// A pixel whose window is inside the input.
pub(super) struct Pixel<'a> {
    /// From the first tap on.
    pub(super) window: &'a [Cell<i8>],
    /// Bytes from a tap to the next along a line.
    pub(super) tap_step: usize,
    /// Bytes from a line to the next.
    pub(super) line_step: usize,
    /// Lines and taps of a line.
    pub(super) taps: [usize; 2],
    /// Channels: bytes from a tap's weights to the next tap's.
    pub(super) channels: usize,
    /// Tap by tap, channels innermost.
    pub(super) weights: &'a [i8],
    pub(super) bias: &'a [i32],
    pub(super) stage: &'a Stage<'a>,
    pub(super) limits: [i8; 2],
    pub(super) output: &'a [Cell<i8>],
}

impl Pixel<'_> {
    /// Computes the channels of all whole blocks.
    pub(super) fn blocks(&self) {
        let [lines, taps] = self.taps;
        let done = self.channels / BLOCK * BLOCK;
        if lines == 0 || taps == 0 || done == 0 {
            return;
        }
        let reach = (lines - 1) * self.line_step + (taps - 1) * self.tap_step + done;
        let fits = self.window.len() >= reach
            && self.weights.len() >= (lines * taps - 1) * self.channels + done
            && self.bias.len() >= done
            && self.stage.multipliers.len() >= done
            && self.output.len() >= done
            && self.line_step >= taps * self.tap_step;
        if fits {
            self.run(done / BLOCK);
        }
    }

    /// Portable model, which the host runs instead of the assembly.
    #[cfg(not(fewbit_family = "mve"))]
    fn run(&self, blocks: usize) {
        let [lines, taps] = self.taps;
        let [min, max] = self.limits.map(i32::from);
        for (o, y) in self.output.iter().enumerate().take(blocks * BLOCK) {
            let at = |row: usize, tap: usize| {
                let x = self
                    .window
                    .get(row * self.line_step + tap * self.tap_step + o);
                let w = self.weights.get((row * taps + tap) * self.channels + o);
                x.map_or(0, |x| i32::from(x.get())) * w.map_or(0, |&w| i32::from(w))
            };
            let places = (0..lines).flat_map(|row| (0..taps).map(move |tap| (row, tap)));
            let bias = self.bias.get(o).copied().unwrap_or(0);
            let sum = places.fold(bias, |sum, (row, tap)| sum.wrapping_add(at(row, tap)));
            let multiplier = self.stage.multipliers.get(o).copied().unwrap_or(0);
            let t = sum.wrapping_shl(self.stage.pre_shift.into());
            let r = crate::arith::multiply_high(t, multiplier) + i32::from(self.stage.zero_point);
            y.set(i8::try_from(r.max(min).min(max)).unwrap_or(0));
        }
    }
}

#[cfg(fewbit_family = "mve")]
#[allow(
    unsafe_code,
    reason = "a call of a loop in assembly, with what makes it sound"
)]
mod arm {
    use super::Pixel;

    // The assembler has to be told that there are vectors.
    core::arch::global_asm!(".cpu cortex-m55", include_str!("depthwise.s"));

    /// Parameters of the assembly loop.
    #[repr(C)]
    struct Job {
        window: *const i8,
        weights: *const i8,
        bias: *const i32,
        multipliers: *const i32,
        output: *mut i8,
        tap_step: usize,
        /// From the end of a line's taps to the next line.
        line_gap: usize,
        channels: usize,
        lines: usize,
        taps: usize,
        zero_point: i32,
        min: i32,
        max: i32,
        pre_shift: u32,
        blocks: usize,
        unused: u32,
    }

    unsafe extern "C" {
        fn fewbit_mve_depthwise(job: *const Job);
    }

    impl Pixel<'_> {
        /// The caller has checked all lengths.
        pub(super) fn run(&self, blocks: usize) {
            let [lines, taps] = self.taps;
            let [min, max] = self.limits.map(i32::from);
            let job = Job {
                window: self.window.as_ptr().cast(),
                weights: self.weights.as_ptr(),
                bias: self.bias.as_ptr(),
                multipliers: self.stage.multipliers.as_ptr(),
                output: self.output.as_ptr().cast_mut().cast(),
                tap_step: self.tap_step,
                line_gap: self.line_step - taps * self.tap_step,
                channels: self.channels,
                lines,
                taps,
                zero_point: self.stage.zero_point.into(),
                min,
                max,
                pre_shift: self.stage.pre_shift.into(),
                blocks,
                unused: 0,
            };
            // SAFETY: the loop reads eight bytes a block at each of the window's taps and weights, eight biases and multipliers, and
            // writes eight outputs: all of that is there, as the caller has checked. Outputs are cells. The function follows
            // the procedure call standard.
            unsafe {
                fewbit_mve_depthwise(&raw const job);
            }
        }
    }
}
