//! A model for checks that need any blob, whatever it computes.
//!
//! Written with the runtime's own writer, so that no blob must be committed for them, or made by the host's tools.

use anyhow::{Context as _, Result};
use fewbit_runtime::{
    BlobWriter, Metadata, ProgramParts,
    format::family::Family,
    format::program::{Lut, Op, Port, Tensor},
};

/// A blob of two table operators over `size` values: it negates them, saturating, then adds 3, wrapping.
///
/// # Errors
///
/// If the writer refuses it: `size` is 0.
pub fn two_tables(size: u16) -> Result<Vec<u8>> {
    two_tables_adding(size, 3)
}

/// As [`two_tables`], with another number to add: models of equal sizes with different outputs.
///
/// # Errors
///
/// As [`two_tables`].
pub fn two_tables_adding(size: u16, number: i8) -> Result<Vec<u8>> {
    let mut writer = BlobWriter::new();
    // A table starts with the entry of -128.
    let values = || i8::MIN..=i8::MAX;
    let negate: Vec<i8> = values().map(i8::saturating_neg).collect();
    let add: Vec<i8> = values().map(|value| value.wrapping_add(number)).collect();
    let negate = writer.append_weights(&negate);
    let add = writer.append_weights(&add);
    let port = |tensor| Port {
        tensor,
        scale_bits: 1.0_f32.to_bits(),
    };
    let lut = |input, output, table| {
        Op::Lut(Lut {
            input,
            output,
            table,
        })
    };
    // All three in one place: a table may work in place.
    let tensor = Tensor::int8(0, [1, 1, size], 0);
    let parts = ProgramParts {
        arena_bytes: u32::from(size),
        inputs: vec![port(0)],
        outputs: vec![port(2)],
        tensors: vec![tensor, tensor, tensor],
        ops: vec![lut(0, 1, negate), lut(1, 2, add)],
        packing: Family::Scalar,
    };
    writer
        .finish(&parts, &Metadata::default())
        .context("the sample model is not valid")
}
