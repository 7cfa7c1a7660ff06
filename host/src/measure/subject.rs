//! A network that is measured.

use crate::compile::lower::Lowered;
use crate::compile::plan::Plan;
use crate::quantize::Network;

/// A quantized network and what it was compiled to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The network, whose fake-quantized form is simulated.
    pub network: &'a Network,
    /// Its device operators.
    pub lowered: &'a Lowered,
    /// Their memory.
    pub plan: &'a Plan,
    /// The blob, aligned as for [`Simulator`](super::simulate::Simulator).
    pub blob: &'a [u8],
}
