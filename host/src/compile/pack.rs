//! Packing: from lowered operators and their plan to the bytes of a blob.
//!
//! Equal input gives equal bytes. The runtime itself loads every packed blob once, so that no blob is written that a device
//! would refuse.

use super::host_model::{HostModel, MAX_AXES};
use super::lower::Lowered;
use super::options::Options;
use super::plan::Plan;

use crate::graph::Graph;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::program::{Port, TensorIndex};
use fewbit_runtime::{
    AlignedBlob, InputMetadata, LoadError, Metadata, OpMetadata, OutputMetadata, ProgramParts,
    TensorMetadata, WriteError,
};

/// Packs a network into a blob.
///
/// # Errors
/// If the network exceeds the format's limits.
pub fn pack(
    graph: &Graph,
    lowered: Lowered,
    plan: &Plan,
    options: &Options,
) -> Result<AlignedBlob, PackError> {
    let metadata = metadata(graph, &lowered, options);
    write(lowered, plan, options.packing, &metadata)
}

/// Writes a placed network, packed for a kernel family, into a blob.
///
/// # Errors
/// As [`pack`].
pub(crate) fn write(
    lowered: Lowered,
    plan: &Plan,
    packing: Family,
    metadata: &Metadata,
) -> Result<AlignedBlob, PackError> {
    let port = |index: &TensorIndex| Port {
        tensor: *index,
        scale_bits: lowered.tensors[usize::from(*index)].scale.to_bits(),
    };
    let mut tensors: Vec<_> = lowered.tensors.iter().map(|tensor| tensor.tensor).collect();
    for (tensor, &offset) in tensors.iter_mut().zip(&plan.offsets) {
        tensor.offset = u32::try_from(offset).map_err(|_| PackError::Arena(plan.arena_bytes))?;
    }
    let mut ops: Vec<_> = lowered.ops.into_iter().map(|op| op.op).collect();
    for (op, &offset) in ops.iter_mut().zip(&plan.scratch) {
        if let Some(scratch) = op.scratch_mut() {
            scratch.offset =
                u32::try_from(offset).map_err(|_| PackError::Arena(plan.arena_bytes))?;
        }
    }
    let program = ProgramParts {
        arena_bytes: fewbit_runtime::format::write::arena_bytes(&tensors, &ops),
        inputs: lowered.inputs.iter().map(port).collect(),
        outputs: lowered.outputs.iter().map(port).collect(),
        tensors,
        ops,
        packing,
    };
    let bytes = lowered.sections.finish(&program, metadata)?;
    let blob = AlignedBlob::new(&bytes);
    HostModel::from_bytes(blob.as_bytes())?;
    Ok(blob)
}

fn metadata(graph: &Graph, lowered: &Lowered, options: &Options) -> Metadata {
    let transform = &options.input;
    // Sizes fit: every axis of a device tensor is 16 bits wide.
    let words = |sizes: &[usize]| sizes.iter().map(|&size| size as u32).collect();
    let inputs = graph.inputs.iter().map(|input| InputMetadata {
        shape: words(&graph.tensors[input.tensor].shape),
        source_shape: words(&input.source_shape),
        source_axes: words(&input.source_axes),
        divisor_bits: transform.divisor.to_bits(),
        mean_bits: transform.mean.iter().map(|mean| mean.to_bits()).collect(),
        std_bits: transform.std.iter().map(|std| std.to_bits()).collect(),
    });
    let tensors = lowered.tensors.iter().map(|tensor| TensorMetadata {
        name: tensor.name.clone(),
        scale_bits: tensor.scale.to_bits(),
    });
    let ops = lowered.ops.iter().map(|op| OpMetadata {
        name: op.name.clone(),
    });
    // Layouts that no file has are not worth a tool's trust; those of outputs behind one are left out with it.
    let outputs = (0..graph.outputs.len()).map_while(|index| {
        let (shape, layout) = (
            &graph.tensors[graph.outputs[index]].shape,
            graph.output_layout(index),
        );
        let axes = shape.len().max(layout.shape.len());
        (axes <= MAX_AXES).then(|| OutputMetadata {
            shape: words(shape),
            source_shape: words(&layout.shape),
            order: words(&layout.order),
            batch: layout.batch.map(|axis| axis as u32),
        })
    });
    Metadata {
        name: graph.name.clone(),
        inputs: inputs.collect(),
        tensors: tensors.collect(),
        ops: ops.collect(),
        outputs: outputs.collect(),
    }
}

/// Reason why a network cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The arena exceeds 4 GB.
    #[error("the activations need an arena of {0} bytes; use a smaller input or network")]
    Arena(usize),
    /// A part exceeds the format's limits.
    #[error("the network does not fit the blob format: {0}")]
    Write(#[from] WriteError),
    /// The runtime refuses the blob.
    #[error("the runtime would refuse the network: {0}")]
    Load(#[from] LoadError),
}
