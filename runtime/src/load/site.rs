//! The tensors around an operator.

use crate::format::family::Family;
use crate::format::program::{Tensor, TensorIndex};
use crate::parts::{KernelSet, ODD_CHANNELS};

/// An operator's surroundings: the tensors that it names, and the family that the blob is packed for.
///
/// An index may be out of range, as build scripts and planners ask before the loader does.
#[derive(Clone, Copy)]
pub(super) struct Site<'p> {
    pub(super) tensors: &'p [Tensor],
    pub(super) packing: Family,
}

impl<'p> Site<'p> {
    pub(super) fn tensor(&self, index: TensorIndex) -> Option<&'p Tensor> {
        self.tensors.get(usize::from(index))
    }

    /// Input and output of an operator that has one of each.
    pub(super) fn ends(&self, input: TensorIndex, output: TensorIndex) -> Option<[&'p Tensor; 2]> {
        Some([self.tensor(input)?, self.tensor(output)?])
    }

    /// Elements of a tensor; 0 for one that is not there.
    pub(super) fn elements(&self, index: TensorIndex) -> u64 {
        self.tensor(index).map_or(0, Tensor::elements)
    }

    /// Bytes of a tensor, which lies in an arena; 0 for one that is not there.
    pub(super) fn bytes(&self, index: TensorIndex) -> u32 {
        let bytes = self.tensor(index).map_or(0, Tensor::bytes);
        u32::try_from(bytes).unwrap_or(0)
    }

    /// Channels of a tensor; 0 for one that is not there.
    pub(super) fn channels(&self, index: TensorIndex) -> usize {
        self.tensor(index).map_or(0, |tensor| tensor.c.into())
    }

    /// The part of kernels that a layer with weights in pairs needs for an odd number of output channels.
    pub(super) fn odd_channels(&self, output: TensorIndex) -> KernelSet {
        if self.channels(output).is_multiple_of(2) {
            KernelSet::NONE
        } else {
            ODD_CHANNELS
        }
    }
}
