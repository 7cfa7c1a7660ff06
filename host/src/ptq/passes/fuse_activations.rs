//! Relu and Clip join the operator before them, as a clamp of its output.
//!
//! The integer kernels clamp when they requantize, so the fused function costs nothing and the tensor between the two never exists.
//! Other functions stay nodes of their own and become tables.

use super::{Pass, PassReport};
use crate::graph::{Graph, GraphError, NodeId, Op};

/// Fuses every Relu and Clip whose input nobody else reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct FuseActivations;

impl Pass for FuseActivations {
    fn name(&self) -> &'static str {
        "fuse-activations"
    }

    fn run(&self, graph: &mut Graph) -> Result<PassReport, GraphError> {
        let mut changed = 0;
        let mut place = 0;
        while place < graph.nodes.len() {
            if fuse(graph, NodeId::new(place)) {
                changed += 1;
            } else {
                place += 1;
            }
        }
        graph.compact();
        Ok(PassReport {
            pass: self.name(),
            changed,
            notes: Vec::new(),
        })
    }
}

/// Fuses node `id` into its producer and removes it, if that is possible.
fn fuse(graph: &mut Graph, id: NodeId) -> bool {
    let Op::Activation(activation) = graph.nodes[id].op.clone() else {
        return false;
    };
    let input = graph.nodes[id].inputs[0];
    let Some(producer) = graph.producer(input) else {
        return false;
    };
    let clamps = matches!(
        graph.nodes[producer].op,
        Op::Conv2d(_)
            | Op::FullyConnected(_)
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Max
            | Op::Min
            | Op::MaxPool(_)
            | Op::AveragePool { .. }
    );
    if activation.clamp_bounds(0).is_none()
        || graph.nodes[id].activation.is_some()
        || graph.nodes[producer].activation.is_some()
        || graph.sole_consumer(input) != Some(id)
        || !clamps
    {
        return false;
    }
    // The producer writes the activation's tensor from now on, so that its name (the one behind the function) survives.
    graph.nodes[producer].activation = Some(activation);
    graph.nodes[producer].output = graph.nodes[id].output;
    graph.nodes.remove(id);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, TensorId};
    use crate::testing::{graph_of, push};

    /// x + x, then relu, then sigmoid; `shared` lets the output read the sum as well.
    fn graph(shared: bool) -> Graph {
        let mut graph = graph_of(&[&[2]]);
        let sum = push(&mut graph, Op::Add, &[TensorId::new(0); 2], &[]);
        let relu = Op::Activation(Activation::Relu);
        let relu = push(&mut graph, relu, &[sum], &[]);
        push(
            &mut graph,
            Op::Activation(Activation::Sigmoid),
            &[relu],
            &[],
        );
        if shared {
            graph.outputs.push(sum);
        }
        graph
    }

    #[test]
    fn relu_joins_the_sum_and_sigmoid_stays() {
        let mut graph = graph(false);
        assert_eq!(FuseActivations.run(&mut graph).expect("runs").changed, 1);
        graph.validate().expect("valid");
        assert_eq!(graph.nodes.len(), 2);
        assert_eq!(
            graph.nodes[NodeId::new(0)].activation,
            Some(Activation::Relu)
        );
        assert_eq!(
            graph.tensors[graph.nodes[NodeId::new(0)].output].name,
            "relu"
        );
        assert_eq!(graph.tensors.len(), 3);
    }

    #[test]
    fn a_tensor_that_others_read_is_left_alone() {
        let mut graph = graph(true);
        assert_eq!(FuseActivations.run(&mut graph).expect("runs").changed, 0);
        assert_eq!(graph.nodes.len(), 3);
    }
}
