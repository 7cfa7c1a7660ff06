//! Sum of two tensors, equation (12).

use super::super::params::AddParams;
use super::super::scalar;
use core::cell::Cell;

/// Computes `output` from `a` and `b`, which has as many elements as `a`, or one per channel, or one.
///
/// An operand that has the output's place may be overwritten.
pub(in super::super) fn add(p: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>]) {
    let words = if b.len() == a.len() && (p.min, p.max) == (i8::MIN, i8::MAX) {
        output.len().min(a.len()) / 4
    } else {
        0
    };
    sum_words(p, a, b, output, words);
    let rest = |cells: &'_ [Cell<i8>]| 4 * words..cells.len();
    if b.len() == a.len() {
        let (a, b, output) = (a.get(rest(a)), b.get(rest(b)), output.get(rest(output)));
        scalar::add(
            p,
            a.unwrap_or_default(),
            b.unwrap_or_default(),
            output.unwrap_or_default(),
        );
    } else {
        scalar::add(p, a, b, output);
    }
}

/// The first `words` words; all tensors have them, and nothing limits the sums but int8.
fn sum_words(p: &AddParams, a: &[Cell<i8>], b: &[Cell<i8>], output: &[Cell<i8>], words: usize) {
    if words == 0 {
        return;
    }
    #[cfg(fewbit_family = "dsp")]
    arm::add(p, a, b, output, words);
    #[cfg(not(fewbit_family = "dsp"))]
    if let (Some(a), Some(b), Some(output)) = (
        a.get(..4 * words),
        b.get(..4 * words),
        output.get(..4 * words),
    ) {
        scalar::add(p, a, b, output);
    }
}

#[cfg(fewbit_family = "dsp")]
#[allow(
    unsafe_code,
    reason = "calls of loops in assembly, each with what makes it sound"
)]
mod arm {
    use crate::kernels::params::AddParams;
    use core::cell::Cell;

    /// Parameters of the assembly loop.
    #[repr(C)]
    struct Sum {
        output: *mut i8,
        a: *const i8,
        b: *const i8,
        words: usize,
        multipliers: [i16; 2],
        offset: i32,
        shift: u32,
    }

    unsafe extern "C" {
        fn fewbit_dsp_add(sum: *const Sum);
    }

    pub(super) fn add(
        p: &AddParams,
        a: &[Cell<i8>],
        b: &[Cell<i8>],
        output: &[Cell<i8>],
        words: usize,
    ) {
        let length = 4 * words;
        if a.len() < length || b.len() < length || output.len() < length {
            return;
        }
        let sum = Sum {
            output: output.as_ptr().cast_mut().cast(),
            a: a.as_ptr().cast(),
            b: b.as_ptr().cast(),
            words,
            multipliers: [p.a_multiplier, p.b_multiplier],
            offset: p.offset(),
            shift: p.shift.into(),
        };
        // SAFETY: the loop reads and writes `words` words of each tensor, which are there by the check above; single words
        // may start anywhere. A word is read from both operands before it is written. All are cells.
        unsafe {
            fewbit_dsp_add(&raw const sum);
        }
    }
}
