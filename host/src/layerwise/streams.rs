//! The values of the tensors that are still to be read, float and quantized.

use super::SingleNodeError;
use super::node::SingleNode;
use crate::dataset::Dataset;
use crate::graph::{Graph, Node, TensorId};
use crate::quantize::Encodings;

/// All samples of one tensor, one after the other, as the float network and as the quantized network compute them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    pub(super) float: Vec<f32>,
    pub(super) quantized: Vec<f32>,
}

/// The float and the quantized network side by side, node after node. A tensor's values go when its last reader has run.
pub(super) struct Streams<'g> {
    pub(super) graph: &'g Graph,
    encodings: &'g Encodings,
    pub(super) samples: usize,
    values: Vec<Pair>,
    /// Nodes that have yet to read each tensor.
    readers: Vec<usize>,
    synthetic: bool,
}

impl<'g> Streams<'g> {
    /// Starts with the calibration samples at the network's inputs.
    pub(super) fn new(
        graph: &'g Graph,
        encodings: &'g Encodings,
        calibration: &Dataset,
        synthetic: bool,
    ) -> Self {
        let mut streams = Streams {
            graph,
            encodings,
            samples: calibration.samples,
            values: vec![Pair::default(); graph.tensors.len()],
            readers: (0..graph.tensors.len())
                .map(|tensor| graph.consumers(tensor).len())
                .collect(),
            synthetic,
        };
        let mut offset = 0;
        for input in &graph.inputs {
            let elements = graph.tensors[input.tensor].elements();
            let samples = calibration.inputs.chunks_exact(calibration.elements());
            let float: Vec<f32> = samples
                .flat_map(|sample| &sample[offset..][..elements])
                .copied()
                .collect();
            let mut quantized = float.clone();
            encodings.fake_quantize(input.tensor, &mut quantized);
            streams.values[input.tensor] = Pair { float, quantized };
            offset += elements;
        }
        streams
    }

    /// Whether the samples are made up.
    pub(super) fn synthetic(&self) -> bool {
        self.synthetic
    }

    /// Values of a tensor that has been computed and is still to be read.
    pub(super) fn of(&self, tensor: TensorId) -> &Pair {
        &self.values[tensor]
    }

    /// Runs `node` on the float stream.
    pub(super) fn run_float(&self, node: &Node) -> Result<Vec<f32>, SingleNodeError> {
        SingleNode::new(self.graph, node).run(self.samples, |tensor| &self.values[tensor].float)
    }

    /// Runs `node` on the quantized stream; its output is not rounded yet.
    pub(super) fn run_quantized(&self, node: &Node) -> Result<Vec<f32>, SingleNodeError> {
        SingleNode::new(self.graph, node).run(self.samples, |tensor| &self.values[tensor].quantized)
    }

    /// Takes in the output of `node`, rounding the quantized one, and drops what nobody will read any more.
    pub(super) fn finish(&mut self, node: &Node, mut output: Pair) {
        self.encodings
            .fake_quantize(node.output, &mut output.quantized);
        let mut inputs = node.inputs.clone();
        inputs.sort_unstable();
        inputs.dedup();
        for input in inputs {
            self.readers[input] -= 1;
            if self.readers[input] == 0 {
                self.values[input] = Pair::default();
            }
        }
        if self.readers[node.output] > 0 {
            self.values[node.output] = output;
        }
    }
}
