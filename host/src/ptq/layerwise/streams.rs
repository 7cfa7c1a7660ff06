//! The values of the tensors that are still to be read, float and quantized.

use super::adjustment::Adjustments;
use super::store::{Codes, Halves};
use super::tensors::Tensors;
use crate::dataset::Dataset;
use crate::executor::{SingleNode, SingleNodeError, block_samples, blocks};
use crate::graph::{Graph, Node, TensorId};
use crate::quantize::Encodings;
use crate::recipe::WeightBits;
use std::ops::Range;

/// The float and the quantized network side by side, node after node. A tensor's values go when its last reader has run.
pub(super) struct Streams<'g> {
    pub(super) graph: &'g Graph,
    encodings: &'g Encodings,
    pub(super) samples: usize,
    float: Tensors<'g, Halves>,
    quantized: Tensors<'g, Codes>,
    origin: Origin,
}

/// Source of samples.
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
            float: Tensors::new(graph, calibration.samples),
            quantized: Tensors::new(graph, calibration.samples),
            origin,
        };
        for (tensor, values) in calibration.by_input(graph) {
            let elements = graph.tensors[tensor].elements();
            let encoding = encodings.of(tensor);
            let (mut float, mut quantized) = (Vec::new(), Vec::new());
            for block in blocks(calibration.samples, block_samples(graph)) {
                let mut values = values[block.start * elements..block.end * elements].to_vec();
                quantized.push(Codes::new(&values, encoding));
                float.push(Halves::new(&mut values));
            }
            streams.float.set(tensor, float);
            streams.quantized.set(tensor, quantized);
        }
        streams
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Values of a tensor in the float network, sample after sample.
    pub(super) fn float(
        &self,
        tensor: TensorId,
        samples: Range<usize>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        self.float.read(tensor, samples)
    }

    /// Values `of` each sample of a tensor in the float network, sample after sample.
    pub(super) fn float_elements(
        &self,
        tensor: TensorId,
        samples: Range<usize>,
        of: Range<usize>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        self.float.read_elements(tensor, samples, of)
    }

    /// Values of a tensor in the quantized network, sample after sample.
    pub(super) fn quantized(
        &self,
        tensor: TensorId,
        samples: Range<usize>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        self.quantized.read(tensor, samples)
    }

    /// Values `of` each sample of a tensor in the quantized network, sample after sample.
    pub(super) fn quantized_elements(
        &self,
        tensor: TensorId,
        samples: Range<usize>,
        of: Range<usize>,
    ) -> Result<Vec<f32>, SingleNodeError> {
        self.quantized.read_elements(tensor, samples, of)
    }

    /// Runs `node` on the float stream and gives its output, block by block, to `take`; `change` is applied to it before it is kept.
    pub(super) fn run_float<T: Send>(
        &mut self,
        node: &Node,
        take: impl Fn(&[f32]) -> T + Sync,
        change: impl Fn(&mut [f32]) + Send + Sync + 'g,
    ) -> Result<Vec<T>, SingleNodeError> {
        self.float.run(node, take, move |mut values| {
            change(&mut values);
            Halves::new(&mut values)
        })
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
        change: impl Fn(&mut [f32]) + Send + Sync + 'g,
    ) -> Result<(), SingleNodeError> {
        let encoding = self.encodings.of(node.output);
        self.quantized.pass(node, move |mut values| {
            change(&mut values);
            Codes::new(&values, encoding)
        })
    }

    /// Runs `node`, which has no weights, on both.
    pub(super) fn run_both(&mut self, node: &Node) -> Result<(), SingleNodeError> {
        self.float
            .pass(node, |mut values| Halves::new(&mut values))?;
        self.run_quantized(node, |_| ())
    }

    /// Drops what nobody will read any more, now that `node` has run.
    pub(super) fn finish(&mut self, node: &Node) {
        self.float.finish(node);
        self.quantized.finish(node);
    }
}
