//! Graphs that cannot run give errors.

use super::*;
use crate::graph::NodeId;

#[test]
fn wrong_inputs_are_errors() {
    let graph = single(Op::Softmax, &[&[4]], &[]);
    let executor = Executor::new(&graph).unwrap();
    let error = executor.forward(&[0.0; 7], 2).unwrap_err();
    assert!(error.to_string().contains("7 elements"), "{error}");
    assert!(error.to_string().contains("2 samples of 4"), "{error}");
    assert!(executor.forward(&[0.0; 4], usize::MAX).is_err());
    assert_eq!(executor.forward(&[], 0).unwrap(), [0.0; 0]);
}

#[test]
fn unsound_graphs_are_errors() {
    let good = window([3, 3], [1, 1], [1, 1], [1; 4]);
    let build = |op| {
        let mut graph = graph_of(&[&[5, 5, 4]]);
        let output = graph.add_tensor("out", vec![5, 5, 4]);
        graph.nodes.push(Node {
            name: "bad".to_owned(),
            op,
            inputs: vec![TensorId::new(0)],
            output,
            activation: None,
        });
        graph.outputs = vec![output];
        graph
    };
    let problem = |graph: &Graph| Executor::new(graph).unwrap_err().to_string();
    assert!(Executor::new(&build(Op::Conv2d(conv(4, 4, 1, good)))).is_ok());

    let zero_stride = Window {
        stride: [0, 1],
        ..good
    };
    let message = problem(&build(Op::MaxPool(zero_stride)));
    assert!(
        message.contains("`bad`") && message.contains("stride"),
        "{message}"
    );
    let zero_kernel = Window {
        kernel: [0, 3],
        ..good
    };
    assert!(problem(&build(Op::MaxPool(zero_kernel))).contains("kernel"));
    let mut short = conv(4, 4, 1, good);
    short.linear.weights.pop();
    assert!(problem(&build(Op::Conv2d(short))).contains("143 weights"));
    let mut norm = BatchNorm::affine(vec![1.0; 4], vec![0.0; 4]);
    norm.mean.pop();
    assert!(problem(&build(Op::BatchNorm(norm))).contains("differ"));
    let mut outside = build(Op::Softmax);
    outside.nodes[NodeId::new(0)].inputs[0] = TensorId::new(9);
    assert!(problem(&outside).contains("tensor 9"));
    outside = build(Op::Softmax);
    outside.outputs[0] = TensorId::new(7);
    assert!(problem(&outside).contains("tensor 7"));
    let mut empty = build(Op::Softmax);
    empty
        .tensors
        .iter_mut()
        .for_each(|tensor| tensor.shape[1] = 0);
    assert!(problem(&empty).contains("elements"));
    // A window of a pool that sees nothing but padding has no maximum and no mean.
    let padding = window([2, 2], [1, 1], [1, 1], [0, 2, 0, 2]);
    let mut graph = build(Op::MaxPool(padding));
    graph.tensors[TensorId::new(1)].shape = vec![4, 8, 4];
    assert!(problem(&graph).contains("padding"));
}
