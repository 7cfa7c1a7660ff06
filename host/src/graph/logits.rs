//! Place at which a network's results are compared.

use super::{Graph, Op, TensorId};

/// The tensor that the result is compared at: the network's output, or what goes into its final softmax; before a reshape, for which the
/// device has no operator.
pub fn logits(graph: &Graph) -> TensorId {
    let producer = |tensor: TensorId| graph.producer(tensor).map(|node| &graph.nodes[node]);
    let output = graph.outputs[0];
    let Some(softmax) = producer(output).filter(|node| matches!(node.op, Op::Softmax)) else {
        return output;
    };
    let mut tensor = softmax.inputs[0];
    while let Some(node) = producer(tensor).filter(|node| matches!(node.op, Op::Reshape)) {
        tensor = node.inputs[0];
    }
    tensor
}
