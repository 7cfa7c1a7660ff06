//! Tests of what is given: numbers that make no network are refused by name.

use super::{Encoding, Encodings, LayerWeights, Network, NetworkError, NetworkWeights};
use crate::graph::{Activation, Graph, Linear, NodeId, Op, TensorId};
use crate::recipe::WeightBits;
use crate::testing::{graph_of, push};

const UNIT: Encoding = Encoding::int8(1.0, 0);

/// A layer of two inputs and two outputs, a reshape, and a softmax.
fn graph() -> Graph {
    let mut graph = graph_of(&[&[2]]);
    let linear = Linear {
        weights: vec![0.0; 4],
        out_channels: 2,
        bias: vec![0.0; 2],
        folded: None,
    };
    let layer = push(
        &mut graph,
        Op::FullyConnected(linear),
        &[TensorId::new(0)],
        &[],
    );
    let moved = push(&mut graph, Op::Reshape, &[layer], &[1, 2]);
    push(&mut graph, Op::Softmax, &[moved], &[]);
    graph
}

fn encodings(graph: &Graph, change: impl Fn(TensorId, &mut Encoding)) -> Result<Encodings, String> {
    let given = Encodings::given(graph, |tensor| {
        let mut encoding = if tensor == TensorId::new(3) {
            Encoding::SOFTMAX
        } else {
            UNIT
        };
        change(tensor, &mut encoding);
        Some(encoding)
    });
    given.map_err(|error| error.to_string())
}

fn weights(graph: &Graph, change: impl Fn(&mut LayerWeights)) -> Result<NetworkWeights, String> {
    let given = NetworkWeights::given(graph, |_| {
        let values = vec![1, -2, 127, -127];
        let mut layer =
            LayerWeights::from_integers(WeightBits::Int8, values, vec![0.5; 2], &[3, -4], UNIT);
        change(&mut layer);
        Some(layer)
    });
    given.map_err(|error| error.to_string())
}

#[test]
fn encodings_are_checked() {
    let graph = graph();
    let refused = |change: &dyn Fn(TensorId, &mut Encoding)| {
        let error = encodings(&graph, change).expect_err("refused");
        error.split(';').next().unwrap_or_default().to_owned()
    };
    assert!(encodings(&graph, |_, _| {}).is_ok());
    let missing = Encodings::given(&graph, |tensor| {
        (tensor != TensorId::new(2)).then_some(UNIT)
    });
    let name = graph.tensors[TensorId::new(2)].name.clone();
    let problem = "no encoding is given".to_owned();
    let expected = NetworkError::Tensor {
        tensor: name,
        problem,
    };
    assert_eq!(missing, Err(expected));

    let scale = |of: usize, scale: f32| {
        move |tensor: TensorId, encoding: &mut Encoding| {
            if tensor == TensorId::new(of) {
                encoding.scale = scale;
            }
        }
    };
    let input = &graph.tensors[TensorId::new(0)].name;
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        let error = refused(&scale(0, bad));
        assert!(
            error.starts_with(&format!("tensor `{input}`: its scale is ")),
            "{error}"
        );
    }
    for zero_point in [-129, 128] {
        let error = refused(&|tensor, encoding| {
            if tensor == TensorId::new(0) {
                encoding.zero_point = zero_point;
            }
        });
        assert!(error.ends_with("outside -128..=127"), "{error}");
    }
    let error = refused(&scale(2, 0.5));
    let [node, from, to] = [
        &graph.nodes[NodeId::new(1)].name,
        &graph.tensors[TensorId::new(1)].name,
        &graph.tensors[TensorId::new(2)].name,
    ];
    assert_eq!(
        error,
        format!(
            "node `{node}`: it moves bytes from `{from}` to `{to}`, which have different encodings"
        )
    );
    for (scale_of_output, suits) in [
        (1.0 / 256.0, true),
        (1.0 / 257.0, true),
        (1.0 / 524_288.0, true),
        (1.0 / 255.0, false),
        (0.003, false),
        (1.0 / 600_000.0, false),
        (f32::MIN_POSITIVE, false),
    ] {
        let found = encodings(&graph, scale(3, scale_of_output));
        assert_eq!(found.is_ok(), suits, "{scale_of_output}: {found:?}");
    }
}

#[test]
fn weights_are_checked() {
    let graph = graph();
    let refused =
        |change: &dyn Fn(&mut LayerWeights)| weights(&graph, change).expect_err("refused");
    let name = &graph.nodes[NodeId::new(0)].name;
    let given = weights(&graph, |_| {}).expect("sound");
    assert_eq!(
        given.of(NodeId::new(0)).map(|layer| layer.bias_steps(UNIT)),
        Some(vec![3, -4])
    );
    assert_eq!(given.of(NodeId::new(1)), None);
    assert_eq!(
        refused(&|layer| layer.values.truncate(3)),
        format!("node `{name}`: 3 weights are given, expected 4")
    );
    assert_eq!(
        refused(&|layer| layer.scales.push(1.0)),
        format!("node `{name}`: 3 scales are given for 2 channels")
    );
    assert_eq!(
        refused(&|layer| layer.bias.clear()),
        format!("node `{name}`: 0 biases are given for 2 channels")
    );
    assert_eq!(
        refused(&|layer| layer.values[1] = -128),
        format!("node `{name}`: the weight -128 is outside -127..=127 (int8)")
    );
    assert_eq!(
        refused(&|layer| layer.bits = WeightBits::Int4),
        format!("node `{name}`: the weight 127 is outside -7..=7 (int4)")
    );
    for scale in [0.0, -0.5, f64::NAN] {
        let error = refused(&|layer| layer.scales[1] = scale);
        assert!(error.contains("the scale of channel 1 is"), "{error}");
    }
    assert_eq!(
        refused(&|layer| layer.bias[1] = f64::INFINITY),
        format!("node `{name}`: the bias of channel 1 is not finite")
    );
    let none = NetworkWeights::given(&graph, |_| None).expect_err("refused");
    assert_eq!(
        none.to_string(),
        format!("node `{name}`: no integers are given for its weights")
    );
}

#[test]
fn parts_of_another_graph_are_refused() {
    let graph = graph();
    let parts = || {
        let encodings = encodings(&graph, |_, _| {}).expect("sound");
        (encodings, weights(&graph, |_| {}).expect("sound"))
    };
    let (encodings, weights) = parts();
    assert!(Network::new(graph.clone(), encodings, weights).is_ok());
    let mut longer = graph.clone();
    let read = longer.outputs[0];
    push(&mut longer, Op::Activation(Activation::Tanh), &[read], &[]);
    let (encodings, weights) = parts();
    let error = Network::new(longer, encodings, weights).expect_err("refused");
    assert!(
        error.to_string().ends_with("no encoding is given"),
        "{error}"
    );
    let mut other = graph_of(&[&[2]]);
    let moved = push(
        &mut other,
        Op::Activation(Activation::Tanh),
        &[TensorId::new(0)],
        &[],
    );
    push(&mut other, Op::Reshape, &[moved], &[1, 2]);
    let (encodings, weights) = parts();
    let error = Network::new(other, encodings, weights).expect_err("refused");
    assert!(
        error.to_string().ends_with("but it has no weights"),
        "{error}"
    );
}
