//! Numbers of samples for steps that run them more than once.

use crate::graph::Graph;

/// Samples of a small and of a large network.
const MOST_SAMPLES: usize = 64;
const LEAST_SAMPLES: usize = 16;

/// Multiply-accumulates that they may take, forwards.
const MACS: u64 = 2_000_000_000;

/// Samples that a network is small enough for.
pub(super) fn affordable(graph: &Graph) -> usize {
    let affordable = usize::try_from(MACS / graph.macs().max(1)).unwrap_or(MOST_SAMPLES);
    affordable.clamp(LEAST_SAMPLES, MOST_SAMPLES)
}
