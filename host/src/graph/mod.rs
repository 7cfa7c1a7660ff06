//! The float graph: what import makes, passes rewrite and lowering reads.
//!
//! Layouts are fixed here and nowhere else to be decided: activations are channels-last without the batch dimension (`[h, w, c]`;
//! one-dimensional nets have `h = 1`; vectors are `[c]`), convolution weights are OHWI, dense weights are OI.
//! Nodes are kept in topological order, every node has one output, and parameters live inside the operator that uses them.

mod activation;
mod id;
mod linear;
mod logits;
mod output;
mod shape;
mod window;

pub use activation::Activation;
pub use id::{Id, IdVec, NodeId, NodeMap, TensorId, TensorMap};
pub use linear::{BatchNorm, Linear};
pub use logits::logits;
pub use output::OutputLayout;
pub use shape::GraphError;
pub use window::Window;

/// A float network.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Name of the network, from the model file.
    pub name: String,
    /// All activation tensors.
    pub tensors: TensorMap<Tensor>,
    /// All operators, in topological order.
    pub nodes: NodeMap<Node>,
    /// The network's inputs.
    pub inputs: Vec<Input>,
    /// The network's outputs.
    pub outputs: Vec<TensorId>,
    /// Layout of each output in the model file; empty for a graph that was not imported.
    pub output_layouts: Vec<OutputLayout>,
}

/// A network input and how the model file lays it out.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The tensor, in this graph's layout.
    pub tensor: TensorId,
    /// Shape in the model file, without the batch dimension (for an image in ONNX `[c, h, w]`).
    ///
    /// A sequence `[c, l]` that is stored as `[1, l, c]` is described as `[c, 1, l]`, which has the same elements in the same order.
    pub source_shape: Vec<usize>,
    /// Axis `i` of the tensor is axis `source_axes[i]` of `source_shape`; the identity where nothing moves.
    pub source_axes: Vec<usize>,
}

/// An activation tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name in the model file, unique in the graph.
    pub name: String,
    /// Dimensions without the batch dimension.
    pub shape: Vec<usize>,
}

/// An operator with its parameters, inputs and output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name in the model file (or made from the output's), unique in the graph.
    pub name: String,
    /// Function of the node.
    pub op: Op,
    /// The tensors it reads.
    pub inputs: Vec<TensorId>,
    /// The tensor it writes.
    pub output: TensorId,
    /// A function applied to every element of the output, fused into this node.
    pub activation: Option<Activation>,
}

/// Function of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution `[h, w, in] -> [h', w', out]`; depthwise when `groups == in_channels`.
    Conv2d(Conv2d),
    /// `out = weights * flatten(in) + bias`, `[..] -> [out]`.
    FullyConnected(Linear),
    /// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` along the last axis.
    BatchNorm(BatchNorm),
    /// A function of one variable on every element.
    Activation(Activation),
    /// Sum; the second operand has the first one's shape, or one element a channel (`[1, 1, c]`, `[c]`), or one element.
    Add,
    /// Difference, operands as in [`Op::Add`].
    Sub,
    /// Product, operands as in [`Op::Add`].
    Mul,
    /// The larger of two elements, operands as in [`Op::Add`].
    Max,
    /// The smaller of two elements, operands as in [`Op::Add`].
    Min,
    /// Maximum over windows; padding never wins.
    MaxPool(Window),
    /// Mean over windows.
    AveragePool {
        /// The window.
        window: Window,
        /// Whether padding counts as zeros (`true`) or not at all.
        count_include_pad: bool,
    },
    /// Softmax over the last axis.
    Softmax,
    /// The same elements in the same order under another shape.
    Reshape,
    /// Output axis `i` is input axis `perm[i]` (no batch dimension).
    Transpose {
        /// A permutation of the axes.
        perm: Vec<usize>,
    },
    /// The inputs joined along `axis` (no batch dimension).
    Concat {
        /// Axis of the join.
        axis: usize,
    },
    /// A constant border.
    Pad {
        /// Elements before, for each axis.
        before: Vec<usize>,
        /// Elements after, for each axis.
        after: Vec<usize>,
        /// Value of the border.
        value: f32,
    },
    /// A tensor of constants; no inputs.
    Constant(Vec<f32>),
}

/// A convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Weights OHWI (`in` is `in_channels / groups`), bias, and the statistics of a folded BatchNorm.
    pub linear: Linear,
    /// Input channels.
    pub in_channels: usize,
    /// Groups.
    pub groups: usize,
    /// The window.
    pub window: Window,
}

impl Conv2d {
    /// Whether every input channel has filters of its own (the device's depthwise kernel applies).
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.groups > 1
    }
}

impl Op {
    /// Name of the operator, as messages and reports show it.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Conv2d(conv) if conv.is_depthwise() => "depthwise_conv_2d",
            Op::Conv2d(_) => "conv_2d",
            Op::FullyConnected(_) => "fully_connected",
            Op::BatchNorm(_) => "batch_norm",
            Op::Activation(activation) => activation.name(),
            Op::Add => "add",
            Op::Sub => "sub",
            Op::Mul => "mul",
            Op::Max => "max",
            Op::Min => "min",
            Op::MaxPool(_) => "max_pool",
            Op::AveragePool { .. } => "average_pool",
            Op::Softmax => "softmax",
            Op::Reshape => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Concat { .. } => "concat",
            Op::Pad { .. } => "pad",
            Op::Constant(_) => "constant",
        }
    }

    /// Weights and bias of a convolution or a fully connected layer.
    pub fn linear(&self) -> Option<&Linear> {
        match self {
            Op::Conv2d(conv) => Some(&conv.linear),
            Op::FullyConnected(linear) => Some(linear),
            _ => None,
        }
    }

    /// As [`Op::linear`], to change them.
    pub fn linear_mut(&mut self) -> Option<&mut Linear> {
        match self {
            Op::Conv2d(conv) => Some(&mut conv.linear),
            Op::FullyConnected(linear) => Some(linear),
            _ => None,
        }
    }
}

impl Tensor {
    /// Number of elements of one sample.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Size of the last axis; 1 for a scalar.
    pub fn channels(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

impl Graph {
    /// A graph without tensors, nodes, inputs and outputs.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph {
            name: name.into(),
            tensors: TensorMap::new(),
            nodes: NodeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            output_layouts: Vec::new(),
        }
    }

    /// Adds a tensor and returns its id. The caller keeps names unique (see [`Graph::unique_tensor_name`]).
    pub fn add_tensor(&mut self, name: impl Into<String>, shape: Vec<usize>) -> TensorId {
        self.tensors.push(Tensor {
            name: name.into(),
            shape,
        })
    }

    /// `base`, or `base` with a number behind it if a tensor of that name exists.
    pub fn unique_tensor_name(&self, base: &str) -> String {
        let taken = |name: &str| self.tensors.iter().any(|tensor| tensor.name == name);
        if !taken(base) {
            return base.to_owned();
        }
        (1..)
            .map(|number| format!("{base}_{number}"))
            .find(|name| !taken(name))
            .unwrap_or_else(|| base.to_owned())
    }

    /// Id of the tensor called `name`.
    pub fn tensor_by_name(&self, name: &str) -> Option<TensorId> {
        self.tensors.position(|tensor| tensor.name == name)
    }

    /// Layout of output `index` in the model file; that of its tensor if the graph was not imported.
    pub fn output_layout(&self, index: usize) -> OutputLayout {
        let tensor = || self.outputs.get(index).map(|&output| &self.tensors[output]);
        (self.output_layouts.get(index).cloned()).unwrap_or_else(|| {
            OutputLayout::as_stored(tensor().map_or(&[][..], |tensor| &tensor.shape))
        })
    }

    /// The node that writes `tensor`; `None` for an input.
    pub fn producer(&self, tensor: TensorId) -> Option<NodeId> {
        self.nodes.position(|node| node.output == tensor)
    }

    /// The nodes that read `tensor`, each once.
    pub fn consumers(&self, tensor: TensorId) -> Vec<NodeId> {
        let readers = self.nodes.enumerate();
        readers
            .filter(|(_, node)| node.inputs.contains(&tensor))
            .map(|(id, _)| id)
            .collect()
    }

    /// The only reader of `tensor`, if there is exactly one and the tensor is no output of the network.
    pub fn sole_consumer(&self, tensor: TensorId) -> Option<NodeId> {
        match self.consumers(tensor)[..] {
            [node] if !self.outputs.contains(&tensor) => Some(node),
            _ => None,
        }
    }

    /// Multiply-accumulates of one inference: products of convolutions and fully connected layers.
    pub fn macs(&self) -> u64 {
        self.nodes
            .iter()
            .filter_map(|node| {
                let linear = node.op.linear()?;
                let outputs = self.tensors[node.output].elements() as u64;
                Some(outputs * linear.weights_per_channel() as u64)
            })
            .sum()
    }

    /// Removes node `id`, letting all readers of its output read its first input instead (or, if the output is a network output
    /// and the input is not, letting the input's producer write the output).
    pub fn bypass(&mut self, id: NodeId) {
        let node = self.nodes.remove(id);
        let from = node.inputs[0];
        if self.outputs.contains(&node.output)
            && !self.outputs.contains(&from)
            && let Some(producer) = self.producer(from)
        {
            for reader in &mut self.nodes {
                replace(&mut reader.inputs, from, node.output);
            }
            self.nodes[producer].output = node.output;
        } else {
            for reader in &mut self.nodes {
                replace(&mut reader.inputs, node.output, from);
            }
            replace(&mut self.outputs, node.output, from);
        }
    }

    /// Drops tensors that nothing refers to and renumbers the rest.
    pub fn compact(&mut self) {
        let mut used = self.tensors.map(|_| false);
        let ids = self
            .nodes
            .iter()
            .flat_map(|node| node.inputs.iter().chain([&node.output]));
        for &id in ids
            .chain(self.inputs.iter().map(|input| &input.tensor))
            .chain(&self.outputs)
        {
            used[id] = true;
        }
        let mut next = 0;
        let renumbered = used.map(|&used| {
            next += usize::from(used);
            TensorId::new(next.wrapping_sub(1))
        });
        let mut keep = used.iter();
        self.tensors.retain(|_| *keep.next().unwrap_or(&false));
        for node in &mut self.nodes {
            node.inputs.iter_mut().for_each(|id| *id = renumbered[*id]);
            node.output = renumbered[node.output];
        }
        self.inputs
            .iter_mut()
            .for_each(|input| input.tensor = renumbered[input.tensor]);
        self.outputs.iter_mut().for_each(|id| *id = renumbered[*id]);
    }
}

fn replace(ids: &mut [TensorId], from: TensorId, to: TensorId) {
    for id in ids {
        if *id == from {
            *id = to;
        }
    }
}
