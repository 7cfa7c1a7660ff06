//! Repacking: a blob that every board runs, packed for one kernel family.
//!
//! Numbers stay as they are: only the order of weights, the scratch and the places in the arena change, so that the outputs of every
//! operator are the same bytes. The result is the blob that quantizing for that family gives.

use super::host_model::HostModel;
use super::lower::{Lowered, LoweredOp, LoweredTensor};
use super::pack::{self, PackError};
use super::plan;
use crate::graph::TensorId;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::{AlignedBlob, BlobWriter, LoadError, Metadata};

/// Packs a blob whose weights are in the default order for a kernel family; for [`Family::Scalar`] it is returned as it is.
///
/// # Errors
/// A blob that the runtime refuses, that has no metadata or that is packed already.
pub fn repack(blob: &AlignedBlob, packing: Family) -> Result<AlignedBlob, RepackError> {
    let model = Box::new(HostModel::from_bytes(blob.as_bytes())?);
    if model.packing() != Family::Scalar {
        return Err(RepackError::Packed(model.packing()));
    }
    if packing == Family::Scalar {
        return Ok(AlignedBlob::new(blob.as_bytes()));
    }
    let metadata = Metadata::from_bytes(blob.as_bytes())?.ok_or(RepackError::Metadata)?;
    let mut lowered = lowered(&model);
    lowered.pack_for(packing);
    let plan = plan::plan(&lowered, packing);
    Ok(pack::write(lowered, &plan, packing, &metadata)?)
}

/// The network of a loaded blob, as lowering gives it; names are left out.
fn lowered(model: &HostModel<'_>) -> Lowered {
    let program = model.program();
    let mut tensors: Vec<LoweredTensor> = (program.tensors.iter())
        .map(|&tensor| LoweredTensor {
            name: String::new(),
            source: TensorId::new(0),
            tensor,
            scale: 0.0,
        })
        .collect();
    for port in program.inputs.iter().chain(&program.outputs) {
        if let Some(tensor) = tensors.get_mut(usize::from(port.tensor)) {
            tensor.scale = f32::from_bits(port.scale_bits);
        }
    }
    let ops = program.ops.iter().enumerate().map(|(index, op)| LoweredOp {
        name: String::new(),
        op: op.clone(),
        macs: model.macs(index),
    });
    Lowered {
        tensors,
        ops: ops.collect(),
        sections: BlobWriter::with_sections(model.weights().to_vec(), model.params().to_vec()),
        inputs: program.inputs.iter().map(|port| port.tensor).collect(),
        outputs: program.outputs.iter().map(|port| port.tensor).collect(),
        weight_bytes: 0,
        notes: Vec::new(),
    }
}

/// Reason why a blob cannot be repacked.
#[derive(Debug, thiserror::Error)]
pub enum RepackError {
    /// The runtime refuses the blob.
    #[error("the runtime refuses the blob: {0}")]
    Load(#[from] LoadError),
    /// The blob has no names and scales.
    #[error("the blob's metadata cannot be read")]
    Metadata,
    /// The blob's weights are in the order of a family.
    #[error("the blob is packed for the kernel family `{}`; quantize it without a target to pack it for others", .0.name())]
    Packed(Family),
    /// The result cannot be written.
    #[error(transparent)]
    Pack(#[from] PackError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_model;
    use crate::import::ImportOptions;
    use crate::pipeline::{self, Calibration};
    use crate::progress::Silent;
    use crate::recipe::WeightBits;

    /// The digits network with biases and ranges from BatchNorm statistics, which takes no time.
    fn quantized(packing: Family, bits: WeightBits) -> AlignedBlob {
        let graph = default_model::graph(&ImportOptions::default()).expect("built in");
        let mut recipe = default_model::recipe().expect("built in");
        recipe.target = packing.into();
        recipe.weights.bits = bits;
        recipe.input.range = Some([0.0, 255.0]);
        let ranges = [recipe.input.real_range().expect("given")];
        let calibration = Calibration::Statistics(&ranges);
        let quantized = pipeline::quantize(&graph, calibration, &recipe, &mut Silent);
        quantized.expect("quantizes").blob
    }

    #[test]
    fn a_repacked_blob_is_the_one_that_is_quantized_for_the_family() {
        let is_direct = |plain: &AlignedBlob, packing, bits| {
            let repacked = repack(plain, packing).expect("repacks");
            assert!(
                repacked.as_bytes() == quantized(packing, bits).as_bytes(),
                "{} {bits:?}",
                packing.name()
            );
        };
        let plain = quantized(Family::Scalar, WeightBits::Int8);
        is_direct(&plain, Family::Dsp, WeightBits::Int8);
        is_direct(&plain, Family::Mve, WeightBits::Int8);
        let same = repack(&plain, Family::Scalar).expect("copies");
        assert!(same.as_bytes() == plain.as_bytes());
        let plain = quantized(Family::Scalar, WeightBits::Int4);
        is_direct(&plain, Family::Dsp, WeightBits::Int4);
    }

    #[test]
    fn a_blob_that_is_packed_or_damaged_is_refused() {
        let packed = quantized(Family::Dsp, WeightBits::Int8);
        let error = repack(&packed, Family::Mve).expect_err("packed");
        assert!(matches!(error, RepackError::Packed(Family::Dsp)), "{error}");
        let damaged = AlignedBlob::new(&packed.as_bytes()[1..]);
        assert!(matches!(
            repack(&damaged, Family::Dsp),
            Err(RepackError::Load(_))
        ));
    }
}
