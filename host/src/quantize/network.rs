//! A quantized network.

use super::{Encodings, NetworkError, NetworkWeights};
use crate::graph::{Graph, Node, NodeId, Op};
use crate::recipe::WeightBits;

/// A quantized network: a graph, and the integers that stand for its tensors and weights.
///
/// Whoever has the numbers can make one. Weights of the graph's own are read for their number only, but for the fake-quantized
/// simulation, which replaces them; zeros will do.
///
/// A fully connected layer by hand, `y = 1/4 x0 - 3/8 x1 + 1`, with inputs in steps of 1/2 and an output in steps of 1/4:
///
/// ```
/// use fewbit::compile::{self, Options};
/// use fewbit::graph::{Graph, Input, Linear, Node, Op};
/// use fewbit::quantize::{Encoding, Encodings, LayerWeights, Network, NetworkWeights};
/// use fewbit::recipe::WeightBits;
/// use fewbit_runtime::{Engine, Model};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut graph = Graph::new("by-hand");
/// let x = graph.add_tensor("x", vec![2]);
/// let y = graph.add_tensor("y", vec![1]);
/// graph.inputs.push(Input {
///     tensor: x,
///     source_shape: vec![2],
///     source_axes: vec![0],
/// });
/// graph.nodes.push(Node {
///     name: "layer".to_owned(),
///     op: Op::FullyConnected(Linear {
///         weights: vec![0.0; 2],
///         out_channels: 1,
///         bias: vec![0.0],
///         folded: None,
///     }),
///     inputs: vec![x],
///     output: y,
///     activation: None,
/// });
/// graph.outputs.push(y);
///
/// let input = Encoding::int8(0.5, -10);
/// let encodings = Encodings::given(&graph, |tensor| {
///     Some(if tensor == x { input } else { Encoding::int8(0.25, 5) })
/// })?;
/// // Weights 2 and -3 in steps of 1/8; the bias is 16 steps of 1/2 * 1/8.
/// let weights = NetworkWeights::given(&graph, |_| {
///     let layer = LayerWeights::from_integers(WeightBits::Int8, vec![2, -3], vec![0.125], &[16], input);
///     Some(layer)
/// })?;
/// let network = Network::new(graph, encodings, weights)?;
///
/// let compiled = compile::compile(&network, &Options::default())?;
/// let model = Model::<8, 8>::from_bytes(compiled.blob.as_bytes())?;
/// let mut arena = vec![0; model.arena_bytes()];
/// let mut engine = Engine::new(&model, &mut arena)?;
/// engine.input_mut(0).copy_from_slice(&[30, -4]);
/// engine.run();
/// // The inputs are 40 and 6 steps from 0: 2 * 40 - 3 * 6 + 16 = 78 steps of 1/16 are 19.5 steps of 1/4, and ties go up.
/// assert_eq!(engine.output(0), [20 + 5]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    graph: Graph,
    encodings: Encodings,
    weights: NetworkWeights,
}

impl Network {
    /// A network of these parts.
    ///
    /// # Errors
    /// A graph that is not sound, and encodings or weights of another graph.
    pub fn new(
        graph: Graph,
        encodings: Encodings,
        weights: NetworkWeights,
    ) -> Result<Network, NetworkError> {
        graph.validate()?;
        encodings.check(&graph)?;
        weights.check(&graph)?;
        Ok(Network {
            graph,
            encodings,
            weights,
        })
    }

    /// The graph, folded and fused.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Encoding of each of its tensors.
    pub fn encodings(&self) -> &Encodings {
        &self.encodings
    }

    /// The integers of its layers.
    pub fn weights(&self) -> &NetworkWeights {
        &self.weights
    }

    /// The parts that [`Network::new`] takes.
    pub fn into_parts(self) -> (Graph, Encodings, NetworkWeights) {
        (self.graph, self.encodings, self.weights)
    }

    /// Bytes of all weights as a blob stores them: rows of 4-bit weights, or of a depthwise convolution's taps, begin at whole bytes.
    pub fn weight_bytes(&self) -> usize {
        let bytes = |(id, node): (NodeId, &Node)| {
            let layer = self.weights.of(id)?;
            let rows = match &node.op {
                Op::Conv2d(conv) if conv.is_depthwise() => conv.linear.weights_per_channel(),
                _ => layer.scales.len(),
            };
            let row = layer.values.len() / rows.max(1);
            Some(match layer.bits {
                WeightBits::Int8 => layer.values.len(),
                WeightBits::Int4 => rows * row.div_ceil(2),
            })
        };
        self.graph.nodes.enumerate().filter_map(bytes).sum()
    }
}
