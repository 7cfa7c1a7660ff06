//! Lowering, planning and packing, one after the other.

use super::lower::{self, Lowered};
use super::options::Options;
use super::pack;
use super::plan::{self, Plan};
use crate::quantize::Network;
use crate::{Error, Stage};
use fewbit_runtime::AlignedBlob;

/// A compiled network.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Device operators of the network.
    pub lowered: Lowered,
    /// Places of its tensors in memory.
    pub plan: Plan,
    /// The packed result.
    pub blob: AlignedBlob,
}

/// Compiles a quantized network into a blob.
///
/// # Errors
/// The first node that the device's operators cannot express, or that the network exceeds the format's limits.
pub fn compile(network: &Network, options: &Options) -> Result<Compiled, Error> {
    let mut lowered = lower::lower(network).map_err(|e| Error::new(Stage::Lower, e))?;
    lowered.pack_for(options.packing);
    let plan = plan::plan(&lowered, options.packing);
    let blob = pack::pack(network.graph(), lowered.clone(), &plan, options)
        .map_err(|e| Error::new(Stage::Pack, e))?;
    Ok(Compiled {
        lowered,
        plan,
        blob,
    })
}
