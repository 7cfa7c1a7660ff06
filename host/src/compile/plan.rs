//! The arena plan: a place for every tensor, as little memory as possible.
//!
//! A tensor lives from the operator that writes it to the last one that reads it. Tensors that may or must share their bytes (a reshape's
//! ends; an elementwise operator's output and an input that dies there) form one buffer. Buffers whose lives overlap must not
//! overlap in memory; placing them is two-dimensional packing, which is NP-hard. The planner places buffers one after the other at the lowest
//! free offset, starting from several natural orders and improving the best by random exchanges, until it meets the lower bound
//! (the largest sum of sizes that live at one time) or has tried enough. It is deterministic.
//!
//! The loader's rule [`in_place`] decides what may overlap; the planner calls it for each input of each operator. Outputs that must start
//! at one place of their input without being it element by element, as a softmax's or a join's, tie buffers together, which often makes the arena
//! larger where it is not at its largest anyway: they are used only where the plan with them is smaller than the one without.

use crate::compile::lower::Lowered;
use crate::random::Sequence;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::program::{Tensor, TensorIndex};
use fewbit_runtime::load::{InPlace, in_place};

/// Tensors start at multiples of this, so that word-wide kernels meet aligned data.
const ALIGN: usize = 4;

/// Exchanges tried when no order meets the lower bound. Networks have tens of buffers, and an attempt takes microseconds.
const EXCHANGES: usize = 4000;

/// Places of all tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Offset of each tensor in the arena.
    pub offsets: Vec<usize>,
    /// Offset of each operator's scratch; 0 for those that have none.
    pub scratch: Vec<usize>,
    /// Size of the arena in bytes.
    pub arena_bytes: usize,
    /// No plan of these buffers can be smaller.
    pub lower_bound: usize,
}

/// Tensors that share their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Buffer {
    bytes: usize,
    /// First and last step (0 is the feeding of the inputs, `i + 1` is operator `i`) at which it must hold its content.
    birth: usize,
    death: usize,
}

impl Buffer {
    fn lives_with(&self, other: &Buffer) -> bool {
        self.birth <= other.death && other.birth <= self.death
    }
}

/// The loader's rules for the inputs of each operator, in their order.
struct Rules(Vec<Vec<InPlace>>);

impl Rules {
    fn of(lowered: &Lowered, packing: Family) -> Self {
        let tensors: Vec<Tensor> = lowered.tensors.iter().map(|tensor| tensor.tensor).collect();
        let ops = lowered.ops.iter().map(|op| {
            let positions = 0..op.op.inputs().count();
            positions
                .map(|position| in_place(&op.op, position, &tensors, packing))
                .collect()
        });
        Rules(ops.collect())
    }

    /// The inputs of an operator, each with its rule.
    fn inputs(&self, lowered: &Lowered, op: usize) -> Vec<(TensorIndex, InPlace)> {
        lowered.ops[op]
            .op
            .inputs()
            .zip(self.0[op].clone())
            .collect()
    }
}

/// Plans the arena of a lowered network that is packed for a kernel family.
pub fn plan(lowered: &Lowered, packing: Family) -> Plan {
    let rules = Rules::of(lowered, packing);
    let (mut buffers, buffer_of) = buffers(lowered, &rules);
    let mut scratch_of = Vec::new();
    for (index, op) in lowered.ops.iter().enumerate() {
        let bytes = op.op.scratch().bytes as usize;
        scratch_of.push((bytes > 0).then_some(buffers.len()));
        if bytes > 0 {
            buffers.push(Buffer {
                bytes: bytes.next_multiple_of(ALIGN),
                birth: index + 1,
                death: index + 1,
            });
        }
    }
    let steps = lowered.ops.len() + 1;
    let (rows, tied) = overlaps(lowered, &rules, &buffers, &buffer_of);
    let mut bound = lower_bound(&buffers, &rows, steps);
    let mut places = search(&buffers, &rows, bound);
    let smaller = end(&buffers, &places);
    let all = [rows, tied].concat();
    let tied_bound = lower_bound(&buffers, &all, steps);
    if tied_bound < smaller {
        let tied_places = search(&buffers, &all, tied_bound);
        if end(&buffers, &tied_places) < smaller {
            (bound, places) = (tied_bound, tied_places);
        }
    }
    Plan {
        offsets: buffer_of.iter().map(|&buffer| places[buffer]).collect(),
        scratch: scratch_of
            .iter()
            .map(|buffer| buffer.map_or(0, |buffer| places[buffer]))
            .collect(),
        arena_bytes: end(&buffers, &places),
        lower_bound: bound,
    }
}

/// Groups tensors into buffers; returns the buffers and the buffer of each tensor.
fn buffers(lowered: &Lowered, rules: &Rules) -> (Vec<Buffer>, Vec<usize>) {
    let steps = lowered.ops.len();
    let mut lives: Vec<Option<Buffer>> = lowered
        .tensors
        .iter()
        .map(|tensor| {
            let bytes = tensor.tensor.bytes() as usize;
            Some(Buffer {
                bytes: bytes.next_multiple_of(ALIGN),
                birth: 0,
                death: 0,
            })
        })
        .collect();
    let mut touch = |tensor: TensorIndex, step: usize, written: bool| {
        if let Some(Some(buffer)) = lives.get_mut(usize::from(tensor)) {
            if written {
                buffer.birth = step;
            }
            buffer.death = buffer.death.max(step);
        }
    };
    for (index, op) in lowered.ops.iter().enumerate() {
        op.op
            .inputs()
            .for_each(|input| touch(input, index + 1, false));
        touch(op.op.output(), index + 1, true);
    }
    // Results must be there after the last operator; an input nobody reads still has to be fed somewhere.
    lowered
        .outputs
        .iter()
        .for_each(|&output| touch(output, steps + 1, false));

    let mut buffer_of: Vec<usize> = (0..lives.len()).collect();
    for (index, op) in lowered.ops.iter().enumerate() {
        let output = usize::from(op.op.output());
        for (input, rule) in rules.inputs(lowered, index) {
            let forced = match rule {
                InPlace::Alias => true,
                InPlace::Same => false,
                InPlace::Never | InPlace::At(_) | InPlace::Rows(_) | InPlace::Pixels { .. } => {
                    continue;
                }
            };
            let root = root(&buffer_of, usize::from(input));
            let (Some(shared), Some(own)) = (&lives[root], &lives[output]) else {
                continue;
            };
            if forced || (shared.death <= index + 1 && shared.bytes == own.bytes) {
                let merged = Buffer {
                    bytes: shared.bytes.max(own.bytes),
                    birth: shared.birth,
                    death: shared.death.max(own.death),
                };
                lives[root] = Some(merged);
                lives[output] = None;
                buffer_of[output] = root;
                break;
            }
        }
    }
    // Number the buffers that are left.
    let mut number_of = vec![0; lives.len()];
    let mut buffers = Vec::new();
    for (tensor, life) in lives.into_iter().enumerate() {
        if let Some(buffer) = life {
            number_of[tensor] = buffers.len();
            buffers.push(buffer);
        }
    }
    let buffer_of = (0..buffer_of.len())
        .map(|tensor| number_of[root(&buffer_of, tensor)])
        .collect();
    (buffers, buffer_of)
}

/// An output that may be written over a dying input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Overlap {
    input: usize,
    output: usize,
    /// Bytes that the output starts before the input, at least and in steps of `step`.
    distance: usize,
    /// 0 for any number of bytes above the distance, and [`EXACT`] for none.
    step: usize,
}

/// No number of bytes but the distance.
const EXACT: usize = usize::MAX;

impl Overlap {
    /// Bytes that the two take together, at the least.
    fn span(&self, buffers: &[Buffer]) -> usize {
        let shifted = self.distance + buffers[self.input].bytes;
        let apart = buffers[self.input].bytes + buffers[self.output].bytes;
        shifted.max(buffers[self.output].bytes).min(apart)
    }

    fn allows(&self, input: usize, output: usize) -> bool {
        input.checked_sub(output).is_some_and(|found| {
            found >= self.distance
                && (self.step == 0 || (found - self.distance).is_multiple_of(self.step))
        })
    }
}

/// Places of outputs over inputs that die with their operator: some rows before them, and at one place only.
fn overlaps(
    lowered: &Lowered,
    rules: &Rules,
    buffers: &[Buffer],
    buffer_of: &[usize],
) -> (Vec<Overlap>, Vec<Overlap>) {
    let (mut rows, mut tied) = (Vec::new(), Vec::new());
    for (index, op) in lowered.ops.iter().enumerate() {
        let output = op.op.output();
        let inputs = rules.inputs(lowered, index);
        for &(input, rule) in &inputs {
            let tensor = |index: TensorIndex| &lowered.tensors[usize::from(index)].tensor;
            let (from, to) = (
                buffer_of[usize::from(input)],
                buffer_of[usize::from(output)],
            );
            let adjacent =
                from != to && buffers[from].death == index + 1 && buffers[to].birth == index + 1;
            // One buffer at two positions cannot be at both places.
            let mut others = inputs
                .iter()
                .filter(|&&(other, _)| buffer_of[usize::from(other)] == from);
            if !adjacent || !others.all(|&(_, other)| other == rule) {
                continue;
            }
            let (distance, step, list) = match rule {
                InPlace::Rows(distance) => {
                    ((distance as usize).next_multiple_of(ALIGN), 0, &mut rows)
                }
                // Whole rows are whole pixels, and leave it to the kernels to run down the columns.
                InPlace::Pixels { distance, .. } => {
                    let row = usize::from(tensor(output).w) * usize::from(tensor(output).c);
                    ((distance as usize).next_multiple_of(row), row, &mut rows)
                }
                InPlace::At(distance) if (distance as usize).is_multiple_of(ALIGN) => {
                    (distance as usize, EXACT, &mut tied)
                }
                InPlace::At(_) | InPlace::Never | InPlace::Alias | InPlace::Same => continue,
            };
            list.push(Overlap {
                input: from,
                output: to,
                distance,
                step,
            });
        }
    }
    (rows, tied)
}

/// The largest number of bytes that are needed at one step, with every overlap used.
fn lower_bound(buffers: &[Buffer], overlaps: &[Overlap], last: usize) -> usize {
    let at = |step: usize| {
        let live = |buffer: &Buffer| (buffer.birth..=buffer.death).contains(&step);
        let sum: usize = buffers
            .iter()
            .filter(|buffer| live(buffer))
            .map(|buffer| buffer.bytes)
            .sum();
        let saved: usize = overlaps
            .iter()
            .filter(|overlap| buffers[overlap.output].birth == step)
            .map(|overlap| {
                buffers[overlap.input].bytes + buffers[overlap.output].bytes - overlap.span(buffers)
            })
            .sum();
        sum - saved
    };
    (0..=last).map(at).max().unwrap_or(0)
}

fn root(parent: &[usize], mut tensor: usize) -> usize {
    while parent[tensor] != tensor {
        tensor = parent[tensor];
    }
    tensor
}

fn search(buffers: &[Buffer], overlaps: &[Overlap], lower_bound: usize) -> Vec<usize> {
    let ids = || (0..buffers.len()).collect::<Vec<_>>();
    let life = |buffer: &Buffer| buffer.death - buffer.birth + 1;
    let mut orders = [ids(), ids(), ids(), ids()];
    orders[0].sort_by_key(|&id| std::cmp::Reverse(buffers[id].bytes));
    orders[1].sort_by_key(|&id| std::cmp::Reverse(buffers[id].bytes * life(&buffers[id])));
    orders[2].sort_by_key(|&id| {
        (
            std::cmp::Reverse(life(&buffers[id])),
            std::cmp::Reverse(buffers[id].bytes),
        )
    });
    // orders[3] stays in the order of execution.
    let placed = orders.into_iter().map(|order| {
        let places = place(buffers, overlaps, &order);
        (end(buffers, &places), order, places)
    });
    let Some((mut best, mut order, mut places)) = placed.min_by_key(|(end, ..)| *end) else {
        return Vec::new();
    };
    let mut random = Sequence::from_state(1);
    for _ in 0..EXCHANGES {
        if best <= lower_bound || buffers.len() < 2 {
            break;
        }
        let mut tried = order.clone();
        let moved = tried.remove(random.below(tried.len()));
        tried.insert(random.below(tried.len() + 1), moved);
        let tried_places = place(buffers, overlaps, &tried);
        let tried_end = end(buffers, &tried_places);
        // Equal is taken too, to walk across plateaus.
        if tried_end <= best {
            (best, order, places) = (tried_end, tried, tried_places);
        }
    }
    places
}

/// Puts buffers, in `order`, at the lowest offsets that are free for their whole life.
fn place(buffers: &[Buffer], overlaps: &[Overlap], order: &[usize]) -> Vec<usize> {
    let mut places = vec![0; buffers.len()];
    for (position, &id) in order.iter().enumerate() {
        // Those that are there at the same time, with what allows them to lie over this one.
        let others: Vec<(usize, Option<&Overlap>)> = order[..position]
            .iter()
            .filter(|&&other| buffers[other].lives_with(&buffers[id]))
            .map(|&other| {
                let joins = |overlap: &&Overlap| {
                    [
                        (overlap.input, overlap.output),
                        (overlap.output, overlap.input),
                    ]
                    .contains(&(id, other))
                };
                (other, overlaps.iter().find(joins))
            })
            .collect();
        let fits = |offset: usize| {
            others.iter().all(|&(other, overlap)| {
                let (start, end) = (places[other], places[other] + buffers[other].bytes);
                let apart = offset + buffers[id].bytes <= start || end <= offset;
                apart
                    || overlap.is_some_and(|overlap| {
                        if overlap.input == id {
                            overlap.allows(offset, start)
                        } else {
                            overlap.allows(start, offset)
                        }
                    })
            })
        };
        let candidates = others.iter().flat_map(|&(other, overlap)| {
            let (start, end) = (places[other], places[other] + buffers[other].bytes);
            let beside = overlap.and_then(|overlap| {
                if overlap.input == id {
                    Some(start + overlap.distance)
                } else {
                    start.checked_sub(overlap.distance)
                }
            });
            [Some(end), beside]
        });
        let mut candidates: Vec<usize> = candidates.flatten().chain([0]).collect();
        candidates.sort_unstable();
        // Behind all others it always fits.
        places[id] = candidates
            .into_iter()
            .find(|&offset| fits(offset))
            .unwrap_or(0);
    }
    places
}

fn end(buffers: &[Buffer], places: &[usize]) -> usize {
    let ends = buffers
        .iter()
        .zip(places)
        .map(|(buffer, place)| place + buffer.bytes);
    ends.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::lower::{LoweredOp, LoweredTensor};
    use super::*;
    use crate::graph::TensorId;
    use fewbit_runtime::format::place::ParamIndex;
    use fewbit_runtime::format::program::{Concat, MaxPool, Op, Port, Softmax, Window};
    use fewbit_runtime::format::write::arena_bytes;
    use fewbit_runtime::limits::SOFTMAX_ONE;
    use fewbit_runtime::{AlignedBlob, BlobWriter, Metadata, Model, ProgramParts};

    fn buffer(bytes: usize, birth: usize, death: usize) -> Buffer {
        Buffer {
            bytes,
            birth,
            death,
        }
    }

    fn bound(buffers: &[Buffer]) -> usize {
        let live = |step| {
            buffers
                .iter()
                .filter(move |b| (b.birth..=b.death).contains(&step))
        };
        (0..40)
            .map(|step| live(step).map(|b| b.bytes).sum())
            .max()
            .unwrap_or(0)
    }

    fn assert_disjoint(buffers: &[Buffer], places: &[usize]) {
        for a in 0..buffers.len() {
            for b in 0..a {
                let apart = places[a] + buffers[a].bytes <= places[b]
                    || places[b] + buffers[b].bytes <= places[a];
                assert!(
                    apart || !buffers[a].lives_with(&buffers[b]),
                    "{a} and {b} overlap"
                );
            }
        }
    }

    #[test]
    fn a_chain_takes_the_two_largest_neighbours() {
        let buffers = [
            buffer(100, 0, 1),
            buffer(300, 1, 2),
            buffer(200, 2, 3),
            buffer(8, 3, 4),
        ];
        let places = search(&buffers, &[], bound(&buffers));
        assert_disjoint(&buffers, &places);
        assert_eq!(end(&buffers, &places), 500);
    }

    #[test]
    fn random_buffers_never_overlap_and_stay_near_the_bound() {
        let mut random = Sequence::new(11);
        for _ in 0..200 {
            let count = 2 + (random.unit() * 20.0) as usize;
            let buffers: Vec<_> = (0..count)
                .map(|_| {
                    let birth = (random.unit() * 20.0) as usize;
                    let life = (random.unit() * random.unit() * 15.0) as usize;
                    buffer(
                        4 * (1 + (random.unit() * 100.0) as usize),
                        birth,
                        birth + life,
                    )
                })
                .collect();
            let bound = bound(&buffers);
            let places = search(&buffers, &[], bound);
            assert_disjoint(&buffers, &places);
            assert!(
                end(&buffers, &places) * 100 <= bound * 115,
                "{} over {bound}",
                end(&buffers, &places)
            );
        }
    }

    /// Plans tensors of these shapes, the first `inputs` of them model inputs and the last one the output, and has the loader check the plan.
    fn planned(shapes: &[[u16; 3]], inputs: u16, ops: &[Op]) -> Plan {
        let lowered = Lowered {
            tensors: shapes
                .iter()
                .enumerate()
                .map(|(source, shape)| LoweredTensor {
                    name: String::new(),
                    source: TensorId::new(source),
                    tensor: Tensor::int8(0, *shape, -128),
                    scale: 1.0,
                })
                .collect(),
            ops: ops
                .iter()
                .map(|op| LoweredOp {
                    name: String::new(),
                    op: op.clone(),
                    macs: 0,
                })
                .collect(),
            sections: BlobWriter::new(),
            inputs: (0..inputs).collect(),
            outputs: vec![shapes.len() as TensorIndex - 1],
            weight_bytes: 0,
            notes: Vec::new(),
        };
        let plan = plan(&lowered, Family::Scalar);
        let port = |tensor: TensorIndex| Port {
            tensor,
            scale_bits: 1,
        };
        let tensors: Vec<Tensor> = (lowered.tensors.iter().zip(&plan.offsets))
            .map(|(tensor, offset)| Tensor {
                offset: *offset as u32,
                ..tensor.tensor
            })
            .collect();
        let program = ProgramParts {
            arena_bytes: arena_bytes(&tensors, ops),
            inputs: (0..inputs).map(port).collect(),
            outputs: lowered.outputs.iter().copied().map(port).collect(),
            tensors,
            ops: ops.to_vec(),
            ..ProgramParts::default()
        };
        let table: Vec<i32> = (0..256).map(|d| SOFTMAX_ONE >> (d / 8).min(31)).collect();
        let mut sections = BlobWriter::new();
        sections.append_params(&table);
        let blob = sections
            .finish(&program, &Metadata::default())
            .expect("written");
        let blob = AlignedBlob::new(&blob);
        Model::<8, 8>::from_bytes(&blob).expect("a sound plan");
        plan
    }

    fn softmax(input: TensorIndex, output: TensorIndex) -> Op {
        Op::Softmax(Softmax {
            input,
            output,
            table: ParamIndex::new(0),
        })
    }

    fn join(inputs: &[TensorIndex], output: TensorIndex, axis: u8) -> Op {
        Op::Concat(Concat {
            inputs: inputs.iter().copied().collect(),
            output,
            axis,
        })
    }

    #[test]
    fn outputs_at_one_place_of_their_input_make_the_arena_smaller() {
        let row = [1, 1, 1000];
        assert_eq!(planned(&[row; 2], 1, &[softmax(0, 1)]).arena_bytes, 1000);
        let map = [4, 4, 8];
        let joined = |inputs: &[TensorIndex]| {
            let shapes = [map, map, [8, 4, 8]];
            planned(&shapes, 2, &[join(inputs, 2, 0)]).arena_bytes
        };
        assert_eq!(joined(&[0, 1]), 256);
        assert_eq!(joined(&[1, 0]), 256);
        // One input cannot be in both places; no one reads the other.
        assert_eq!(joined(&[1, 1]), 128 + 256);
        // Along the channels, pixels lie between pixels.
        let shapes = [map, map, [4, 4, 16]];
        let plan = planned(&shapes, 2, &[join(&[0, 1], 2, 2)]);
        assert_eq!(plan.arena_bytes, 512);
        // The second input's place is no multiple of 4; the first one's is.
        let shapes = [[3, 1, 1], [4, 1, 1], [7, 1, 1]];
        let plan = planned(&shapes, 2, &[join(&[0, 1], 2, 0)]);
        assert_eq!(plan.arena_bytes, 8 + 4);
    }

    #[test]
    fn outputs_keep_their_own_place_where_the_arena_is_no_larger_for_it() {
        // The first step takes more than the softmax with a place of its own.
        let (map, row) = ([1, 10, 40], [1, 1, 40]);
        let pool = Op::MaxPool(MaxPool {
            input: 0,
            output: 1,
            window: Window {
                kernel_h: 1,
                kernel_w: 10,
                stride_h: 1,
                stride_w: 1,
                dilation_h: 1,
                dilation_w: 1,
                pad_top: 0,
                pad_left: 0,
                pad_bottom: 0,
                pad_right: 0,
            },
            min: -128,
            max: 127,
        });
        let plan = planned(&[map, row, row], 1, &[pool, softmax(1, 2)]);
        assert_eq!(plan.arena_bytes, 440);
        assert_ne!(plan.offsets[1], plan.offsets[2]);
    }
}
