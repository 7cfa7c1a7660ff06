//! Names of the families that blobs are packed for, and packing for a board.

use anyhow::Result;
use fewbit::compile::repack::repack;
use fewbit_device::board::Board;
use fewbit_runtime::{AlignedBlob, Summary, format::family::Family};

/// Family that a blob is packed for with its processors; for a blob that runs everywhere, also the way to pack it.
pub(crate) fn described(packing: Family) -> &'static str {
    match packing {
        Family::Scalar => {
            "for any processor; on Cortex-M4, M7, M33, M55 and M85 it runs faster if `quantize --target` names the board or the processor, such as cortex-m4"
        }
        Family::Dsp => "for the kernel family `dsp`: Cortex-M4, M7 and M33",
        Family::Mve => "for the kernel family `mve`: Cortex-M55 and M85",
    }
}

/// Packs a blob that runs on any processor for the board's kernel family; `None` if it is packed already, if the runtime
/// refuses it, or if the family's order is the default one.
///
/// # Errors
///
/// As [`repack`].
pub(crate) fn packed_for(board: &Board, blob: &AlignedBlob) -> Result<Option<AlignedBlob>> {
    let packing = board.isa;
    let is_plain =
        Summary::from_bytes(blob.as_bytes()).is_ok_and(|summary| summary.packing == Family::Scalar);
    if !is_plain || packing == Family::Scalar {
        return Ok(None);
    }
    Ok(Some(repack(blob, packing)?))
}
