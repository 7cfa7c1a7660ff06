//! Scale classes: channels of tensors that have to be scaled alike.
//!
//! Dividing a channel of a tensor by `s > 0` leaves the network's function alone if whoever writes the channel divides by `s` and whoever
//! reads it multiplies by `s`. Layers with weights do either for nothing. All other operators hand the scale on from input to output:
//! what is positively homogeneous (Relu, pools, sums of operands scaled alike) commutes with it, and what is not (a softmax, a sigmoid,
//! the network's inputs and outputs) fixes it at 1.

use crate::disjoint::DisjointSets;
use crate::graph::{Activation, Graph, Node, NodeId, Op, TensorId, TensorMap};

/// One class and the layers that take up its scale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Channels `(tensor, channel)` that are divided by the scale.
    pub channels: Vec<(TensorId, usize)>,
    /// Rows `(node, output channel)` that are divided by it.
    pub rows: Vec<(NodeId, usize)>,
    /// Columns `(node, input channel)` that are multiplied by it.
    pub columns: Vec<(NodeId, usize)>,
}

/// Channels that meet in a sum, a maximum or a minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// They are scaled, all of them alike.
    Scaled,
    /// They keep their scale.
    Kept,
}

/// The classes of a graph that are free to choose, and which class each channel is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The free classes.
    pub free: Vec<Class>,
    /// Place in `free` of every channel of every tensor; `None` where the scale is fixed at 1.
    pub of: TensorMap<Vec<Option<usize>>>,
}

impl Classes {
    /// The classes of a graph whose BatchNorms are folded.
    pub fn of(graph: &Graph, sums: Sums) -> Classes {
        let mut sets = Sets::new(graph);
        for input in &graph.inputs {
            sets.fix(input.tensor);
        }
        for &output in &graph.outputs {
            sets.fix(output);
        }
        for node in &graph.nodes {
            sets.constrain(graph, node);
            if sums == Sums::Kept && matches!(node.op, Op::Add | Op::Sub | Op::Max | Op::Min) {
                sets.fix(node.output);
            }
        }
        sets.classes(graph)
    }
}

/// Disjoint sets of channels.
struct Sets {
    /// Number of channel 0 of each tensor.
    first: TensorMap<usize>,
    /// Channels of each tensor.
    channels: TensorMap<usize>,
    sets: DisjointSets,
    /// Of a root: whether the set's scale is 1.
    fixed: Vec<bool>,
}

impl Sets {
    fn new(graph: &Graph) -> Sets {
        let channels = graph.tensors.map(|tensor| tensor.channels());
        let mut total = 0;
        let first = channels.map(|channels| {
            total += channels;
            total - channels
        });
        Sets {
            first,
            channels,
            sets: DisjointSets::new(total),
            fixed: vec![false; total],
        }
    }

    /// Channel `a.1` of tensor `a.0` has the scale of channel `b.1` of tensor `b.0`.
    fn join(&mut self, a: (TensorId, usize), b: (TensorId, usize)) {
        let (a, b) = (self.first[a.0] + a.1, self.first[b.0] + b.1);
        let (kept, gone) = self.sets.join(a, b);
        self.fixed[kept] |= self.fixed[gone];
    }

    /// Tensors with as many channels, each channel joined to its counterpart.
    fn join_all(&mut self, a: TensorId, b: TensorId) {
        for channel in 0..self.channels[a].min(self.channels[b]) {
            self.join((a, channel), (b, channel));
        }
    }

    fn fix(&mut self, tensor: TensorId) {
        for channel in 0..self.channels[tensor] {
            let root = self.sets.root(self.first[tensor] + channel);
            self.fixed[root] = true;
        }
    }

    fn constrain(&mut self, graph: &Graph, node: &Node) {
        let output = node.output;
        if !clip_can_follow(node) {
            self.fix(output);
        }
        match &node.op {
            Op::Conv2d(_) | Op::FullyConnected(_) => {}
            Op::Activation(Activation::Relu | Activation::LeakyRelu { .. })
            | Op::MaxPool(_)
            | Op::AveragePool { .. } => self.join_all(node.inputs[0], output),
            Op::Add | Op::Sub | Op::Max | Op::Min => {
                self.join_all(node.inputs[0], output);
                let [a, b] = [node.inputs[0], node.inputs[1]];
                if self.channels[a] == self.channels[b] {
                    self.join_all(b, output);
                } else {
                    self.fix(output);
                    self.fix(b);
                }
            }
            Op::Mul => {
                self.fix(node.inputs[1]);
                self.join_all(node.inputs[0], output);
            }
            Op::Reshape => {
                let (from, to) = (self.channels[node.inputs[0]], self.channels[output]);
                for element in 0..graph.tensors[output].elements() {
                    self.join((node.inputs[0], element % from), (output, element % to));
                }
            }
            Op::Transpose { perm } if perm.last() == Some(&(perm.len() - 1)) => {
                self.join_all(node.inputs[0], output);
            }
            Op::Concat { axis } if axis + 1 == graph.tensors[output].shape.len() => {
                let mut offset = 0;
                for &input in &node.inputs {
                    for channel in 0..self.channels[input] {
                        self.join((input, channel), (output, offset + channel));
                    }
                    offset += self.channels[input];
                }
            }
            Op::Concat { .. } => {
                for &input in &node.inputs {
                    self.join_all(input, output);
                }
            }
            Op::Pad {
                before,
                after,
                value,
            } if *value == 0.0 && before.last() == Some(&0) && after.last() == Some(&0) => {
                self.join_all(node.inputs[0], output);
            }
            Op::Activation(_)
            | Op::BatchNorm(_)
            | Op::Softmax
            | Op::Transpose { .. }
            | Op::Pad { .. }
            | Op::Constant(_) => {
                node.inputs.iter().for_each(|&input| self.fix(input));
                self.fix(output);
            }
        }
    }

    fn classes(self, graph: &Graph) -> Classes {
        let mut place_of_root = vec![None; self.sets.len()];
        let mut free: Vec<Class> = Vec::new();
        let mut of: TensorMap<Vec<Option<usize>>> = TensorMap::new();
        for tensor in graph.tensors.ids() {
            let mut places = Vec::new();
            for channel in 0..self.channels[tensor] {
                let root = self.sets.root(self.first[tensor] + channel);
                let place = (!self.fixed[root]).then(|| {
                    *place_of_root[root].get_or_insert_with(|| {
                        free.push(Class::default());
                        free.len() - 1
                    })
                });
                if let Some(place) = place {
                    free[place].channels.push((tensor, channel));
                }
                places.push(place);
            }
            of.push(places);
        }
        for (id, node) in graph.nodes.enumerate() {
            if node.op.linear().is_none() {
                continue;
            }
            for (channel, place) in of[node.output].iter().enumerate() {
                if let Some(place) = *place {
                    free[place].rows.push((id, channel));
                }
            }
            for (channel, place) in of[node.inputs[0]].iter().enumerate() {
                if let Some(place) = *place {
                    free[place].columns.push((id, channel));
                }
            }
        }
        Classes { free, of }
    }
}

/// Whether the fused activation of `node` may get bounds of its own for each channel, if it needs any.
fn clip_can_follow(node: &Node) -> bool {
    let bounded = |bound: f32| bound.is_finite() && bound != 0.0;
    let needs = match &node.activation {
        None | Some(Activation::Relu | Activation::LeakyRelu { .. }) => false,
        Some(Activation::Clip { min, max }) => bounded(*min) || bounded(*max),
        Some(Activation::ClipPerChannel { .. }) => true,
        Some(_) => return false,
    };
    // The device's sums and maxima clamp all channels alike.
    !needs
        || matches!(
            node.op,
            Op::Conv2d(_) | Op::FullyConnected(_) | Op::AveragePool { .. } | Op::Mul
        )
}
