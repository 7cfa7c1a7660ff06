//! How the result depends on what lies before it: gradients by every tensor.
//!
//! A [`Tape`] holds what every tensor was in a run; walked backwards it gives, for a linear function of some tensors, the gradient by every
//! tensor and by every layer's output before its activation. Equalization and the search of ranges weigh errors by it.

mod backward;
mod sensitivity;
#[cfg(test)]
mod tests;

pub(crate) use sensitivity::{Sensitivity, coarse};

use crate::executor::{Executor, ExecutorError};
use crate::graph::{Graph, NodeId, TensorId};

/// All tensors of a run over some samples.
#[derive(Clone, Debug)]
pub(crate) struct Tape<'g> {
    graph: &'g Graph,
    samples: usize,
    /// Of every tensor its samples, one after the other, behind the activation fused into its node.
    values: Vec<Vec<f32>>,
}

/// Is shown gradients, each complete, from the network's end to its beginning.
pub(crate) trait Visitor {
    /// The gradient by a tensor, one value an element, sample after sample.
    fn tensor(&mut self, tape: &Tape<'_>, id: TensorId, gradient: &[f32]);

    /// The gradient by the output of a layer with weights, before its activation.
    fn layer(&mut self, tape: &Tape<'_>, id: NodeId, gradient: &[f32]);
}

impl<'g> Tape<'g> {
    /// Runs `samples` samples and keeps every tensor.
    pub(crate) fn record(
        executor: &Executor<'g>,
        input: &[f32],
        samples: usize,
    ) -> Result<Self, ExecutorError> {
        let graph = executor.graph();
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); graph.tensors.len()];
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

    /// Shows `visitor` the gradients of the sum over `seeds` of `seed . tensor`.
    pub(crate) fn backward(
        &self,
        seeds: impl IntoIterator<Item = (TensorId, Vec<f32>)>,
        visitor: &mut dyn Visitor,
    ) {
        let mut gradients: Vec<Option<Vec<f32>>> = vec![None; self.graph.tensors.len()];
        for (id, seed) in seeds {
            backward::add(&mut gradients[id], seed);
        }
        for (id, node) in self.graph.nodes.iter().enumerate().rev() {
            let Some(mut gradient) = gradients[node.output].take() else {
                continue;
            };
            visitor.tensor(self, node.output, &gradient);
            let channels = self.graph.tensors[node.output].channels();
            if let Some(activation) = &node.activation {
                backward::through_fused(
                    activation,
                    &self.values[node.output],
                    channels,
                    &mut gradient,
                );
            }
            if node.op.linear().is_some() {
                visitor.layer(self, id, &gradient);
            }
            for (input, gradient) in backward::inputs(self, node, gradient) {
                backward::add(&mut gradients[input], gradient);
            }
        }
        for input in &self.graph.inputs {
            if let Some(gradient) = gradients[input.tensor].take() {
                visitor.tensor(self, input.tensor, &gradient);
            }
        }
    }
}
