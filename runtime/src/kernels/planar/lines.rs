//! A line of outputs of a 3x3 depthwise convolution, over planar lines.

#[cfg(not(fewbit_family = "dsp"))]
use super::super::cells::{int16, set_int16};
use crate::arith::Requantizer;
use core::cell::Cell;

/// One line of outputs of up to four channels.
pub(super) struct Lines<'a> {
    /// Three planar lines of int16 of the first channel, from the first tap on.
    pub(super) lines: [&'a [Cell<i8>]; 3],
    /// Bytes from a line to the same line of the next channel; 0 for a line of padding.
    pub(super) steps: [usize; 3],
    /// Parameters of each channel.
    pub(super) channels: &'a [Channel],
    pub(super) zero_point: i8,
    pub(super) pre_shift: u8,
    /// From the first output of the first channel on.
    pub(super) output: &'a [Cell<i8>],
    /// Outputs per channel.
    pub(super) count: usize,
    /// Bytes from an output to the next.
    pub(super) output_step: usize,
}

/// Parameters per channel.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Channel {
    /// Pairs (w0, w1) and (w1, w2) of each line, the first in the low half.
    weights: [u32; 6],
    bias: i32,
    multiplier: i32,
    limits: [i32; 2],
}

impl Channel {
    /// From nine weights, line by line.
    pub(super) fn new(weights: &[i32; 9], bias: i32, requantizer: &Requantizer) -> Self {
        let pair =
            |low: i32, high: i32| (low.cast_unsigned() & 0xFFFF) | (high.cast_unsigned() << 16);
        let [a, b, c, d, e, f, g, h, i] = *weights;
        Channel {
            weights: [
                pair(a, b),
                pair(b, c),
                pair(d, e),
                pair(e, f),
                pair(g, h),
                pair(h, i),
            ],
            bias,
            multiplier: requantizer.multiplier,
            limits: [
                requantizer.activation_min.into(),
                requantizer.activation_max.into(),
            ],
        }
    }
}

/// Stride along the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stride {
    One,
    Two,
}

/// Treatment of a sum besides a multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outputs {
    /// It saturates to int8.
    Int8,
    /// There is a pre-shift, or a limit other than int8's.
    General,
}

/// The half of a word in which a line starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Low,
    High,
}

/// One of the four loops.
pub(super) struct Loop {
    stride: Stride,
    #[cfg(not(fewbit_family = "dsp"))]
    outputs: Outputs,
    #[cfg(fewbit_family = "dsp")]
    function: arm::Function,
}

impl Loop {
    /// The loop for a stride. A build links those that are named by constants.
    #[inline]
    pub(super) fn new(stride: Stride, outputs: Outputs) -> Self {
        Loop {
            stride,
            #[cfg(not(fewbit_family = "dsp"))]
            outputs,
            #[cfg(fewbit_family = "dsp")]
            function: arm::function(stride, outputs),
        }
    }

    /// Computes a line.
    pub(super) fn run(&self, line: &Lines<'_>) {
        #[cfg(fewbit_family = "dsp")]
        line.call(self.stride, self.function);
        #[cfg(not(fewbit_family = "dsp"))]
        line.model(self);
    }
}

/// Portable model, which the tests and the host run instead of the assembly.
#[cfg(not(fewbit_family = "dsp"))]
impl Lines<'_> {
    fn model(&self, kernel: &Loop) {
        let stride = match kernel.stride {
            Stride::One => 1,
            Stride::Two => 2,
        };
        let general = kernel.outputs == Outputs::General;
        for (index, channel) in self.channels.iter().enumerate() {
            let [activation_min, activation_max] = if general {
                channel.limits.map(|limit| i8::try_from(limit).unwrap_or(0))
            } else {
                [i8::MIN, i8::MAX]
            };
            let requantizer = Requantizer {
                multiplier: channel.multiplier,
                pre_shift: if general { self.pre_shift } else { 0 },
                zero_point: self.zero_point,
                activation_min,
                activation_max,
            };
            for place in 0..self.count {
                let mut sum = channel.bias;
                let pairs = channel.weights.chunks_exact(2);
                for ((line, step), pairs) in self.lines.iter().zip(self.steps).zip(pairs) {
                    let line = line.get(index * step..).unwrap_or_default();
                    let [first, second] =
                        [0, 1].map(|at| pairs.get(at).copied().unwrap_or(0).cast_signed());
                    let weights = [(first << 16) >> 16, first >> 16, second >> 16];
                    for (tap, w) in weights.into_iter().enumerate() {
                        sum = sum.wrapping_add(w * i32::from(int16(line, place * stride + tap)));
                    }
                }
                if let Some(y) = self.output.get(index + place * self.output_step) {
                    y.set(requantizer.requantize(sum));
                }
            }
        }
    }
}

/// `pixels` pixels of four channels, from `from` on in steps of `stride` bytes, as int16 into the lines of four planes.
///
/// `to` is the place in the first plane, the other planes' are `plane` bytes on.
pub(super) fn planes(
    to: &[Cell<i8>],
    plane: usize,
    from: &[Cell<i8>],
    stride: usize,
    pixels: usize,
    half: Half,
) {
    let needed = pixels.saturating_sub(1) * stride + 4;
    if pixels == 0 || from.len() < needed || to.len() < 3 * plane + 2 * pixels {
        return;
    }
    #[cfg(fewbit_family = "dsp")]
    arm::planes(to, plane, from, stride, pixels, half);
    #[cfg(not(fewbit_family = "dsp"))]
    for pixel in 0..pixels {
        let _ = half;
        let values = from.get(pixel * stride..).unwrap_or_default();
        for (index, x) in values.iter().enumerate().take(4) {
            set_int16(
                to.get(index * plane..).unwrap_or_default(),
                pixel,
                x.get().into(),
            );
        }
    }
}

#[cfg(fewbit_family = "dsp")]
#[allow(
    unsafe_code,
    reason = "calls of loops in assembly, each with what makes it sound"
)]
mod arm {
    use super::{Channel, Half, Lines, Outputs, Stride};
    use crate::kernels::cells::is_aligned;
    use core::cell::Cell;

    /// Parameters of the assembly loops: the words named `L_` in lines.s.
    #[repr(C)]
    pub(super) struct Job {
        lines: [*const i8; 3],
        output: *mut i8,
        steps: [usize; 3],
        turn_bytes: usize,
        multiplier: i32,
        zero_point: i32,
        output_step: usize,
        odd: u32,
        channels: usize,
        parameters: *const Channel,
        bias: i32,
        end: usize,
        pre_shift: u32,
        limits: [i32; 2],
        unused: u32,
    }

    const _: () = assert!(size_of::<Job>() == 80 && size_of::<Channel>() == 40);

    unsafe extern "C" {
        fn fewbit_dsp_depthwise3_stride1_int8(job: *const Job);
        fn fewbit_dsp_depthwise3_stride1_general(job: *const Job);
        fn fewbit_dsp_depthwise3_stride2_int8(job: *const Job);
        fn fewbit_dsp_depthwise3_stride2_general(job: *const Job);
        fn fewbit_dsp_planes(
            to: *mut i8,
            plane: usize,
            from: *const i8,
            stride: usize,
            pixels: usize,
            odd: u32,
        );
    }

    /// One of the loops.
    pub(super) type Function = unsafe extern "C" fn(*const Job);

    #[inline]
    pub(super) fn function(stride: Stride, outputs: Outputs) -> Function {
        match (stride, outputs) {
            (Stride::One, Outputs::Int8) => fewbit_dsp_depthwise3_stride1_int8,
            (Stride::One, Outputs::General) => fewbit_dsp_depthwise3_stride1_general,
            (Stride::Two, Outputs::Int8) => fewbit_dsp_depthwise3_stride2_int8,
            (Stride::Two, Outputs::General) => fewbit_dsp_depthwise3_stride2_general,
        }
    }

    impl Lines<'_> {
        /// Hands the line to the assembly.
        pub(super) fn call(&self, stride: Stride, function: Function) {
            // Words read of a line: both loops load one word ahead.
            let words = match stride {
                Stride::One => self.count.div_ceil(2) + 1,
                Stride::Two => self.count + 1,
            };
            let others = self.channels.len().wrapping_sub(1);
            let reach = |line: &[Cell<i8>], step: usize| {
                is_aligned(line)
                    && step.is_multiple_of(4)
                    && line.len() >= others * step + 4 * words
            };
            let fits = !self.channels.is_empty()
                && self.count > 0
                && self
                    .lines
                    .iter()
                    .zip(self.steps)
                    .all(|(line, step)| reach(line, step))
                && self.output.len() > others + (self.count - 1) * self.output_step;
            if !fits {
                return;
            }
            let job = Job {
                lines: self.lines.map(|line| line.as_ptr().cast()),
                output: self.output.as_ptr().cast_mut().cast(),
                steps: self.steps,
                turn_bytes: match stride {
                    Stride::One => self.count / 2 * 4,
                    Stride::Two => self.count * 4,
                },
                multiplier: 0,
                zero_point: self.zero_point.into(),
                output_step: self.output_step,
                odd: (stride == Stride::One && self.count % 2 == 1).into(),
                channels: self.channels.len(),
                parameters: self.channels.as_ptr(),
                bias: 0,
                end: 0,
                pre_shift: self.pre_shift.into(),
                limits: [0; 2],
                unused: 0,
            };
            // SAFETY: for each channel the loops read `words` words of each line and one `Channel`, and write `count` bytes
            // `output_step` apart: all of that lies inside the slices by the checks above, and lines start at multiples of
            // 4. Outputs are cells.
            unsafe {
                function(&raw const job);
            }
        }
    }

    pub(super) fn planes(
        to: &[Cell<i8>],
        plane: usize,
        from: &[Cell<i8>],
        stride: usize,
        pixels: usize,
        half: Half,
    ) {
        let odd = (half == Half::High).into();
        let to = to.as_ptr().cast_mut().cast::<i8>();
        // SAFETY: the caller has checked that `from` holds four bytes at each of `pixels` pixels and that `pixels` int16 fit each
        // of four lines `plane` bytes apart in `to`; single words may start anywhere. All are cells.
        unsafe {
            fewbit_dsp_planes(to, plane, from.as_ptr().cast(), stride, pixels, odd);
        }
    }
}
