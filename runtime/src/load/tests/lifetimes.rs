//! Which tensors may share bytes, and how often they are compared.

use super::super::Model;
use super::super::in_place::row_distance;
use super::small::{POINT, add, conv, load, lut, max_pool, parts, reshape, tensor};
use super::{Metadata, op, zoo};
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::place::WeightsOffset;
use crate::format::program::{Add, Concat, Constant, Lut, Op, Port, Scratch, Tensor, Window};
use crate::format::write::{ProgramParts, arena_bytes, assemble};
use crate::limits::CHECK_FACTOR;

/// A model that negates by table, joins and adds, with its tensors at the given places.
fn joined(offsets: [u32; 5], axis: u8) -> Result<(), LoadError> {
    let mut p = zoo();
    let table = op!(p, 7, Lut).table;
    let [h, w] = if axis == 0 { [2, 1] } else { [1, 2] };
    let shapes = [[1, 1, 8], [1, 1, 8], [1, 1, 8], [h, w, 8], [h, w, 8]];
    p.program.tensors = offsets
        .into_iter()
        .zip(shapes)
        .map(|(offset, s)| Tensor::int8(offset, s, 0))
        .collect();
    p.program.inputs[0].tensor = 0;
    p.program.outputs[0].tensor = 4;
    let inputs = heapless::Vec::from_slice(&[1, 2]).unwrap();
    p.program.ops = vec![
        Op::Lut(Lut {
            input: 0,
            output: 1,
            table,
        }),
        Op::Lut(Lut {
            input: 0,
            output: 2,
            table,
        }),
        Op::Concat(Concat {
            inputs,
            output: 3,
            axis,
        }),
        Op::Lut(Lut {
            input: 3,
            output: 4,
            table,
        }),
    ];
    p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
    p.load()
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn operators_work_in_place_only_where_kernels_can() {
    // Everything apart; then the second lut over its input, and the last.
    assert_eq!(joined([0, 8, 16, 32, 64], 0), Ok(()));
    assert_eq!(joined([0, 8, 0, 32, 32], 0), Ok(()));
    // The first lut's input is still needed; another place than the input's is not in place.
    assert_eq!(
        joined([0, 0, 16, 32, 64], 0),
        Err(LoadError::Overlap {
            tensor: 1,
            other: 0
        })
    );
    assert_eq!(
        joined([0, 16, 4, 32, 64], 0),
        Err(LoadError::Overlap {
            tensor: 2,
            other: 0
        })
    );
    assert_eq!(
        joined([0, 8, 16, 32, 33], 0),
        Err(LoadError::Overlap {
            tensor: 4,
            other: 3
        })
    );
    // A concat's inputs may lie where they belong, in either outermost axis, and nowhere else in its output.
    assert_eq!(joined([0, 16, 24, 16, 64], 0), Ok(()));
    assert_eq!(joined([0, 16, 24, 16, 64], 1), Ok(()));
    assert_eq!(
        joined([0, 24, 16, 16, 64], 0),
        Err(LoadError::Overlap {
            tensor: 3,
            other: 1
        })
    );
    assert_eq!(
        joined([0, 16, 20, 16, 64], 0),
        Err(LoadError::Overlap {
            tensor: 2,
            other: 1
        })
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn inputs_are_all_there_before_the_first_operator() {
    let line = |offset| tensor(offset, [1, 1, 8]);
    // Two inputs, of which one or none is read, in any order, apart or with a byte in common.
    for (inputs, read) in [([0, 1], 0), ([1, 0], 0), ([0, 1], 1), ([1, 0], 1)] {
        let place = |a, b| {
            load(
                &[line(a), line(b), line(32)],
                &inputs,
                &[2],
                &[lut(read, 2)],
            )
        };
        assert_eq!(place(0, 8), Ok(()));
        assert_eq!(place(8, 0), Ok(()));
        // The inputs come to life in their order.
        let refused = Err(LoadError::Overlap {
            tensor: inputs[1],
            other: inputs[0],
        });
        for (a, b) in [(0, 0), (0, 7), (7, 0)] {
            assert_eq!(place(a, b), refused, "{a} {b}");
        }
        let constant = Op::Constant(Constant {
            output: 2,
            data: WeightsOffset::new(0),
        });
        let unread = load(&[line(0), line(7), line(32)], &inputs, &[2], &[constant]);
        assert_eq!(unread, refused);
    }
    // One that no operator reads may be written over by the first.
    let unread = |y| load(&[line(0), line(16), line(y)], &[0, 1], &[2], &[lut(1, 2)]);
    assert_eq!(unread(0), Ok(()));
    assert_eq!(unread(3), Ok(()));
    let pool = |y| {
        let tensors = [line(16), line(0), line(y)];
        load(&tensors, &[0, 1], &[2], &[max_pool(1, 2, POINT)])
    };
    assert_eq!(pool(16), Ok(()));
    assert_eq!(pool(19), Ok(()));
    // An input is written before the first operator's output, whatever its number.
    let backwards = load(&[line(3), line(0)], &[1], &[0], &[lut(1, 0)]);
    assert_eq!(
        backwards,
        Err(LoadError::Overlap {
            tensor: 0,
            other: 1
        })
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_model_output_is_kept_to_the_end() {
    let line = |offset| tensor(offset, [1, 1, 8]);
    let ops = [lut(0, 1), lut(1, 2), lut(2, 3)];
    let place =
        |b, y, outputs: &[u16]| load(&[line(0), line(16), line(b), line(y)], &[0], outputs, &ops);
    let refused = |tensor| Err(LoadError::Overlap { tensor, other: 1 });
    assert_eq!(place(32, 48, &[1, 3]), Ok(()));
    // Tensor 1 is read by operator 1 for the last time: over it, in its place or later.
    assert_eq!(place(16, 48, &[3]), Ok(()));
    assert_eq!(place(32, 16, &[3]), Ok(()));
    assert_eq!(place(32, 20, &[3]), Ok(()));
    // Not if it is an output.
    assert_eq!(place(16, 48, &[1, 3]), refused(2));
    assert_eq!(place(32, 16, &[1, 3]), refused(3));
    assert_eq!(place(32, 9, &[3, 1]), refused(3));
    assert_eq!(place(32, 24, &[3, 1]), Ok(()));
    // An output that nothing writes.
    let none = load(&[line(0), line(16)], &[0], &[1], &[]);
    assert_eq!(none, Err(LoadError::NeverWritten { tensor: 1 }));
    // An input may be an output as well; then it is kept too.
    let both = |y| load(&[line(0), line(y)], &[0], &[0, 1], &[lut(0, 1)]);
    assert_eq!(both(8), Ok(()));
    assert_eq!(
        both(0),
        Err(LoadError::Overlap {
            tensor: 1,
            other: 0
        })
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_reshape_and_its_input_are_one_tensor() {
    let line = |offset| tensor(offset, [1, 1, 8]);
    let square = |offset| tensor(offset, [2, 2, 2]);
    // 0 is reshaped to 1 and that to 2, which is read last; 3 is written in between.
    let place = |y, outputs: &[u16]| {
        let tensors = [line(0), square(0), line(0), square(y), line(64)];
        let ops = [reshape(0, 1), reshape(1, 2), lut(1, 3), lut(2, 4)];
        load(&tensors, &[0], outputs, &ops)
    };
    let refused = Err(LoadError::Overlap {
        tensor: 3,
        other: 0,
    });
    assert_eq!(place(8, &[3, 4]), Ok(()));
    assert_eq!(place(0, &[3, 4]), refused);
    assert_eq!(place(7, &[3, 4]), refused);
    // The last reader may write over all of them, unless one is an output.
    let last = |outputs: &[u16]| {
        let tensors = [line(0), square(0), line(0), line(0)];
        load(
            &tensors,
            &[0],
            outputs,
            &[reshape(0, 1), reshape(1, 2), lut(2, 3)],
        )
    };
    assert_eq!(last(&[3]), Ok(()));
    for outputs in [[0, 3], [1, 3], [3, 2]] {
        assert_eq!(last(&outputs), refused, "{outputs:?}");
    }
    // Numbers that fall along the chain.
    let tensors = [square(0), line(0), square(0), line(16)];
    let ops = [reshape(2, 1), reshape(1, 0), lut(1, 3)];
    assert_eq!(load(&tensors, &[2], &[3], &ops), Ok(()));
    let tensors = [square(0), line(0), square(0), line(7)];
    assert_eq!(
        load(&tensors, &[2], &[3], &ops),
        Err(LoadError::Overlap {
            tensor: 3,
            other: 2
        })
    );
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn scratch_touches_nothing_that_lives_while_its_operator_runs() {
    let line = |offset| tensor(offset, [1, 1, 8]);
    // Tensor 1 is read for the last time before operator 1, and tensor 4 is written after it.
    let place = |offset, bytes| {
        let mut layer = conv(2, 3, POINT);
        layer.scratch = Scratch { offset, bytes };
        let tensors = [line(0), line(16), line(32), line(48), line(64), line(80)];
        let ops = [
            Op::Add(add(0, 1, 2)),
            Op::Conv2d(layer),
            Op::Add(add(3, 0, 4)),
            lut(4, 5),
        ];
        load(&tensors, &[0, 1], &[5], &ops)
    };
    let refused = |tensor| Err(LoadError::ScratchOverlap { op: 1, tensor });
    assert_eq!(place(16, 8), Ok(()));
    assert_eq!(place(64, 24), Ok(()));
    assert_eq!(place(8, 24), Ok(()));
    assert_eq!(place(40, 8), Ok(()));
    // Needed later; read now; written now: a byte of each, at either end.
    for (at, tensor) in [(0, 0), (32, 2), (48, 3)] {
        assert_eq!(place(at, 1), refused(tensor));
        assert_eq!(place(at + 7, 1), refused(tensor));
        assert_eq!(place(at + 8, 1), Ok(()));
    }
    assert_eq!(place(31, 1), Ok(()));
    assert_eq!(place(31, 2), refused(2));
    // No bytes touch nothing.
    assert_eq!(place(36, 0), Ok(()));
    // Tensor 0 is an input that nothing reads: free from the first operator on.
    let mut layer = conv(1, 2, POINT);
    layer.scratch = Scratch {
        offset: 0,
        bytes: 8,
    };
    let tensors = [line(0), line(16), line(32)];
    let unread = load(&tensors, &[0, 1], &[2], &[Op::Conv2d(layer)]);
    assert_eq!(unread, Ok(()));
}

/// `count` constants that are all needed until the last one is written, and then added in pairs.
fn all_alive(count: u16) -> (AlignedBlob, u64) {
    let constants = (0..count).map(|at| {
        Op::Constant(Constant {
            output: at,
            data: WeightsOffset::new(0),
        })
    });
    // Sums of two by two, so that all are read behind the last constant.
    let sums = (0..count / 2).map(|at| {
        Op::Add(Add {
            a: 2 * at,
            b: 2 * at + 1,
            output: count + at,
            a_multiplier: 1,
            b_multiplier: 1,
            shift: 1,
            min: -128,
            max: 127,
        })
    });
    let tensors = count + count / 2;
    let mut program = ProgramParts {
        outputs: vec![Port {
            tensor: tensors - 1,
            scale_bits: 1,
        }],
        tensors: (0..tensors)
            .map(|at| Tensor::int8(at.into(), [1, 1, 1], 0))
            .collect(),
        ops: constants.chain(sums).collect(),
        ..ProgramParts::default()
    };
    program.arena_bytes = arena_bytes(&program.tensors, &program.ops);
    let blob = assemble(&program, &[0], &[], &Metadata::default()).unwrap();
    let length = blob.len() as u64;
    (AlignedBlob::new(&blob), length)
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn tensors_are_compared_up_to_a_multiple_of_the_blob() {
    type Room = Model<'static, 3000, 3000>;
    for count in [2, 100, 300, 1000, 2000] {
        let (blob, length) = all_alive(count);
        let blob: &'static AlignedBlob = Box::leak(Box::new(blob));
        let found = Room::from_bytes(blob).map(|model| {
            let compared = super::super::lifetimes::check::<crate::AllKernels, _, _>(
                model.program(),
                model.packing(),
                u32::MAX,
            );
            u64::from(compared.unwrap())
        });
        let most = CHECK_FACTOR * length;
        match found {
            Ok(compared) => {
                assert!(count <= 300, "{count}");
                // Constant `i` meets those before it and itself, and so on down, each once more as it is taken off the list.
                let expected: u64 = (1..=u64::from(count)).sum();
                assert!(compared >= expected && compared <= most, "{compared}");
            }
            Err(error) => {
                assert!(count >= 1000, "{count}: {error}");
                assert!(
                    matches!(error, LoadError::Lifetimes { limit, .. } if u64::from(limit) == most),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn each_operator_meets_what_is_alive_and_its_output() {
    let line = |at: u32| tensor(16 * at, [1, 1, 8]);
    let apart: [Tensor; 4] = core::array::from_fn(|at| line(at as u32));
    let two = [lut(0, 1), lut(1, 2), lut(2, 3)];
    let same = [line(0), line(1), line(1), line(2)];
    let reshaped = [lut(0, 1), reshape(1, 2), lut(2, 3)];
    // The input; it and 1; 0 as it is taken off the list, 1 and 2; 1, 2 and 3. A reshape's output is not one of them.
    for (tensors, ops, compared) in [(apart, two, 1 + 2 + 3 + 3), (same, reshaped, 1 + 2 + 2 + 2)] {
        let blob = AlignedBlob::new(&parts(&tensors, &[0], &[3], &ops).blob());
        let model = Model::<4, 3>::from_bytes(&blob).unwrap();
        let check = |limit| {
            super::super::lifetimes::check::<crate::AllKernels, _, _>(
                model.program(),
                model.packing(),
                limit,
            )
        };
        assert_eq!(check(u32::MAX), Ok(compared));
        assert_eq!(check(compared), Ok(compared));
        let limit = compared - 1;
        assert_eq!(check(limit), Err(LoadError::Lifetimes { op: 2, limit }));
        for limit in [0, 1] {
            assert_eq!(check(limit), Err(LoadError::Lifetimes { op: 0, limit }));
        }
    }
}

/// The same as going through all rows.
#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn the_distance_of_rows_is_that_of_the_worst_row() {
    let slow = |input: &Tensor, window: &Window, output: &Tensor, held: u64| {
        let row = |tensor: &Tensor| u64::from(tensor.w) * u64::from(tensor.c);
        let rows = 0..u64::from(output.h);
        let distance = rows.map(|at| {
            let first = at * u64::from(window.stride_h) + held;
            let first = first.saturating_sub(window.pad_top.into());
            if held > 0 && first >= u64::from(input.h) {
                return 0;
            }
            let free = first.min(input.h.into()) * row(input);
            ((at + 1) * row(output)).saturating_sub(free)
        });
        distance.max().unwrap_or(0)
    };
    let mut window = op!(zoo(), 0, Conv2d).window;
    let mut compared = 0;
    for in_h in 1..8 {
        for (in_row, out_row) in [(1, 1), (1, 5), (4, 1), (3, 2), (2, 3), (6, 5)] {
            for out_h in 1..10 {
                let input = Tensor::int8(0, [in_h, 1, in_row], 0);
                let output = Tensor::int8(0, [out_h, 1, out_row], 0);
                for (stride, pad, held) in (1..5)
                    .flat_map(|stride| (0..5).map(move |pad| (stride, pad)))
                    .flat_map(|(stride, pad)| (0..6).map(move |held| (stride, pad, held)))
                {
                    (window.stride_h, window.pad_top) = (stride, pad);
                    assert_eq!(
                        u64::from(row_distance(&input, &window, &output, held as u32)),
                        slow(&input, &window, &output, held),
                        "{in_h} rows of {in_row}, {out_h} of {out_row}, {stride} {pad} {held}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 40_000, "{compared}");
}
