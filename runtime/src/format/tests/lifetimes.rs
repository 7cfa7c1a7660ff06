//! Which tensors may share bytes, and how often they are compared.

use super::super::CHECK_FACTOR;
use super::super::lifetimes::row_distance;
use super::super::program::{Add, Concat, Constant, Lut, Op, Port, Tensor, Window};
use super::super::write::{ProgramParts, arena_bytes, assemble};
use super::{Metadata, op, zoo};
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::read::Model;

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

/// `count` constants that are all needed until the last one is written, and then added in pairs.
fn all_alive(count: u16) -> (AlignedBlob, u64) {
    let constants = (0..count).map(|at| {
        Op::Constant(Constant {
            output: at,
            data: 0,
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

#[test]
fn tensors_are_compared_up_to_a_multiple_of_the_blob() {
    type Room = Model<'static, 3000, 3000>;
    for count in [2, 100, 300, 1000, 2000] {
        let (blob, length) = all_alive(count);
        let blob: &'static AlignedBlob = Box::leak(Box::new(blob));
        let found = Room::from_bytes(blob).map(|model| {
            let compared =
                super::super::lifetimes::check(model.program(), model.packing(), u32::MAX);
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

/// The same as going through all rows.
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
                        row_distance(&input, &window, &output, held as u32),
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
