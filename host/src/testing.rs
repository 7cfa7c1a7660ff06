//! Helpers of the unit tests.

use crate::graph::{Graph, Input, Node, Op, TensorId};

pub(crate) use crate::random::Sequence;

/// Asserts that two slices differ by at most `tolerance` everywhere.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "element {index}: found {found}, expected {expected}"
        );
    }
}

/// A graph with inputs of these shapes, laid out alike in the model's file, and no nodes.
pub(crate) fn graph_of(inputs: &[&[usize]]) -> Graph {
    let mut graph = Graph::new("test");
    for shape in inputs {
        let name = graph.unique_tensor_name("input");
        let tensor = graph.add_tensor(name, shape.to_vec());
        graph.inputs.push(Input {
            tensor,
            source_shape: shape.to_vec(),
            source_axes: (0..shape.len()).collect(),
        });
    }
    graph
}

/// Appends a node, whose output becomes the graph's only one. That has the shape that the operator gives it, of a reshape or a
/// constant `shape`.
#[track_caller]
pub(crate) fn push(graph: &mut Graph, op: Op, inputs: &[TensorId], shape: &[usize]) -> TensorId {
    let name = graph.unique_tensor_name(op.kind());
    let output = graph.add_tensor(name.clone(), shape.to_vec());
    let node = graph.nodes.push(Node {
        name,
        op,
        inputs: inputs.to_vec(),
        output,
        activation: None,
    });
    graph.tensors[output].shape = graph.output_shape(&graph.nodes[node]).expect("fits");
    graph.outputs = vec![output];
    output
}
