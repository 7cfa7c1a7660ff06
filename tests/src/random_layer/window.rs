//! Random windows and pools.
//!
//! Kernels 1..=7, strides 1..=4, dilations 1..=3, pads of every side on its own.

use super::numbers::RequantShape;
use super::{Draft, Numbers};
use fewbit_runtime::format::program::{AveragePool, MaxPool, Op, Window};

/// Most products or window positions of a layer; one in thirty may take ten times as many.
const WORK: usize = 40_000;

/// One direction of a window.
#[derive(Clone, Copy, Debug)]
struct Axis {
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
    out: usize,
}

/// Windows that a layer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// Any of a convolution.
    Any,
    /// Those of a pool: pads smaller than the window, and an element of the input under each window.
    Pool,
    /// 3x3 with stride 1 or 2 and no dilation, for which kernel families have loops of their own.
    Three,
}

/// Draws a direction over `input` elements until it has an output.
fn axis(n: &mut Numbers, input: usize, windows: Windows) -> Axis {
    let (is_pool, is_three) = (windows == Windows::Pool, windows == Windows::Three);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let kernel = if is_three {
            3
        } else if input == 1 && n.chance(70) {
            1
        } else {
            n.size(1, 7)
        };
        let dilation = if is_three || n.chance(70) {
            1
        } else {
            n.size(2, 3)
        };
        let stride = match (n.chance(50), is_three) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => n.size(2, 4),
        };
        let e = dilation * (kernel - 1) + 1;
        // A pool's pad is smaller than its window; a convolution may see nothing but border.
        let most = if is_pool { e - 1 } else { e + 1 };
        let (before, after) = match n.range(0, 3) {
            // A list of choices that is at its end gives the same for ever.
            _ if attempts > 100 => ((e - 1) / 2, (e - 1) / 2),
            0 => (0, 0),
            1 => ((e - 1) / 2, (e - 1) / 2),
            2 => (n.size(0, most), 0),
            _ => (n.size(0, most), n.size(0, most)),
        };
        let (before, after) = (before.min(most), after.min(most));
        if input + before + after >= e {
            let out = (input + before + after - e) / stride + 1;
            let has_element = |at: usize| {
                let mut taps = (0..kernel).map(|tap| at * stride + tap * dilation);
                taps.any(|place| (before..before + input).contains(&place))
            };
            if is_pool && !(0..out).all(has_element) {
                continue;
            }
            return Axis {
                kernel,
                stride,
                dilation,
                before,
                after,
                out,
            };
        }
    }
}

/// A window, its input's height and width, and its output's.
pub(super) struct Placed {
    pub(super) window: Window,
    pub(super) input: (usize, usize),
    pub(super) output: (usize, usize),
}

impl Placed {
    pub(super) fn taps(&self) -> usize {
        usize::from(self.window.kernel_h) * usize::from(self.window.kernel_w)
    }
}

/// Draws input and window until the layer's work is small; `work_per_tap` is the work of one tap of one output position.
pub(super) fn placed(n: &mut Numbers, windows: Windows, work_per_tap: usize) -> Placed {
    let limit = if n.chance(3) { 10 * WORK } else { WORK };
    let mut attempts = 0;
    loop {
        attempts += 1;
        // Many channels leave room for a single position only.
        let input = if attempts > 50 { (1, 1) } else { n.plane() };
        let (h, w) = (axis(n, input.0, windows), axis(n, input.1, windows));
        if h.kernel * w.kernel * h.out * w.out * work_per_tap > limit && attempts < 200 {
            continue;
        }
        let byte = |value: usize| u8::try_from(value).expect("a small window");
        let window = Window {
            kernel_h: h.kernel as u16,
            kernel_w: w.kernel as u16,
            stride_h: byte(h.stride),
            stride_w: byte(w.stride),
            dilation_h: byte(h.dilation),
            dilation_w: byte(w.dilation),
            pad_top: byte(h.before),
            pad_left: byte(w.before),
            pad_bottom: byte(h.after),
            pad_right: byte(w.after),
        };
        return Placed {
            window,
            input,
            output: (h.out, w.out),
        };
    }
}

/// A pool's window; every sixth one covers the whole input.
fn pool_window(n: &mut Numbers, channels: usize) -> Placed {
    if !n.chance(16) {
        return placed(n, Windows::Pool, channels);
    }
    let input = n.plane();
    let window = Window {
        kernel_h: input.0 as u16,
        kernel_w: input.1 as u16,
        stride_h: n.size(1, 4) as u8,
        stride_w: n.size(1, 4) as u8,
        dilation_h: 1,
        dilation_w: 1,
        pad_top: 0,
        pad_left: 0,
        pad_bottom: 0,
        pad_right: 0,
    };
    Placed {
        window,
        input,
        output: (1, 1),
    }
}

/// Notes what is special about a pool's window.
fn note_pool(draft: &mut Draft, window: &Window) {
    let dilated = window.dilation_h > 1 && window.kernel_h > 1
        || window.dilation_w > 1 && window.kernel_w > 1;
    draft.feature("dilated", dilated);
}

pub(super) fn max_pool(n: &mut Numbers, draft: &mut Draft) {
    let channels = n.channels();
    let placed = pool_window(n, channels);
    note_pool(draft, &placed.window);
    let zero_point = n.zero_point();
    let shape = [placed.input.0, placed.input.1, channels];
    let data = n.activations(shape.iter().product(), zero_point);
    let (min, max) = n.clamp_pair(zero_point);
    let input = draft.layer.input(shape, zero_point, data);
    let output = draft
        .layer
        .tensor([placed.output.0, placed.output.1, channels], zero_point);
    draft.layer.op(Op::MaxPool(MaxPool {
        input,
        output,
        window: placed.window,
        min,
        max,
    }));
}

pub(super) fn average_pool(n: &mut Numbers, draft: &mut Draft) {
    let channels = n.channels();
    let placed = pool_window(n, channels);
    note_pool(draft, &placed.window);
    let (x_zero_point, y_zero_point) = (n.zero_point(), n.zero_point());
    let shape = [placed.input.0, placed.input.1, channels];
    let data = n.activations(shape.iter().product(), x_zero_point);
    let multiplier_per_count = n.chance(50);
    let taps = placed.taps();
    let pre_shift = n.pre_shift(taps as u64 * 2 * 128);
    let by = RequantShape {
        multipliers: if multiplier_per_count { taps } else { 1 },
        channels,
        zero_point: y_zero_point,
        pre_shift,
        typical: (taps as f64) * 60.0,
    };
    let requant = n.requant(&mut draft.layer, &by);
    draft.feature("a multiplier a count", multiplier_per_count);
    draft.feature("one multiplier", !multiplier_per_count);
    let input = draft.layer.input(shape, x_zero_point, data);
    let output = draft
        .layer
        .tensor([placed.output.0, placed.output.1, channels], y_zero_point);
    let op = AveragePool {
        input,
        output,
        window: placed.window,
        multiplier_per_count,
        requant,
    };
    draft.layer.op(Op::AveragePool(op));
}
