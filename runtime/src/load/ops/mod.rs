//! Operators, with the rules of each in a file of its own.

mod add;
mod average_pool;
mod concat;
mod constant;
mod conv2d;
mod depthwise_conv2d;
mod extremum;
mod fully_connected;
mod lut;
mod max_pool;
mod mul;
mod pad;
mod reshape;
mod scaled_softmax;
mod softmax;
mod transpose;

use super::check::Checker;
use super::rules::{InPlace, Rules};
use super::site::Site;
use crate::error::LoadError;
use crate::format::program::Op;
use crate::parts::{KernelSet, Kernels};
use depthwise_conv2d::Depthwise;
#[cfg(test)]
pub(super) use depthwise_conv2d::scratch_bytes as depthwise_scratch_bytes;

/// Calls the rules of an operator: the only table from operators to rules.
macro_rules! ask {
    ($op:expr, $rules:ident => $answer:expr) => {
        match $op {
            Op::Conv2d($rules) => $answer,
            Op::DepthwiseConv2d(conv) => {
                let $rules = &Depthwise(conv);
                $answer
            }
            Op::FullyConnected($rules) => $answer,
            Op::MaxPool($rules) => $answer,
            Op::AveragePool($rules) => $answer,
            Op::Add($rules) => $answer,
            Op::Mul($rules) => $answer,
            Op::Lut($rules) => $answer,
            Op::Softmax($rules) => $answer,
            Op::Reshape($rules) => $answer,
            Op::Transpose($rules) => $answer,
            Op::Concat($rules) => $answer,
            Op::Pad($rules) => $answer,
            Op::Constant($rules) => $answer,
            Op::ScaledSoftmax($rules) => $answer,
            Op::Max($rules) | Op::Min($rules) => $answer,
        }
    };
}

/// Checks an operator whose kernel is linked; the checks of the others are not linked either.
pub(super) fn check<K: Kernels>(op: &Op, c: &Checker<'_>) -> Result<(), LoadError> {
    ask!(op, rules => linked::<K, _>(rules, c))?;
    if !ask!(op, rules => is_linked::<K, _>(rules) && rules.must_have_scratch()) {
        return Ok(());
    }
    let (expected, found) = (scratch_bytes::<K>(op, &c.site), op.scratch());
    if expected > u64::from(found.bytes) || !found.offset.is_multiple_of(4) {
        return Err(LoadError::ScratchSize {
            op: c.op,
            expected,
            found: found.bytes,
        });
    }
    Ok(())
}

/// Whether an operator's kernel is linked; otherwise its rules are not linked either.
#[inline]
fn is_linked<K: Kernels, R: Rules>(_: &R) -> bool {
    K::LINKED.has(R::KERNELS)
}

#[inline]
fn linked<K: Kernels, R: Rules>(rules: &R, c: &Checker<'_>) -> Result<(), LoadError> {
    if is_linked::<K, R>(rules) {
        rules.check::<K>(c)
    } else {
        Err(LoadError::Kernel { op: c.op })
    }
}

/// Kernels and parts of kernels that an operator needs; none if its kernel is not linked.
pub(super) fn parts<K: Kernels>(op: &Op, site: &Site<'_>) -> KernelSet {
    ask!(op, rules => if is_linked::<K, _>(rules) {
        rules.parts(site)
    } else {
        KernelSet::NONE
    })
}

/// Place of an operator's output over its input at `position`; nowhere if its kernel is not linked.
#[inline(never)] // One with its caller, it has a branch into a trap, which no operator takes.
pub(super) fn in_place<K: Kernels>(op: &Op, position: usize, site: &Site<'_>) -> InPlace {
    ask!(op, rules => if is_linked::<K, _>(rules) {
        rules.in_place(site, position)
    } else {
        InPlace::Never
    })
}

/// Number of products of an activation and a weight, padding included.
pub(super) fn macs(op: &Op, site: &Site<'_>) -> u64 {
    ask!(op, rules => rules.macs(site))
}

/// Number of elementary operations: multiply-accumulates, window positions, or elements written.
pub(super) fn work(op: &Op, site: &Site<'_>) -> u64 {
    let written = site.elements(op.output());
    ask!(op, rules => rules.work(site, written))
}

/// Bytes of scratch of the family's kernel; 0 if it is not linked.
#[inline(always)] // Apart it returns in the middle, by a condition that the proof of the stack does not follow.
pub(super) fn scratch_bytes<K: Kernels>(op: &Op, site: &Site<'_>) -> u64 {
    ask!(op, rules => if is_linked::<K, _>(rules) {
        rules.scratch_bytes(site)
    } else {
        0
    })
}
