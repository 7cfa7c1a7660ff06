//! Lifetimes of the arena's bytes.
//!
//! Time is counted in operators: model inputs are written at time 0, operator `i` reads and writes at time `i + 1`, and
//! model outputs are read after the last one. A reshape's output is its input under another name: the two share one
//! lifetime. Two tensors may share bytes only when one is dead before the other is written, or when an operator that
//! reads each element before it writes that element's place works in place.
//!
//! Living tensors are in a list, so that an operator is compared only with those that are needed beside it: the number of comparisons is limited by the blob's length,
//! for any forged program.

use super::ops;
use super::site::Site;
use crate::error::LoadError;
use crate::format::family::Family;
use crate::format::program::{Op, Program, Scratch, Tensor, TensorIndex};
use crate::parts::Kernels;

/// The lifetime of a tensor.
#[derive(Clone, Copy)]
struct Life {
    /// Whether it is written.
    written: bool,
    /// Time of the last read, or of the write if it is never read.
    last: u32,
    /// The tensor whose bytes these are: itself, or the origin of a chain of reshapes, which then holds the lifetime.
    root: TensorIndex,
    /// Next tensor in the list of living ones.
    next: TensorIndex,
}

/// The end of the list; there are at most 65535 tensors.
const NONE: TensorIndex = TensorIndex::MAX;

/// Checks that operators read only what was written, that every tensor is written once, and that nothing is overwritten
/// while it is needed. At most `limit` comparisons are made, of a few instructions each.
pub(super) fn check<K: Kernels, const TENSORS: usize, const OPS: usize>(
    program: &Program<TENSORS, OPS>,
    packing: Family,
    limit: u32,
) -> Result<u32, LoadError> {
    let mut storage = [Life {
        written: false,
        last: 0,
        root: 0,
        next: NONE,
    }; TENSORS];
    let lives = storage.get_mut(..program.tensors.len()).unwrap_or_default();
    fill(lives, program)?;
    for (index, life) in (0..).zip(lives.iter()) {
        if !life.written {
            return Err(LoadError::NeverWritten { tensor: index });
        }
    }
    let mut plan = Plan {
        lives,
        tensors: &program.tensors,
        ops: &program.ops,
        packing,
        alive: NONE,
        limit,
        left: limit,
    };
    for port in &program.inputs {
        plan.step::<K>(0, port.tensor, Scratch::default())?;
    }
    for (op, now) in program.ops.iter().zip(1..) {
        plan.step::<K>(now, op.output(), op.scratch())?;
    }
    Ok(limit - plan.left)
}

fn life(lives: &mut [Life], index: TensorIndex) -> Option<&mut Life> {
    lives.get_mut(usize::from(index))
}

/// Walks the program and records the times of each tensor's write and last read.
fn fill<const TENSORS: usize, const OPS: usize>(
    lives: &mut [Life],
    program: &Program<TENSORS, OPS>,
) -> Result<(), LoadError> {
    for (index, life) in (0..).zip(lives.iter_mut()) {
        life.root = index;
    }
    for port in &program.inputs {
        if let Some(life) = life(lives, port.tensor) {
            if life.written {
                return Err(LoadError::DuplicateInput {
                    tensor: port.tensor,
                });
            }
            life.written = true;
        }
    }
    for (op, index) in program.ops.iter().zip(0_u16..) {
        let now = u32::from(index) + 1;
        for input in op.inputs() {
            read(lives, input, now).ok_or(LoadError::ReadBeforeWrite {
                op: index,
                tensor: input,
            })?;
        }
        let tensor = op.output();
        let root = match op {
            Op::Reshape(op) => life(lives, op.input).map_or(op.input, |life| life.root),
            _ => tensor,
        };
        if let Some(life) = life(lives, tensor) {
            if life.written {
                return Err(LoadError::WrittenTwice { op: index, tensor });
            }
            *life = Life {
                written: true,
                last: now,
                root,
                next: NONE,
            };
        }
    }
    for port in &program.outputs {
        // One that nothing writes is found with all others.
        read(lives, port.tensor, u32::MAX);
    }
    Ok(())
}

/// Prolongs the life of a tensor's bytes; `None` if they are not written.
fn read(lives: &mut [Life], tensor: TensorIndex, now: u32) -> Option<()> {
    let reader = life(lives, tensor)?;
    if !reader.written {
        return None;
    }
    let root = reader.root;
    let life = life(lives, root)?;
    life.last = life.last.max(now);
    Some(())
}

/// Complete lifetimes, with their tensors.
struct Plan<'p> {
    lives: &'p mut [Life],
    tensors: &'p [Tensor],
    ops: &'p [Op],
    packing: Family,
    /// First in the list of living tensors, in the order of their writes.
    alive: TensorIndex,
    /// Allowed comparisons, and the rest of them.
    limit: u32,
    left: u32,
}

impl Plan<'_> {
    /// Processes time `now`: `new` comes to life, if it owns its bytes, beside a scratch area. Neither may overlap a living tensor,
    /// which is one that is read now or later.
    #[inline(never)]
    fn step<K: Kernels>(
        &mut self,
        now: u32,
        new: TensorIndex,
        scratch: Scratch,
    ) -> Result<(), LoadError> {
        let tensors = self.tensors;
        let own = (self.lives.get(usize::from(new))).is_some_and(|life| life.root == new);
        let output = tensors.get(usize::from(new)).filter(|_| own);
        // Operators have 16 bits; before the first one it is that.
        let op = u16::try_from(now.wrapping_sub(1)).unwrap_or(0);
        let area = (scratch.offset, scratch.offset.wrapping_add(scratch.bytes));
        let (mut at, mut before) = (self.alive, NONE);
        loop {
            if at == NONE && own && before != new {
                // Behind all that was there.
                at = new;
                self.link(before, new);
            }
            let (Some(&old), Some(place)) = (
                self.lives.get(usize::from(at)),
                tensors.get(usize::from(at)),
            ) else {
                return Ok(());
            };
            self.left = self.left.checked_sub(1).ok_or(LoadError::Lifetimes {
                op,
                limit: self.limit,
            })?;
            if old.last < now {
                self.link(before, old.next);
                at = old.next;
                continue;
            }
            if scratch.bytes > 0 && overlap(area, span(place)) {
                return Err(LoadError::ScratchOverlap { op, tensor: at });
            }
            if let Some(output) = output {
                if at != new
                    && overlap(span(place), span(output))
                    && !(old.last == now && self.in_place::<K>(now, at, output))
                {
                    return Err(LoadError::Overlap {
                        tensor: new,
                        other: at,
                    });
                }
            }
            (before, at) = (at, old.next);
        }
    }

    /// Inserts `next` after `before` in the list of living tensors.
    fn link(&mut self, before: TensorIndex, next: TensorIndex) {
        match life(self.lives, before) {
            Some(before) => before.next = next,
            None => self.alive = next,
        }
    }

    /// Whether the operator at time `now` may write `output` over the bytes of `root`, which it reads for the last time; not at time 0, when model
    /// inputs are written.
    #[inline(never)]
    fn in_place<K: Kernels>(&self, now: u32, root: TensorIndex, output: &Tensor) -> bool {
        let Some(op) = (now as usize)
            .checked_sub(1)
            .and_then(|index| self.ops.get(index))
        else {
            return false;
        };
        op.inputs().zip(0..).all(|(input, position)| {
            let life = self.lives.get(usize::from(input));
            if life.is_none_or(|life| life.root != root) {
                return true;
            }
            let tensor = self.tensors.get(usize::from(input));
            tensor
                .and_then(|input| input.offset.checked_sub(output.offset))
                .is_some_and(|apart| ops::in_place::<K>(op, position, &self.site()).allows(apart))
        })
    }

    fn site(&self) -> Site<'_> {
        Site {
            tensors: self.tensors,
            packing: self.packing,
        }
    }
}

/// First byte and end of a tensor in the arena, which lies in it.
fn span(tensor: &Tensor) -> (u32, u32) {
    let row = u32::from(tensor.w).wrapping_mul(tensor.c.into());
    let bytes = row.wrapping_mul(tensor.h.into());
    (tensor.offset, tensor.offset.wrapping_add(bytes))
}

fn overlap(a: (u32, u32), b: (u32, u32)) -> bool {
    a.0 < b.1 && b.0 < a.1
}
