//! Values of every tensor in a run.

use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, TensorId, TensorMap};

/// All tensors of a run over some samples.
#[derive(Clone, Debug)]
pub(crate) struct Tape<'g> {
    graph: &'g Graph,
    samples: usize,
    /// Of every tensor its samples, one after the other, behind the activation fused into its node.
    values: TensorMap<Vec<f32>>,
}

impl<'g> Tape<'g> {
    /// Runs `samples` samples and keeps every tensor.
    pub(crate) fn record(
        executor: &Executor<'g>,
        input: &[f32],
        samples: usize,
    ) -> Result<Self, ExecutorError> {
        let graph = executor.graph();
        let mut values: TensorMap<Vec<f32>> = graph.tensors.map(|_| Vec::new());
        let mut keep = |id: TensorId, found: &mut [f32]| values[id].extend_from_slice(found);
        executor.run(input, samples, &mut keep)?;
        Ok(Tape {
            graph,
            samples,
            values,
        })
    }

    /// The graph that was run.
    pub(crate) fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Samples of the run.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// The values of a tensor.
    pub(crate) fn values(&self, id: TensorId) -> &[f32] {
        &self.values[id]
    }
}
