//! The engine: a checked model, an arena, and a loop over the operators.

use crate::format::family::Family;
use crate::format::program::TensorIndex;
use crate::kernels::{Memory, Shape, execute};
use crate::load::Model;
use crate::parts::{AllKernels, Kernels};
use core::cell::Cell;
use core::fmt;

/// The arena given to [`Engine::new`] is smaller than [`Model::arena_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArenaTooSmall {
    /// Bytes that the model needs.
    pub expected: usize,
    /// Bytes given.
    pub found: usize,
}

impl fmt::Display for ArenaTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the arena has {} bytes, the model needs {}",
            self.found, self.expected
        )
    }
}

impl core::error::Error for ArenaTooSmall {}

/// Distance of an address from the next multiple of 4, in bytes.
#[inline]
fn bytes_to_word(address: usize) -> usize {
    address.wrapping_neg() % 4
}

/// Runs a model in an arena.
///
/// Everything was checked when the model was loaded: nothing here fails, allocates or panics. The same input bytes give
/// the same output bytes on every target.
///
/// Inputs share the arena with everything else, so [`run`](Self::run) may overwrite them: fill all inputs before each run.
/// Outputs stay until the next one.
#[derive(Debug)]
pub struct Engine<'m, 'a, const TENSORS: usize, const OPS: usize, K: Kernels = AllKernels> {
    model: &'m Model<'a, TENSORS, OPS, K>,
    arena: &'m mut [i8],
}

impl<'m, 'a, const TENSORS: usize, const OPS: usize, K: Kernels> Engine<'m, 'a, TENSORS, OPS, K> {
    /// Joins a model and an arena of at least [`Model::arena_bytes`] bytes, of any contents.
    ///
    /// A build of the DSP family uses it from its first multiple of 4 on: let it start at one (see
    /// [`Aligned`](crate::Aligned)), or be 3 bytes longer.
    ///
    /// # Errors
    /// [`ArenaTooSmall`].
    pub fn new(
        model: &'m Model<'a, TENSORS, OPS, K>,
        arena: &'m mut [i8],
    ) -> Result<Self, ArenaTooSmall> {
        let found = arena.len();
        // Loops in assembly load words two at a time: the plan's multiples of 4 have to be such in memory.
        let skip = if cfg!(fewbit_family = "dsp") {
            bytes_to_word(arena.as_ptr().addr())
        } else {
            0
        };
        let expected = skip.saturating_add(model.arena_bytes());
        match arena.get_mut(skip..expected) {
            Some(arena) => Ok(Engine { model, arena }),
            None => Err(ArenaTooSmall { expected, found }),
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &'m Model<'a, TENSORS, OPS, K> {
        self.model
    }

    /// The bytes of a model input, `[h, w, c]` with c innermost; empty when there are fewer inputs.
    #[must_use]
    pub fn input_mut(&mut self, index: usize) -> &mut [i8] {
        let range = self
            .model
            .program()
            .inputs
            .get(index)
            .map(|port| self.range(port.tensor));
        self.arena
            .get_mut(range.unwrap_or(0..0))
            .unwrap_or_default()
    }

    /// The bytes of a model output, `[h, w, c]` with c innermost; empty when there are fewer outputs.
    #[must_use]
    pub fn output(&self, index: usize) -> &[i8] {
        self.model
            .program()
            .outputs
            .get(index)
            .map_or(&[], |port| self.tensor(port.tensor))
    }

    /// Runs all operators.
    ///
    /// The time depends on the model alone: in proportion to [`Model::work`], which the loader limits to [`MAX_WORK`](crate::limits::MAX_WORK),
    /// 2^36 operations. That is far more than a microcontroller has time for; a caller with a deadline looks at
    /// [`Model::work`] first.
    pub fn run(&mut self) {
        for index in 0..self.op_count() {
            self.step(index);
        }
    }

    /// Runs one operator. To run a model is to take the steps `0..op_count()` in order; out of range, nothing happens.
    pub fn step(&mut self, op_index: usize) {
        let program = self.model.program();
        if let Some(op) = program.ops.get(op_index) {
            let memory = Memory {
                tensors: &program.tensors,
                weights: self.model.weights(),
                params: self.model.params(),
                arena: Cell::from_mut(&mut *self.arena).as_slice_of_cells(),
                packed_for: self.model.packing(),
                family: Family::of_build(self.model.packing()),
            };
            execute::<K>(op, &memory);
        }
    }

    /// Number of operators.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.model.op_count()
    }

    /// The bytes that an operator wrote, as long as no later step has overwritten them; empty out of range.
    #[must_use]
    pub fn op_output(&self, op_index: usize) -> &[i8] {
        self.model
            .program()
            .ops
            .get(op_index)
            .map_or(&[], |op| self.tensor(op.output()))
    }

    /// The current bytes of a tensor; empty out of range.
    #[must_use]
    pub fn tensor(&self, index: TensorIndex) -> &[i8] {
        self.arena.get(self.range(index)).unwrap_or_default()
    }

    fn range(&self, index: TensorIndex) -> core::ops::Range<usize> {
        self.model
            .program()
            .tensors
            .get(usize::from(index))
            .map_or(0..0, |tensor| {
                let start = tensor.offset as usize;
                // Inside the arena, which is below 2^26 bytes.
                start..start + Shape::of(tensor).bytes()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_at_most_3_bytes_away() {
        for (address, bytes) in [
            (0, 0),
            (1, 3),
            (2, 2),
            (3, 1),
            (4, 0),
            (5, 3),
            (usize::MAX, 1),
        ] {
            assert_eq!(bytes_to_word(address), bytes, "{address}");
        }
    }
}
