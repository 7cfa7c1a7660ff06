//! The walk over a tape, from the network's end to its beginning.

use super::backward;
use super::tape::Tape;
use crate::graph::{NodeId, TensorId, TensorMap};

/// Is shown gradients, each complete, from the network's end to its beginning.
pub(crate) trait Visitor {
    /// The gradient by a tensor, one value per element, sample after sample.
    fn tensor(&mut self, tape: &Tape<'_>, id: TensorId, gradient: &[f32]);

    /// The gradient by the output of a layer with weights, before its activation.
    fn layer(&mut self, tape: &Tape<'_>, id: NodeId, gradient: &[f32]);
}

impl Tape<'_> {
    /// Shows `visitor` the gradients of the sum over `seeds` of `seed . tensor`.
    pub(crate) fn backward(
        &self,
        seeds: impl IntoIterator<Item = (TensorId, Vec<f32>)>,
        visitor: &mut dyn Visitor,
    ) {
        let mut gradients: TensorMap<Option<Vec<f32>>> = self.graph().tensors.map(|_| None);
        for (id, seed) in seeds {
            backward::add(&mut gradients[id], seed);
        }
        for (id, node) in self.graph().nodes.enumerate().rev() {
            let Some(mut gradient) = gradients[node.output].take() else {
                continue;
            };
            visitor.tensor(self, node.output, &gradient);
            let channels = self.graph().tensors[node.output].channels();
            if let Some(activation) = &node.activation {
                backward::through_fused(
                    activation,
                    self.values(node.output),
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
        for input in &self.graph().inputs {
            if let Some(gradient) = gradients[input.tensor].take() {
                visitor.tensor(self, input.tensor, &gradient);
            }
        }
    }
}
