//! Who needs which bytes of the arena, and until when.
//!
//! Time is counted in operators: model inputs are written at time 0, operator `i` reads and writes at time `i + 1`, and
//! model outputs are read after the last one. A reshape's output is its input under another name: the two share one
//! lifetime. Two tensors may share bytes only when one is dead before the other is written, or when an operator that
//! reads each element before it writes that element's place works in place.

use super::packing::{self, Packing};
use super::program::{Op, Program, Tensor, TensorIndex, Window};
use crate::error::LoadError;

/// The lifetime of a tensor.
#[derive(Clone, Copy)]
struct Life {
    /// When it is written; `None` until then.
    written: Option<u32>,
    /// When it is last read, or written if it never is.
    last: u32,
    /// The tensor whose bytes these are: itself, or the origin of a chain of reshapes, which then holds the lifetime.
    root: TensorIndex,
}

/// Checks that operators read only what was written, that every tensor is written once, and that nothing is overwritten
/// while it is needed.
pub(super) fn check<const TENSORS: usize, const OPS: usize>(
    program: &Program<TENSORS, OPS>,
    packing: Packing,
) -> Result<(), LoadError> {
    let mut storage = [Life {
        written: None,
        last: 0,
        root: 0,
    }; TENSORS];
    let lives = storage.get_mut(..program.tensors.len()).unwrap_or_default();
    fill(lives, program)?;
    for (index, life) in (0..).zip(lives.iter()) {
        if life.written.is_none() {
            return Err(LoadError::NeverWritten { tensor: index });
        }
    }
    let plan = Plan {
        lives,
        tensors: &program.tensors,
        ops: &program.ops,
        packing,
    };
    plan.check_tensors()?;
    plan.check_scratch()
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
            if life.written.is_some() {
                return Err(LoadError::DuplicateInput {
                    tensor: port.tensor,
                });
            }
            life.written = Some(0);
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
            if life.written.is_some() {
                return Err(LoadError::WrittenTwice { op: index, tensor });
            }
            *life = Life {
                written: Some(now),
                last: now,
                root,
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
    reader.written?;
    let root = reader.root;
    let life = life(lives, root)?;
    life.last = life.last.max(now);
    Some(())
}

/// The complete lifetimes beside what they belong to.
struct Plan<'p> {
    lives: &'p [Life],
    tensors: &'p [Tensor],
    ops: &'p [Op],
    packing: Packing,
}

impl Plan<'_> {
    /// Tensors that own their bytes, with the time of writing and of the last read.
    fn roots(&self) -> impl Iterator<Item = (TensorIndex, &Tensor, u32, u32)> {
        (0..)
            .zip(self.lives)
            .zip(self.tensors)
            .filter(|((index, life), _)| life.root == *index)
            .map(|((index, life), tensor)| {
                // Every tensor is written by now.
                (index, tensor, life.written.unwrap_or(0), life.last)
            })
    }

    /// No tensor is written over one that is still needed.
    fn check_tensors(&self) -> Result<(), LoadError> {
        for (old, old_tensor, old_written, old_last) in self.roots() {
            for (new, new_tensor, new_written, _) in self.roots() {
                // Of two inputs, both written at time 0, the pair is looked at once.
                let later = (new_written, new) > (old_written, old);
                let needed = later && new_written <= old_last;
                if !needed || !overlap(span(old_tensor), span(new_tensor)) {
                    continue;
                }
                if new_written == old_last && self.in_place(new_written, old, new_tensor) {
                    continue;
                }
                return Err(LoadError::Overlap {
                    tensor: new,
                    other: old,
                });
            }
        }
        Ok(())
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
                let mut place = u64::from(output.offset);
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
                        .is_some_and(|(least, apart)| u64::from(apart) >= least);
                    // Depthwise kernels take some channels of all rows first: they may only meet their own.
                    let depthwise = matches!(op, Op::DepthwiseConv2d(_));
                    let own = apart.and_then(|apart| apart.checked_rem(output.c.into())) == Some(0);
                    far && (own || !depthwise)
                })
            }),
        }
    }

    /// No scratch area touches a tensor that lives while its operator runs.
    fn check_scratch(&self) -> Result<(), LoadError> {
        for (op, index) in self.ops.iter().zip(0_u16..) {
            let scratch = op.scratch();
            if scratch.bytes == 0 {
                continue;
            }
            let now = u32::from(index) + 1;
            let area = (
                u64::from(scratch.offset),
                u64::from(scratch.offset) + u64::from(scratch.bytes),
            );
            for (tensor, place, written, last) in self.roots() {
                if written <= now && now <= last && overlap(area, span(place)) {
                    return Err(LoadError::ScratchOverlap { op: index, tensor });
                }
            }
        }
        Ok(())
    }
}

/// How many bytes the output must start before an input that it is written over; `None` where it may not be.
///
/// Writing outputs over inputs that are done with is what Blacker et al. call diagonal memory optimisation ("Diagonal Memory
/// Optimisation for Machine Learning on Micro-controllers", 2020), here by rows, or by pixels where scratch holds one.
#[inline(never)]
pub(super) fn distance(op: &Op, packing: Packing, input: &Tensor, output: &Tensor) -> Option<u64> {
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
            let depth = (u64::from(window.kernel_h) - 1) * u64::from(window.dilation_h) + 1;
            let ring = packing != Packing::Mve
                && enough(packing::depthwise_scratch_bytes(window, input, output));
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
fn row_distance(input: &Tensor, window: &Window, output: &Tensor, held: u64) -> u64 {
    let row = |tensor: &Tensor| u64::from(tensor.w) * u64::from(tensor.c);
    let (input_row, output_row) = (row(input), row(output));
    let (stride, pad) = (u64::from(window.stride_h), u64::from(window.pad_top));
    (0..u64::from(output.h))
        .map(|at| {
            let first = (at * stride + held).saturating_sub(pad);
            // All rows are read: there is nothing left to overwrite.
            if first >= u64::from(input.h) && held > 0 {
                return 0;
            }
            ((at + 1) * output_row).saturating_sub(first.min(input.h.into()) * input_row)
        })
        .max()
        .unwrap_or(0)
}

/// First byte and end of a tensor in the arena.
fn span(tensor: &Tensor) -> (u64, u64) {
    (
        u64::from(tensor.offset),
        u64::from(tensor.offset) + tensor.len(),
    )
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.1 && b.0 < a.1
}
