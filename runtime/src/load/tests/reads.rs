//! Limits of the bytes that loading reads, and of a run's operations.
//!
//! Reads are linear in the blob, however operators share their weights; the limit of a run is the caller's.

use super::super::Model;
use super::{FULL, Metadata, zoo};
use crate::error::LoadError;
use crate::format::aligned::AlignedBlob;
use crate::format::place::{ParamIndex, WeightsOffset};
use crate::format::program::{FullyConnected, Op, Port, Requant, Scratch, Tensor, WeightType};
use crate::format::write::{ProgramParts, arena_bytes, assemble};
use crate::limits::CHECK_FACTOR;

/// Channels of every layer of [`chain`].
const CHANNELS: u16 = 256;

/// Bytes of one layer's weights, and of its biases and multipliers.
const WEIGHTS: u64 = 1 << 16;
const PARAMETERS: u64 = 2 * 4 * 256;

/// `layers` fully connected layers one after the other, layer `i` with weights from `offset(i)` on, and parameters from `first(i)` on.
fn chain(
    layers: u16,
    offset: impl Fn(u32) -> u32,
    first: impl Fn(u32) -> u32,
) -> (AlignedBlob, u64) {
    let tensor = |at: u16| Tensor::int8(u32::from(at % 2) * 256, [1, 1, CHANNELS], 0);
    let op = |at: u16| {
        let params = first(at.into());
        Op::FullyConnected(FullyConnected {
            input: at,
            output: at + 1,
            weight_type: WeightType::Int8,
            weights: WeightsOffset::new(offset(at.into())),
            bias: ParamIndex::new(params),
            requant: Requant {
                multipliers: ParamIndex::new(params + u32::from(CHANNELS)),
                pre_shift: 0,
                clamp: FULL,
            },
            scratch: Scratch::default(),
        })
    };
    let port = |tensor| Port {
        tensor,
        scale_bits: 1,
    };
    let mut program = ProgramParts {
        inputs: vec![port(0)],
        outputs: vec![port(layers)],
        tensors: (0..=layers).map(tensor).collect(),
        ops: (0..layers).map(op).collect(),
        ..ProgramParts::default()
    };
    program.arena_bytes = arena_bytes(&program.tensors, &program.ops);
    let last = u32::from(layers) - 1;
    let weights = vec![1; offset(last) as usize + WEIGHTS as usize];
    let params = vec![1; first(last) as usize + 512];
    let blob = assemble(&program, &weights, &params, &Metadata::default()).unwrap();
    let length = blob.len() as u64;
    (AlignedBlob::new(&blob), length)
}

/// Bytes that loading a chain reads, and the blob's length.
fn reads(
    layers: u16,
    offset: impl Fn(u32) -> u32,
    first: impl Fn(u32) -> u32,
) -> (Result<u64, LoadError>, u64) {
    let (blob, length) = chain(layers, offset, first);
    (Model::<301, 300>::checked_bytes(&blob), length)
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn what_is_shared_is_read_up_to_a_multiple_of_the_blob() {
    let (mut accepted, mut refused) = (0, 0);
    // The same block for all, blocks that overlap, and blocks and parameters of their own.
    let offsets: [fn(u32) -> u32; 4] = [|_| 0, |at| 16 * at, |at| 4096 * at, |at| at << 16];
    for offset in offsets {
        for first in [|_| 0, |at| 512 * at] {
            for layers in [1, 2, 15, 20, 40, 150, 300] {
                let (found, length) = reads(layers, offset, first);
                let (most, full) = (
                    CHECK_FACTOR * length,
                    u64::from(layers) * (WEIGHTS + PARAMETERS),
                );
                match found {
                    Ok(found) => {
                        accepted += 1;
                        assert_eq!(found, full);
                        assert!(found <= most, "{layers}: {found} of {length}");
                    }
                    Err(LoadError::Reads { op, limit, found }) => {
                        refused += 1;
                        assert_eq!(limit, most);
                        // At the first operator for which it is so, whose own bytes are the last that are read.
                        assert_eq!(found, (u64::from(op) + 1) * (WEIGHTS + PARAMETERS));
                        assert!(found > most && found - WEIGHTS - PARAMETERS <= most);
                    }
                    Err(error) => panic!("{layers}: {error}"),
                }
            }
        }
    }
    assert!(accepted > 20 && refused > 10, "{accepted} {refused}");
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_blob_that_shares_nothing_is_read_once() {
    let (found, length) = reads(300, |at| at << 16, |at| 512 * at);
    assert!(found.unwrap() < length, "{length}");
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_limit_of_the_callers_is_exact_and_no_higher_than_the_formats() {
    let blob = AlignedBlob::new(&zoo().blob());
    let work = super::TestModel::from_bytes(&blob).unwrap().work();
    for limit in [work, work + 1, u64::MAX] {
        assert!(super::TestModel::with_work_limit(&blob, limit).is_ok());
    }
    for limit in [0, work - 1] {
        let error = super::TestModel::with_work_limit(&blob, limit).unwrap_err();
        assert_eq!(error, LoadError::Work { limit, found: work });
        let message = error.to_string();
        assert!(
            message.contains(&limit.to_string()) && message.contains(&work.to_string()),
            "{message}"
        );
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn what_is_read_may_be_the_multiple_itself() {
    use super::small::{parts, softmax, tensor};
    const OPS: u16 = 40;
    // Forty times a table of 1024 bytes, in a blob that weights fill up to a length.
    let load = |length: usize| {
        let tensors: Vec<_> = (0..=OPS)
            .map(|at| tensor(u32::from(at % 2), [1, 1, 1]))
            .collect();
        let ops: Vec<_> = (0..OPS).map(|at| softmax(at, at + 1)).collect();
        let mut parts = parts(&tensors, &[0], &[OPS], &ops);
        parts.params.truncate(256);
        parts.weights.clear();
        parts.weights.resize(length - parts.blob().len(), 0);
        assert_eq!(parts.blob().len(), length);
        Model::<41, 40>::checked_bytes(&AlignedBlob::new(&parts.blob()))
    };
    let reads = u64::from(OPS) * 1024;
    let length = (reads / CHECK_FACTOR) as usize;
    assert_eq!(load(length), Ok(reads));
    let refused = LoadError::Reads {
        op: OPS - 1,
        limit: reads - 16 * CHECK_FACTOR,
        found: reads,
    };
    assert_eq!(load(length - 16), Err(refused));
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn clamps_are_counted_with_what_is_read() {
    use super::small::{fully_connected, single};
    use crate::format::family::Family;
    use crate::format::program::Clamp;
    let read = |clamp| {
        let mut layer = fully_connected(0, 1);
        layer.requant.clamp = clamp;
        let op = Op::FullyConnected(layer);
        let parts = single(&op, [1, 1, 5], [1, 1, 3], Family::Scalar);
        Model::<2, 1>::checked_bytes(&AlignedBlob::new(&parts.blob()))
    };
    // Weights, biases and multipliers; a range for each channel is two bytes.
    assert_eq!(read(FULL), Ok(15 + 12 + 12));
    assert_eq!(
        read(Clamp::PerChannel {
            offset: WeightsOffset::new(0)
        }),
        Ok(15 + 12 + 12 + 6)
    );
}
