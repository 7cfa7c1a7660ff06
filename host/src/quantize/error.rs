//! Errors of quantized networks.

use crate::graph::{Graph, GraphError, NodeId, TensorId};

/// Reason why a node cannot be quantized.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("node `{node}`: {problem}")]
pub struct QuantizeError {
    /// Name of the node.
    pub node: String,
    /// Found and expected values, and a way out.
    pub problem: String,
}

/// Reason why given encodings or integers do not make a quantized network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// Encoding of a tensor.
    #[error("tensor `{tensor}`: {problem}")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// The number at fault and what is expected of it.
        problem: String,
    },
    /// The integers of a node.
    #[error("node `{node}`: {problem}")]
    Node {
        /// Name of the node.
        node: String,
        /// The number at fault and what is expected of it.
        problem: String,
    },
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl NetworkError {
    /// A problem of a tensor of `graph`.
    pub(super) fn of_tensor(graph: &Graph, id: TensorId, problem: impl Into<String>) -> Self {
        NetworkError::Tensor {
            tensor: graph.tensors[id].name.clone(),
            problem: problem.into(),
        }
    }

    /// A problem of a node of `graph`.
    pub(super) fn of_node(graph: &Graph, id: NodeId, problem: impl Into<String>) -> Self {
        NetworkError::Node {
            node: graph.nodes[id].name.clone(),
            problem: problem.into(),
        }
    }
}
