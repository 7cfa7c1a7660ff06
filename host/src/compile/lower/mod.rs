//! Lowering: from the float graph and its encodings to the device's operators.
//!
//! The result speaks the runtime's own types (`fewbit_runtime::Op`), with every tensor still at offset 0: places in the arena are the
//! plan's business, bytes are the packer's.
//! All shapes become `[h, w, c]`: vectors `[1, 1, c]`, sequences `[1, w, c]`, more axes are merged into `h`.
//! `docs/arithmetic.md` specifies each operator, and the derivation of its integers from the real numbers.

mod layers;
mod movement;
mod pointwise;

use crate::graph::{Activation, Graph, Node, NodeId, Op as FloatOp, TensorId, TensorMap};
use crate::quantize::{Encoding, Encodings, Network, NetworkWeights, QuantizeError};
use fewbit_runtime::BlobWriter;
use fewbit_runtime::format::family::Family;
use fewbit_runtime::format::program::{Clamp, Op, Tensor, TensorIndex};
use fewbit_runtime::load;
use fewbit_runtime::pack;

/// A network of device operators, not yet placed in memory.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The activation tensors, all at offset 0.
    pub tensors: Vec<LoweredTensor>,
    /// The operators in execution order.
    pub ops: Vec<LoweredOp>,
    /// Weights and parameters.
    pub sections: BlobWriter,
    /// Inputs of the network.
    pub inputs: Vec<TensorIndex>,
    /// Outputs of the network.
    pub outputs: Vec<TensorIndex>,
    /// Bytes of convolution and fully connected weights, as stored.
    pub weight_bytes: usize,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Lowered {
    /// Puts the weights into the order of a kernel family and reserves the scratch that its kernels need.
    pub(crate) fn pack_for(&mut self, packing: Family) {
        let tensors: Vec<Tensor> = self.tensors.iter().map(|tensor| tensor.tensor).collect();
        let mut ops: Vec<Op> = self.ops.iter().map(|op| op.op.clone()).collect();
        if packing == Family::Dsp {
            self.sections = pack::pack(packing, &mut ops, &tensors, &self.sections);
        }
        for (to, mut op) in self.ops.iter_mut().zip(ops) {
            let bytes = load::scratch_bytes(&op, &tensors, packing);
            if let Some(scratch) = op.scratch_mut() {
                // Scratch holds a window or a few rows of a tensor whose dimensions have 16 bits.
                scratch.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            }
            to.op = op;
        }
    }
}

/// A device tensor and where it comes from.
#[derive(Clone, Debug)]
pub struct LoweredTensor {
    /// Name of the float graph's tensor.
    pub name: String,
    /// Id of the float graph's tensor.
    pub source: TensorId,
    /// Shape and zero point.
    pub tensor: Tensor,
    /// Real size of one step.
    pub scale: f32,
}

/// A device operator and where it comes from.
#[derive(Clone, Debug)]
pub struct LoweredOp {
    /// Name of the float graph's node.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// Multiply-accumulates of weights and activations.
    pub macs: u64,
}

/// Lowers a network without BatchNorm whose activations are fused.
///
/// # Errors
/// The first node that the device's operators cannot express, with the limit it exceeds.
pub fn lower(network: &Network) -> Result<Lowered, QuantizeError> {
    let (graph, encodings, weights) = (network.graph(), network.encodings(), network.weights());
    let mut lowering = Lowering {
        graph,
        encodings,
        weights,
        index_of: graph.tensors.map(|_| None),
        lowered: Lowered {
            tensors: Vec::new(),
            ops: Vec::new(),
            sections: BlobWriter::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            weight_bytes: 0,
            notes: Vec::new(),
        },
    };
    for input in &graph.inputs {
        let index = lowering.new_tensor(input.tensor, "network input")?;
        lowering.lowered.inputs.push(index);
    }
    for id in graph.nodes.ids() {
        lowering.node(id)?;
    }
    for &output in &graph.outputs {
        let index = lowering.index(output);
        lowering.lowered.outputs.push(index);
    }
    debug_assert_eq!(lowering.lowered.weight_bytes, network.weight_bytes());
    Ok(lowering.lowered)
}

/// The state of a lowering.
struct Lowering<'a> {
    graph: &'a Graph,
    encodings: &'a Encodings,
    weights: &'a NetworkWeights,
    /// Device tensor of each float tensor, once it exists.
    index_of: TensorMap<Option<TensorIndex>>,
    lowered: Lowered,
}

impl Lowering<'_> {
    fn node(&mut self, id: NodeId) -> Result<(), QuantizeError> {
        let node = &self.graph.nodes[id];
        match &node.op {
            FloatOp::Conv2d(conv) => self.conv_2d(id, conv),
            FloatOp::FullyConnected(linear) => self.fully_connected(id, linear),
            FloatOp::BatchNorm(_) => Err(error(
                node,
                "a BatchNorm is left; run the pass `fold-batch-norm` first",
            )),
            FloatOp::Activation(activation) => self.lut(node, activation),
            FloatOp::Add => self.sum(node, 1.0),
            FloatOp::Sub => self.sum(node, -1.0),
            FloatOp::Mul => self.mul(node),
            FloatOp::Max => self.extremum(node, Op::Max),
            FloatOp::Min => self.extremum(node, Op::Min),
            FloatOp::MaxPool(window) => self.max_pool(node, window),
            FloatOp::AveragePool {
                window,
                count_include_pad,
            } => self.average_pool(node, window, *count_include_pad),
            FloatOp::Softmax => self.softmax(node),
            FloatOp::Reshape => self.reshape(node),
            FloatOp::Transpose { perm } => self.transpose(node, perm),
            FloatOp::Concat { axis } => self.concat(node, *axis),
            FloatOp::Pad {
                before,
                after,
                value,
            } => self.pad(node, before, after, *value),
            FloatOp::Constant(values) => self.constant(node, values),
        }
    }

    /// Device tensor of a float tensor that has been lowered; the graph is valid, so every input of a node has.
    fn index(&self, tensor: TensorId) -> TensorIndex {
        self.index_of[tensor].unwrap_or_default()
    }

    fn encoding(&self, tensor: TensorId) -> Encoding {
        self.encodings.of(tensor)
    }

    /// Device shape of a float tensor.
    fn shape(&self, tensor: TensorId) -> [usize; 3] {
        device_shape(&self.graph.tensors[tensor].shape)
    }

    /// Creates the device tensor of a float tensor.
    fn new_tensor(&mut self, source: TensorId, node: &str) -> Result<TensorIndex, QuantizeError> {
        let shape = self.shape(source);
        let index = self.push_tensor(source, shape, node)?;
        self.index_of[source] = Some(index);
        Ok(index)
    }

    /// Adds a device tensor with the encoding of `source` and any shape.
    fn push_tensor(
        &mut self,
        source: TensorId,
        shape: [usize; 3],
        node: &str,
    ) -> Result<TensorIndex, QuantizeError> {
        let encoding = self.encoding(source);
        let name = &self.graph.tensors[source].name;
        let fails = |problem: String| QuantizeError {
            node: node.to_owned(),
            problem,
        };
        let dimension = |size: usize| match u16::try_from(size) {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(fails(format!(
                "tensor `{name}` is {shape:?} on the device; every axis has to be 1 to 65535 long"
            ))),
        };
        let dimensions = [
            dimension(shape[0])?,
            dimension(shape[1])?,
            dimension(shape[2])?,
        ];
        let tensor = Tensor::int8(0, dimensions, encoding.zero_point_of_byte());
        let index = TensorIndex::try_from(self.lowered.tensors.len());
        let index =
            index.map_err(|_| fails("the network has more than 65535 tensors".to_owned()))?;
        self.lowered.tensors.push(LoweredTensor {
            name: name.clone(),
            source,
            tensor,
            scale: encoding.scale,
        });
        Ok(index)
    }

    /// The device tensor of `node`'s output, created.
    fn output(&mut self, node: &Node) -> Result<TensorIndex, QuantizeError> {
        self.new_tensor(node.output, &node.name)
    }

    fn push(&mut self, node: &Node, op: Op) {
        self.push_with_macs(node, op, 0);
    }

    fn push_with_macs(&mut self, node: &Node, op: Op, macs: u64) {
        self.lowered.ops.push(LoweredOp {
            name: node.name.clone(),
            op,
            macs,
        });
    }

    /// Range of a channel of `node`'s output in quantized units, its fused activation included.
    fn channel_bounds(&self, node: &Node, channel: usize) -> Result<(i8, i8), QuantizeError> {
        let Some(activation) = &node.activation else {
            return Ok((i8::MIN, i8::MAX));
        };
        let (min, max) = activation
            .clamp_bounds(channel)
            .ok_or_else(|| error(node, "the fused activation is not a clamp"))?;
        Ok(self.encoding(node.output).clamp_bounds(min, max))
    }

    /// Range of all channels of `node`'s output, for operators that clamp them alike.
    fn clamp_bounds(&self, node: &Node) -> Result<(i8, i8), QuantizeError> {
        match self.bounds_by_channel(node)?[..] {
            [bounds] => Ok(bounds),
            _ => Err(error(
                node,
                "clamps its channels to different bounds, which its operator cannot do on the device",
            )),
        }
    }

    fn clamp(&mut self, node: &Node) -> Result<Clamp, QuantizeError> {
        let bounds = self.bounds_by_channel(node)?;
        if let [(min, max)] = bounds[..] {
            return Ok(Clamp::PerTensor { min, max });
        }
        let bytes: Vec<i8> = bounds.iter().flat_map(|&(min, max)| [min, max]).collect();
        Ok(Clamp::PerChannel {
            offset: self.lowered.sections.append_weights(&bytes),
        })
    }

    /// The range of every channel, or one for all where they are equal.
    fn bounds_by_channel(&self, node: &Node) -> Result<Vec<(i8, i8)>, QuantizeError> {
        let channels = match node.activation {
            Some(Activation::ClipPerChannel { .. }) => self.graph.tensors[node.output].channels(),
            _ => 1,
        };
        let mut bounds = (0..channels)
            .map(|channel| self.channel_bounds(node, channel))
            .collect::<Result<Vec<_>, _>>()?;
        if bounds.iter().all(|found| *found == bounds[0]) {
            bounds.truncate(1);
        }
        Ok(bounds)
    }
}

fn error(node: &Node, problem: impl Into<String>) -> QuantizeError {
    QuantizeError {
        node: node.name.clone(),
        problem: problem.into(),
    }
}

/// A number in a field of the blob's type.
fn fit<T: TryFrom<usize>>(node: &Node, value: usize, what: &str) -> Result<T, QuantizeError> {
    T::try_from(value).map_err(|_| {
        error(
            node,
            format!(
                "{what} is {value}; the device's operator takes up to {}",
                (1_u64 << (8 * size_of::<T>()).min(63)) - 1
            ),
        )
    })
}

/// `[h, w, c]` of a shape with any number of axes.
fn device_shape(shape: &[usize]) -> [usize; 3] {
    match *shape {
        [] => [1, 1, 1],
        [c] => [1, 1, c],
        [w, c] => [1, w, c],
        [ref leading @ .., w, c] => [leading.iter().product(), w, c],
    }
}
