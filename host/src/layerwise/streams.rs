//! The values of the tensors that are still to be read, float and quantized.

use super::node::SingleNode;
use super::store::{Codes, Halves, Store, block_samples, blocks};
use super::{Adjustments, SingleNodeError};
use crate::dataset::Dataset;
use crate::graph::{Graph, Node, TensorId};
use crate::quantize::Encodings;
use crate::recipe::WeightBits;
use std::ops::Range;

/// The float and the quantized network side by side, node after node. A tensor's values go when its last reader has run.
pub(super) struct Streams<'g> {
    pub(super) graph: &'g Graph,
    encodings: &'g Encodings,
    pub(super) samples: usize,
    float: Vec<Store<Halves>>,
    quantized: Vec<Store<Codes>>,
    /// Nodes that have yet to read each tensor.
    readers: Vec<usize>,
    origin: Origin,
}

/// Where samples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They were given.
    Real,
    /// They are made up, after recorded distributions.
    Recorded,
    /// They are made up, and nothing is recorded.
    Unknown,
}

impl Origin {
    pub(crate) fn of(adjustments: Option<&Adjustments>) -> Origin {
        match adjustments {
            None => Origin::Real,
            Some(all) if all.iter().any(Option::is_some) => Origin::Recorded,
            Some(_) => Origin::Unknown,
        }
    }

    /// Whether what layers before got wrong on these samples is what they get wrong on others.
    ///
    /// Of made up samples it is only where errors are as large as those of 4-bit weights and distributions were recorded.
    pub(super) fn knows_errors(self, bits: WeightBits) -> bool {
        match self {
            Origin::Real => true,
            Origin::Recorded => bits == WeightBits::Int4,
            Origin::Unknown => false,
        }
    }
}

impl<'g> Streams<'g> {
    /// Starts with the calibration samples at the network's inputs.
    pub(super) fn new(
        graph: &'g Graph,
        encodings: &'g Encodings,
        calibration: &Dataset,
        origin: Origin,
    ) -> Self {
        let mut streams = Streams {
            graph,
            encodings,
            samples: calibration.samples,
            float: vec![Store::default(); graph.tensors.len()],
            quantized: vec![Store::default(); graph.tensors.len()],
            readers: (0..graph.tensors.len())
                .map(|tensor| graph.consumers(tensor).len())
                .collect(),
            origin,
        };
        for (tensor, values) in calibration.by_input(graph) {
            let elements = graph.tensors[tensor].elements();
            let encoding = encodings.of(tensor);
            for block in blocks(calibration.samples, block_samples(graph)) {
                let mut values = values[block.start * elements..block.end * elements].to_vec();
                streams.quantized[tensor]
                    .0
                    .push(Codes::new(&values, encoding));
                streams.float[tensor].0.push(Halves::new(&mut values));
            }
        }
        streams
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Values of a tensor in the float network, sample after sample.
    pub(super) fn float(&self, tensor: TensorId, samples: Range<usize>) -> Vec<f32> {
        self.float[tensor].read(samples, self.graph.tensors[tensor].elements())
    }

    /// Values of a tensor in the quantized network, sample after sample.
    pub(super) fn quantized(&self, tensor: TensorId, samples: Range<usize>) -> Vec<f32> {
        self.quantized[tensor].read(samples, self.graph.tensors[tensor].elements())
    }

    /// Runs `node` on the float stream and gives its output, block by block, to `take`, which may change it before it is kept.
    pub(super) fn run_float<T: Send>(
        &mut self,
        node: &Node,
        take: impl Fn(&mut [f32]) -> T + Sync,
    ) -> Result<Vec<T>, SingleNodeError> {
        let done = SingleNode::new(self.graph, node).run_blocks(
            self.samples,
            |tensor, samples| self.float(tensor, samples),
            |mut values| {
                let taken = take(&mut values);
                (taken, Halves::new(&mut values))
            },
        )?;
        let (taken, values) = done.into_iter().unzip();
        self.float[node.output] = Store(values);
        Ok(taken)
    }

    /// All outputs of `node` before its activation in the float network.
    pub(super) fn float_output(&self, node: &Node) -> Result<Vec<f32>, SingleNodeError> {
        let bare = Node {
            activation: None,
            ..node.clone()
        };
        let blocks = SingleNode::new(self.graph, &bare).run_blocks(
            self.samples,
            |tensor, samples| self.float(tensor, samples),
            |values| values,
        )?;
        Ok(blocks.concat())
    }

    /// Runs `node` on the quantized stream; `change` is applied to its output before that is rounded and kept.
    pub(super) fn run_quantized(
        &mut self,
        node: &Node,
        change: impl Fn(&mut [f32]) + Sync,
    ) -> Result<(), SingleNodeError> {
        let encoding = self.encodings.of(node.output);
        let values = SingleNode::new(self.graph, node).run_blocks(
            self.samples,
            |tensor, samples| self.quantized(tensor, samples),
            |mut values| {
                change(&mut values);
                Codes::new(&values, encoding)
            },
        )?;
        self.quantized[node.output] = Store(values);
        Ok(())
    }

    /// Drops what nobody will read any more, now that `node` has run.
    pub(super) fn finish(&mut self, node: &Node) {
        let mut inputs = node.inputs.clone();
        inputs.sort_unstable();
        inputs.dedup();
        for input in inputs {
            self.readers[input] -= 1;
            if self.readers[input] == 0 {
                self.drop_values(input);
            }
        }
        if self.readers[node.output] == 0 {
            self.drop_values(node.output);
        }
    }

    fn drop_values(&mut self, tensor: TensorId) {
        self.float[tensor] = Store::default();
        self.quantized[tensor] = Store::default();
    }
}
