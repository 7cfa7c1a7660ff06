//! Subject of a measurement.

use crate::compile::lower::Lowered;
use crate::compile::plan::Plan;
use crate::quantize::Network;

/// A quantized network with its compiled form.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Quantized network, which is also simulated in float.
    pub network: &'a Network,
    /// Device operators of the network.
    pub lowered: &'a Lowered,
    /// Places of its tensors in memory.
    pub plan: &'a Plan,
    /// The blob, aligned as for [`Simulator`](super::simulate::Simulator).
    pub blob: &'a [u8],
}
