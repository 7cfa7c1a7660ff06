//! Who needs which bytes of the arena, and until when.
//!
//! Time is counted in operators: model inputs are written at time 0, operator `i` reads and writes at time `i + 1`, and
//! model outputs are read after the last one. A reshape's output is its input under another name: the two share one
//! lifetime. Two tensors may share bytes only when one is dead before the other is written, or when an operator that
//! reads each element before it writes that element's place works in place.
//!
//! What is alive is a list, so that an operator meets only what is needed beside it: how often tensors are looked at is limited by the blob's length,
//! whatever a forged program keeps alive.

use super::needs;
use crate::error::LoadError;
use crate::format::family::Packing;
use crate::format::program::{Op, Program, Scratch, Tensor, TensorIndex, Window};

/// The lifetime of a tensor.
#[derive(Clone, Copy)]
struct Life {
    /// Whether it is written.
    written: bool,
    /// When it is last read, or written if it never is.
    last: u32,
    /// The tensor whose bytes these are: itself, or the origin of a chain of reshapes, which then holds the lifetime.
    root: TensorIndex,
    /// The next one in the list of those that are alive.
    next: TensorIndex,
}

/// The end of the list; there are at most 65535 tensors.
const NONE: TensorIndex = TensorIndex::MAX;

/// Checks that operators read only what was written, that every tensor is written once, and that nothing is overwritten
/// while it is needed. Tensors are looked at `limit` times at most, a few instructions each.
pub(super) fn check<const TENSORS: usize, const OPS: usize>(
    program: &Program<TENSORS, OPS>,
    packing: Packing,
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
        plan.step(0, port.tensor, Scratch::default())?;
    }
    for (op, now) in program.ops.iter().zip(1..) {
        plan.step(now, op.output(), op.scratch())?;
    }
    Ok(limit - plan.left)
}

fn life(lives: &mut [Life], index: TensorIndex) -> Option<&mut Life> {
    lives.get_mut(usize::from(index))
}

/// Runs through the program and notes when each tensor is written and last read.
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

/// Prolongs the life of a tensor's bytes; `None` when they are not written.
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

/// The complete lifetimes beside what they belong to.
struct Plan<'p> {
    lives: &'p mut [Life],
    tensors: &'p [Tensor],
    ops: &'p [Op],
    packing: Packing,
    /// The first in the list of those that are alive, in the order in which they came to life.
    alive: TensorIndex,
    /// How often tensors may be looked at, and what is left of that.
    limit: u32,
    left: u32,
}

impl Plan<'_> {
    /// What happens at time `now`: `new` comes to life, if it owns its bytes, beside a scratch area. Neither may lie over what is alive, which
    /// is what is read now or later.
    #[inline(never)]
    fn step(&mut self, now: u32, new: TensorIndex, scratch: Scratch) -> Result<(), LoadError> {
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
                    && !(old.last == now && self.in_place(now, at, output))
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

    /// Puts `next` behind `before` in the list of those that are alive.
    fn link(&mut self, before: TensorIndex, next: TensorIndex) {
        match life(self.lives, before) {
            Some(before) => before.next = next,
            None => self.alive = next,
        }
    }

    /// Whether the operator at time `now` may write `output` over the bytes of `root`, which it reads for the last time; not at time 0, when model
    /// inputs are written.
    #[inline(never)]
    fn in_place(&self, now: u32, root: TensorIndex, output: &Tensor) -> bool {
        let Some(op) = (now as usize)
            .checked_sub(1)
            .and_then(|index| self.ops.get(index))
        else {
            return false;
        };
        let same_bytes = |input: TensorIndex| {
            let life = self.lives.get(usize::from(input));
            life.is_some_and(|life| life.root == root)
        };
        // One place for the whole output: each element is read just before it is written.
        let same_place = |input: TensorIndex| {
            let tensor = self.tensors.get(usize::from(input));
            tensor.is_some_and(|tensor| span(tensor) == span(output))
        };
        match op {
            Op::Lut(_) | Op::Softmax(_) | Op::ScaledSoftmax(_) | Op::Add(_) | Op::Mul(_) => op
                .inputs()
                .all(|input| !same_bytes(input) || same_place(input)),
            // Joining along the outermost axis only copies: an input that lies where it belongs stays there.
            Op::Concat(concat) => {
                let outermost = match concat.axis {
                    0 => true,
                    1 => output.h == 1,
                    _ => output.h == 1 && output.w == 1,
                };
                let mut place = output.offset;
                outermost
                    && op.inputs().all(|input| {
                        let (start, end) =
                            self.tensors.get(usize::from(input)).map_or((0, 0), span);
                        let stays = start == place;
                        place += end - start;
                        !same_bytes(input) || stays
                    })
            }
            // Of one input, which is what the operator reads for the last time.
            _ => op.inputs().all(|input| {
                self.tensors.get(usize::from(input)).is_some_and(|input| {
                    let apart = input.offset.checked_sub(output.offset);
                    let far = distance(op, self.packing, input, output)
                        .zip(apart)
                        .is_some_and(|(least, apart)| apart >= least);
                    // Depthwise kernels take some channels of all rows first: they may only meet their own.
                    let depthwise = matches!(op, Op::DepthwiseConv2d(_));
                    let own = apart.and_then(|apart| apart.checked_rem(output.c.into())) == Some(0);
                    far && (own || !depthwise)
                })
            }),
        }
    }
}

/// How many bytes the output must start before an input that it is written over; `None` where it may not be.
///
/// Writing outputs over inputs that are done with is what Blacker et al. call diagonal memory optimisation ("Diagonal Memory
/// Optimisation for Machine Learning on Micro-controllers", 2020), here by rows, or by pixels where scratch holds one.
#[inline(never)]
pub(super) fn distance(op: &Op, packing: Packing, input: &Tensor, output: &Tensor) -> Option<u32> {
    let enough = |bytes: u64| bytes > 0 && u64::from(op.scratch().bytes) >= bytes;
    match op {
        Op::Conv2d(conv) => {
            let window = &conv.window;
            let pads = window.pad_top | window.pad_left | window.pad_bottom | window.pad_right;
            let kernel = [window.kernel_h, window.kernel_w] == [1, 1];
            let stride = [window.stride_h, window.stride_w] == [1, 1];
            let pixel_by_pixel =
                kernel && stride && pads == 0 && conv.groups == 1 && output.c <= input.c;
            if pixel_by_pixel && enough(input.c.into()) {
                return Some(0);
            }
            Some(row_distance(input, window, output, 0))
        }
        Op::DepthwiseConv2d(conv) if input.c == output.c => {
            // The kernels' ring holds the rows of a window, so that these may be overwritten; vectors work without.
            let window = &conv.window;
            let depth =
                (u32::from(window.kernel_h).saturating_sub(1)) * u32::from(window.dilation_h) + 1;
            let ring = packing != Packing::Mve
                && enough(needs::depthwise_scratch_bytes(window, input, output));
            Some(row_distance(
                input,
                window,
                output,
                if ring { depth } else { 0 },
            ))
        }
        Op::MaxPool(pool) => Some(row_distance(input, &pool.window, output, 0)),
        Op::AveragePool(pool) => Some(row_distance(input, &pool.window, output, 0)),
        _ => None,
    }
}

/// The largest of `(r + 1) * output_row - (r * stride_h - pad_top + held) * input_row` over the rows `r` of the output, where the second is one
/// of the input's rows: below that row the input may not be overwritten yet. `held` rows of a window are kept elsewhere.
#[inline(never)]
pub(super) fn row_distance(input: &Tensor, window: &Window, output: &Tensor, held: u32) -> u32 {
    let (stride, pad) = (window.stride_h.into(), u32::from(window.pad_top));
    let reaching = |row: u32| {
        (row + pad)
            .saturating_sub(held)
            .checked_div(stride)
            .unwrap_or(0)
    };
    // It is linear in the row while windows start above the input, inside, and below: the largest is at one of the ends.
    let above = reaching(0);
    let inside = reaching(u32::from(input.h).saturating_sub(1));
    let distance = |at| row_distance_at(input, window, output, held, at);
    let inside = distance(above + 1).max(distance(inside));
    distance(above).max(inside).max(distance(u32::MAX))
}

/// What row `at` of the output, or the last one before it, asks for.
#[inline(never)]
fn row_distance_at(input: &Tensor, window: &Window, output: &Tensor, held: u32, at: u32) -> u32 {
    let at = at.min(u32::from(output.h).saturating_sub(1));
    let first = (at * u32::from(window.stride_h) + held).saturating_sub(window.pad_top.into());
    // All rows are read: there is nothing left to overwrite.
    if first >= input.h.into() && held > 0 {
        return 0;
    }
    let row = |tensor: &Tensor| u32::from(tensor.w) * u32::from(tensor.c);
    // Neither is more bytes than its tensor has, which lies in the arena.
    let free = first.min(input.h.into()).wrapping_mul(row(input));
    (at + 1).wrapping_mul(row(output)).saturating_sub(free)
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
