//! Which tensors may share bytes.

use super::super::program::{Concat, Lut, Op, Tensor};
use super::super::write::arena_bytes;
use super::{op, zoo};
use crate::error::LoadError;

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
