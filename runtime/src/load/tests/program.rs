//! Limits of a program as a whole, the last value that is taken and the first that is not.

use super::super::Model;
use super::super::ops;
use super::super::site::Site;
use super::Parts;
use super::small::{
    POINT, add, average_pool, conv, extremum, fully_connected, load, lut, max_pool, mul, parts,
    port, single, tensor,
};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::family::Family;
use crate::format::program::{Conv2d, Op, Scratch, WeightType, Window};

/// Three lines of 8 bytes one behind the other, and two tables between them.
fn chain() -> Parts {
    let line = |offset| tensor(offset, [1, 2, 4]);
    parts(
        &[line(0), line(8), line(16)],
        &[0],
        &[2],
        &[lut(0, 1), lut(1, 2)],
    )
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_model_has_room_for_exactly_its_tensors_and_operators() {
    let blob = AlignedBlob::new(&chain().blob());
    assert!(Model::<3, 2>::from_bytes(&blob).is_ok());
    assert!(Model::<4, 3>::from_bytes(&blob).is_ok());
    let refused = LoadError::TensorCapacity {
        capacity: 2,
        found: 3,
    };
    assert_eq!(Model::<2, 2>::from_bytes(&blob).err(), Some(refused));
    let refused = LoadError::OpCapacity {
        capacity: 1,
        found: 2,
    };
    assert_eq!(Model::<3, 1>::from_bytes(&blob).err(), Some(refused));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn the_header_and_the_program_count_alike() {
    // One more or less in the header than there are, in the low byte of each count.
    for (at, change, refused) in [
        (
            52,
            1,
            LoadError::TensorCount {
                expected: 4,
                found: 3,
            },
        ),
        (
            52,
            -1,
            LoadError::TensorCount {
                expected: 2,
                found: 3,
            },
        ),
        (
            54,
            1,
            LoadError::OpCount {
                expected: 3,
                found: 2,
            },
        ),
        (
            54,
            -1,
            LoadError::OpCount {
                expected: 1,
                found: 2,
            },
        ),
        (
            56,
            1,
            LoadError::ArenaBytes {
                expected: 25,
                found: 24,
            },
        ),
        (
            56,
            -1,
            LoadError::ArenaBytes {
                expected: 23,
                found: 24,
            },
        ),
    ] {
        let mut blob = chain().blob();
        blob[at] = blob[at].wrapping_add_signed(change);
        let crc = super::checksum(&blob);
        blob[16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(super::load(&blob), Err(refused));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn the_arena_ends_where_its_last_byte_is_used() {
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = chain();
        change(&mut parts);
        parts.load()
    };
    let arena = |expected, found| Err(LoadError::ArenaBytes { expected, found });
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(with(&|p| p.program.arena_bytes = 25), arena(24, 25));
    let bounds = |tensor, arena, found| {
        Err(LoadError::TensorBounds {
            tensor,
            arena,
            found,
        })
    };
    assert_eq!(with(&|p| p.program.arena_bytes = 23), bounds(2, 23, 24));
    assert_eq!(with(&|p| p.program.arena_bytes = 15), bounds(1, 15, 16));
    let far = with(&|p| p.program.tensors[1].offset = u32::MAX);
    assert_eq!(far, bounds(1, 24, (1 << 32) + 7));
    for change in [
        (|p| p.program.tensors[1].h = 0) as fn(&mut Parts),
        |p| p.program.tensors[1].w = 0,
        |p| p.program.tensors[1].c = 0,
    ] {
        assert_eq!(with(&change), Err(LoadError::EmptyTensor { tensor: 1 }));
    }
    // No tensor, no byte.
    assert_eq!(load(&[], &[], &[], &[]), Ok(()));
    let mut none = parts(&[], &[], &[], &[]);
    none.program.arena_bytes = 1;
    assert_eq!(none.load(), arena(0, 1));

    // Scratch behind all tensors, up to the arena's end and a byte beyond.
    let scratch = |offset, bytes, arena| {
        let mut layer = conv(0, 1, POINT);
        layer.scratch = Scratch { offset, bytes };
        let tensors = [tensor(0, [1, 1, 8]), tensor(8, [1, 1, 8])];
        let mut parts = parts(&tensors, &[0], &[1], &[Op::Conv2d(layer)]);
        parts.program.arena_bytes = arena;
        parts.load()
    };
    let bounds = |found, arena| {
        Err(LoadError::ScratchBounds {
            op: 0,
            arena,
            found,
        })
    };
    assert_eq!(scratch(16, 10, 26), Ok(()));
    assert_eq!(scratch(16, 10, 27), arena(26, 27));
    assert_eq!(scratch(16, 10, 25), bounds(26, 25));
    assert_eq!(scratch(16, 1, 17), Ok(()));
    assert_eq!(scratch(u32::MAX, u32::MAX, 17), bounds(8_589_934_590, 17));
    // An area of no bytes takes none, but lies in the arena.
    assert_eq!(scratch(16, 0, 16), Ok(()));
    assert_eq!(scratch(12, 0, 16), Ok(()));
    assert_eq!(scratch(17, 0, 17), arena(16, 17));
    assert_eq!(scratch(17, 0, 16), bounds(17, 16));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn an_arena_has_a_largest_size() {
    let most = 1 << 26;
    let model = |last: u32| {
        let tensors = [tensor(0, [1, 1, 8]), tensor(last, [1, 1, 8])];
        load(&tensors, &[0], &[1], &[lut(0, 1)])
    };
    assert_eq!(model(most - 8), Ok(()));
    let refused = LoadError::ArenaLimit {
        limit: most,
        found: most + 1,
    };
    assert_eq!(model(most - 7), Err(refused));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn ports_name_tensors_and_have_positive_finite_scales() {
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = chain();
        change(&mut parts);
        parts.load()
    };
    let refused = Err(LoadError::PortTensor {
        tensors: 3,
        found: 3,
    });
    assert_eq!(with(&|p| p.program.inputs[0].tensor = 3), refused);
    assert_eq!(with(&|p| p.program.outputs[0].tensor = 3), refused);
    assert_eq!(with(&|p| p.program.outputs.push(port(1))), Ok(()));
    for (scale_bits, fits) in [
        (0, false),
        (1, true),
        (0x7F7F_FFFF, true),
        (0x7F80_0000, false),
        (0x7FC0_0000, false),
        (0x8000_0000, false),
        (0x8000_0001, false),
        (u32::MAX, false),
    ] {
        let refused = |tensor| LoadError::PortScale {
            tensor,
            found: scale_bits,
        };
        let or = |tensor| if fits { Ok(()) } else { Err(refused(tensor)) };
        let input = with(&|p| p.program.inputs[0].scale_bits = scale_bits);
        assert_eq!(input, or(0));
        let output = with(&|p| p.program.outputs[0].scale_bits = scale_bits);
        assert_eq!(output, or(2));
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn operators_name_tensors_that_are_there_and_written() {
    let result = |op: Op| {
        let tensors = [0, 8, 16].map(|offset| tensor(offset, [1, 2, 4]));
        load(&tensors, &[0], &[1], &[op, lut(0, 2)])
    };
    let index = |found| {
        Err(LoadError::TensorIndex {
            op: 0,
            tensors: 3,
            found,
        })
    };
    type Make = fn(u16, u16) -> Op;
    let makes: [Make; 9] = [
        lut,
        |x, y| Op::Conv2d(conv(x, y, POINT)),
        |x, y| {
            let mut layer = conv(x, y, POINT);
            layer.groups = 4;
            Op::DepthwiseConv2d(layer)
        },
        |x, y| max_pool(x, y, POINT),
        |x, y| Op::AveragePool(average_pool(x, y, POINT)),
        |x, y| Op::Add(add(0, x, y)),
        |x, y| Op::Mul(mul(x, 0, y)),
        |x, y| Op::Max(extremum(0, x, y)),
        |x, y| Op::Min(extremum(x, 0, y)),
    ];
    for make in makes {
        let kind = make(0, 1).kind();
        assert_eq!(result(make(0, 1)), Ok(()), "{kind}");
        for wrong in [3, u16::MAX] {
            assert_eq!(result(make(wrong, 1)), index(wrong), "{kind}");
            assert_eq!(result(make(0, wrong)), index(wrong), "{kind}");
        }
        let early = LoadError::ReadBeforeWrite { op: 0, tensor: 2 };
        assert_eq!(result(make(2, 1)), Err(early), "{kind}");
        let twice = LoadError::WrittenTwice { op: 0, tensor: 0 };
        assert_eq!(result(make(0, 0)), Err(twice), "{kind}");
        let twice = LoadError::WrittenTwice { op: 1, tensor: 2 };
        assert_eq!(result(make(0, 2)), Err(twice), "{kind}");
    }
}

/// Multiply-accumulates and all operations.
fn counts(op: &Op, input: [u16; 3], output: [u16; 3]) -> (u64, u64) {
    let tensors = [tensor(0, input), tensor(0, output)];
    let site = Site {
        tensors: &tensors,
        packing: Family::Scalar,
    };
    (ops::macs(op, &site), ops::work(op, &site))
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn work_is_what_an_operator_multiplies_or_looks_at() {
    let window = Window {
        kernel_h: 3,
        kernel_w: 5,
        ..POINT
    };
    let (input, output) = ([9, 9, 6], [7, 5, 4]);
    let written = 7 * 5 * 4;
    let layer = |groups| Conv2d {
        groups,
        ..conv(0, 1, window)
    };
    let count = |op: &Op| counts(op, input, output);
    let macs = |macs| (macs, macs);
    assert_eq!(count(&Op::Conv2d(layer(1))), macs(written * 6 * 15));
    assert_eq!(count(&Op::Conv2d(layer(2))), macs(written * 3 * 15));
    // Without groups there is none, which the loader refuses.
    assert_eq!(count(&Op::Conv2d(layer(0))), (0, written));
    assert_eq!(count(&Op::DepthwiseConv2d(layer(6))), macs(written * 15));
    let dense = Op::FullyConnected(fully_connected(0, 1));
    assert_eq!(counts(&dense, input, [1, 1, 4]), macs(9 * 9 * 6 * 4));
    let average = Op::AveragePool(average_pool(0, 1, window));
    for pool in [max_pool(0, 1, window), average] {
        assert_eq!(count(&pool), (0, written * 15));
    }
    assert_eq!(count(&lut(0, 1)), (0, written));
    // Tensors that are not there.
    assert_eq!(count(&lut(0, 2)), (0, 0));
    assert_eq!(count(&Op::Conv2d(conv(2, 1, window))), (0, written));
    assert_eq!(count(&Op::Conv2d(conv(0, 2, window))), (0, 0));
    // A window of nothing still writes.
    let nothing = Window {
        kernel_h: 0,
        ..window
    };
    assert_eq!(count(&Op::Conv2d(conv(0, 1, nothing))), (0, written));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_run_has_a_largest_number_of_operations() {
    // 2^18 outputs of 2^18 products each, and one output more.
    let model = |channels: u16| {
        let layer = Conv2d {
            window: Window {
                kernel_h: 512,
                kernel_w: 512,
                ..POINT
            },
            ..conv(0, 1, POINT)
        };
        let mut parts = single(
            &Op::Conv2d(layer),
            [1, 1, 1],
            [512, 512, channels],
            Family::Scalar,
        );
        parts.program.arena_bytes =
            crate::format::write::arena_bytes(&parts.program.tensors, &parts.program.ops);
        parts.load()
    };
    let limit = 1 << 36;
    // It fits, and is refused for its window.
    assert_eq!(model(1), Err(LoadError::Window { op: 0 }));
    let refused = LoadError::Work {
        limit,
        found: 1 << 37,
    };
    assert_eq!(model(2), Err(refused));
    // An operation above it: a table beside a pool.
    let pool = Window {
        kernel_h: 1 << 15,
        kernel_w: 1 << 15,
        ..POINT
    };
    let tensors = |last| {
        [
            tensor(0, [1, 1, 1]),
            tensor(64, [8, 8, 1]),
            tensor(256, [1, 1, last]),
        ]
    };
    let result = |last| {
        let ops = [max_pool(0, 1, pool), super::small::concat(&[1], 2, 0)];
        load(&tensors(last), &[0], &[2], &ops)
    };
    let found = (1 << 36) + 1;
    let refused = LoadError::Work { limit, found };
    assert_eq!(result(1), Err(refused));
    // No caller's limit is higher.
    let ops = [max_pool(0, 1, pool), super::small::concat(&[1], 2, 0)];
    let blob = AlignedBlob::new(&parts(&tensors(1), &[0], &[2], &ops).blob());
    let found = Model::<3, 2>::with_work_limit(&blob, u64::MAX);
    assert_eq!(found.err(), Some(refused));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn ports_of_a_model_are_told() {
    let mut parts = chain();
    parts.program.inputs[0].scale_bits = 77;
    parts.program.tensors[2].zero_point = 5;
    let blob = AlignedBlob::new(&parts.blob());
    let model = Model::<3, 2>::from_bytes(&blob).unwrap();
    assert_eq!((model.input_count(), model.output_count()), (1, 1));
    assert_eq!((model.op_count(), model.tensor_count()), (2, 3));
    let input = model.input(0).unwrap();
    assert_eq!((input.shape, input.zero_point), ([1, 2, 4], -128));
    assert_eq!((input.scale_bits, input.elements()), (77, 8));
    assert_eq!(model.output(0).unwrap().zero_point, 5);
    assert_eq!((model.input(1), model.output(1)), (None, None));
    assert_eq!(model.work(), 16);
    let mut arena = [3; 24];
    let mut engine = Engine::new(&model, &mut arena).unwrap();
    assert_eq!(engine.op_count(), 2);
    assert_eq!(engine.tensor(2), [3; 8]);
    assert!(engine.tensor(3).is_empty());
    engine.input_mut(0).fill(9);
    engine.step(1);
    assert_eq!(engine.op_output(0), [3; 8]);
    assert_eq!(engine.output(0), [0; 8]);
    engine.run();
    assert_eq!(engine.op_output(0), [0; 8]);
    assert_eq!(engine.tensor(0), [9; 8]);
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_model_may_have_up_to_four_ports_on_each_side() {
    let tensors: Vec<_> = (0..4).map(|at| tensor(24 * at, [2, 3, 4])).collect();
    for (inputs, outputs) in [(4, 4), (4, 3), (4, 2), (4, 0)] {
        let numbers: Vec<u16> = (0..4).collect();
        let blob = parts(&tensors, &numbers[..inputs], &numbers[..outputs], &[]).blob();
        let blob = AlignedBlob::new(&blob);
        let model = Model::<4, 0>::from_bytes(&blob).unwrap();
        assert_eq!(
            (model.input_count(), model.output_count()),
            (inputs, outputs)
        );
        assert_eq!(model.input(3).unwrap().elements(), 24);
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn weight_types_of_pairs_are_two() {
    let pairs = [
        WeightType::Int8,
        WeightType::Int4,
        WeightType::PairedInt8,
        WeightType::PairedInt4,
    ];
    assert_eq!(pairs.map(WeightType::is_paired), [false, false, true, true]);
}
