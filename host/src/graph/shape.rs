//! Shapes of outputs, and the check that a graph is sound.

use super::{Activation, Conv2d, Graph, Linear, Node, Op, TensorId, Window};

/// Error of a graph, and its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node `{node}` ({op}): {problem}")]
pub struct GraphError {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Found and expected values.
    pub problem: String,
}

impl Graph {
    /// Shape of the output of `node`, from its operator and the shapes of its inputs.
    ///
    /// # Errors
    /// If the inputs do not match the operator; a [`Op::Reshape`] has the shape that its output tensor already has.
    pub fn output_shape(&self, node: &Node) -> Result<Vec<usize>, GraphError> {
        let error = |problem: String| GraphError {
            node: node.name.clone(),
            op: node.op.kind().to_owned(),
            problem,
        };
        let expected_inputs = match node.op {
            Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min => 2,
            Op::Constant(_) => 0,
            Op::Concat { .. } => node.inputs.len().max(1),
            _ => 1,
        };
        if node.inputs.len() != expected_inputs {
            return Err(error(format!(
                "has {} inputs, expected {expected_inputs}",
                node.inputs.len()
            )));
        }
        let inputs = node.inputs.iter();
        let inputs: Vec<&[usize]> = inputs.map(|&id| &self.tensors[id].shape[..]).collect();
        let wanted = &self.tensors[node.output].shape;
        shape_of(&node.op, &inputs, wanted).map_err(error)
    }

    /// Checks that every tensor is written before it is read and has the shape that its producer gives it.
    ///
    /// # Errors
    /// The first node that is wrong.
    pub fn validate(&self) -> Result<(), GraphError> {
        let mut written = self.tensors.map(|_| false);
        self.inputs
            .iter()
            .for_each(|input| written[input.tensor] = true);
        for node in &self.nodes {
            let error = |problem: String| GraphError {
                node: node.name.clone(),
                op: node.op.kind().to_owned(),
                problem,
            };
            let name = |id: TensorId| &self.tensors[id].name;
            if let Some(&unwritten) = node.inputs.iter().find(|&&input| !written[input]) {
                return Err(error(format!(
                    "reads `{}` before anything writes it",
                    name(unwritten)
                )));
            }
            if written[node.output] {
                return Err(error(format!(
                    "writes `{}`, which is written already",
                    name(node.output)
                )));
            }
            let shape = self.output_shape(node)?;
            if shape != self.tensors[node.output].shape {
                let found = &self.tensors[node.output].shape;
                return Err(error(format!(
                    "its output has shape {found:?}, expected {shape:?}"
                )));
            }
            if let Op::Activation(Activation::ClipPerChannel { .. }) = node.op {
                return Err(error(
                    "a clip with bounds of its own for each channel has to be fused into a node"
                        .to_owned(),
                ));
            }
            let channels = self.tensors[node.output].channels();
            if let Some(Activation::ClipPerChannel { min, max }) = &node.activation
                && (min.len() != channels || max.len() != channels)
            {
                return Err(error(format!(
                    "is clipped to {} lower and {} upper bounds, expected {channels}, one per channel",
                    min.len(),
                    max.len()
                )));
            }
            written[node.output] = true;
        }
        match self.outputs.iter().find(|&&output| !written[output]) {
            None => Ok(()),
            Some(&output) => Err(GraphError {
                node: self.tensors[output].name.clone(),
                op: "output".to_owned(),
                problem: "nothing writes this output".to_owned(),
            }),
        }
    }
}

/// Shape of what `op` makes of as many inputs as it has; `wanted` is that of operators whose shape does not follow, reshapes and constants.
fn shape_of(op: &Op, inputs: &[&[usize]], wanted: &[usize]) -> Result<Vec<usize>, String> {
    let first = inputs.first().copied().unwrap_or_default();
    match op {
        Op::Conv2d(conv) => of_convolution(conv, first),
        Op::FullyConnected(linear) => of_fully_connected(linear, first),
        Op::BatchNorm(norm) => {
            let channels = first.last().copied().unwrap_or(1);
            if norm.channels() != channels {
                return Err(format!(
                    "has {} channels, its input {channels}",
                    norm.channels()
                ));
            }
            Ok(first.to_vec())
        }
        Op::Activation(_) | Op::Softmax => Ok(first.to_vec()),
        Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min => of_pair(first, inputs[1]),
        Op::MaxPool(window) | Op::AveragePool { window, .. } => {
            of_window(window, first, first.last().copied().unwrap_or(0))
        }
        Op::Reshape => {
            let (from, to): (usize, usize) = (first.iter().product(), wanted.iter().product());
            if from != to {
                return Err(format!("cannot turn {first:?} into {wanted:?}"));
            }
            Ok(wanted.to_vec())
        }
        Op::Transpose { perm } => {
            let rank = first.len();
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            if !sorted.into_iter().eq(0..rank) {
                return Err(format!("{perm:?} is not a permutation of {rank} axes"));
            }
            Ok(perm.iter().map(|&axis| first[axis]).collect())
        }
        Op::Concat { axis } => of_concat(*axis, inputs),
        Op::Pad { before, after, .. } => {
            let rank = first.len();
            if before.len() != rank || after.len() != rank {
                return Err(format!(
                    "pads of {} axes for a tensor of {rank}",
                    before.len()
                ));
            }
            let sizes = before.iter().zip(first).zip(after);
            Ok(sizes
                .map(|((before, size), after)| before + size + after)
                .collect())
        }
        Op::Constant(values) => {
            if values.len() != wanted.iter().product::<usize>() {
                return Err(format!("{} values for shape {wanted:?}", values.len()));
            }
            Ok(wanted.to_vec())
        }
    }
}

fn of_window(window: &Window, input: &[usize], channels: usize) -> Result<Vec<usize>, String> {
    match *input {
        [h, w, _] => match (window.output_size(0, h), window.output_size(1, w)) {
            (Some(h), Some(w)) => Ok(vec![h, w, channels]),
            _ => Err(format!(
                "a window of {:?} does not fit the input [{h}, {w}]",
                window.kernel
            )),
        },
        _ => Err(format!("input {input:?} is not [h, w, c]")),
    }
}

fn of_convolution(conv: &Conv2d, input: &[usize]) -> Result<Vec<usize>, String> {
    let found = input.last().copied().unwrap_or(0);
    let per_group = conv.in_channels / conv.groups.max(1);
    if found != conv.in_channels {
        return Err(format!(
            "input has {found} channels, the weights want {}",
            conv.in_channels
        ));
    }
    if conv.groups == 0
        || !conv.in_channels.is_multiple_of(conv.groups)
        || !conv.linear.out_channels.is_multiple_of(conv.groups)
        || conv.linear.weights_per_channel()
            != per_group * conv.window.kernel[0] * conv.window.kernel[1]
        || conv.linear.bias.len() != conv.linear.out_channels
    {
        return Err("weights, bias, groups and kernel do not fit together".to_owned());
    }
    of_window(&conv.window, input, conv.linear.out_channels)
}

fn of_fully_connected(linear: &Linear, input: &[usize]) -> Result<Vec<usize>, String> {
    let elements: usize = input.iter().product();
    if elements != linear.weights_per_channel() || linear.bias.len() != linear.out_channels {
        return Err(format!(
            "input has {elements} elements, the weights want {}",
            linear.weights_per_channel()
        ));
    }
    Ok(vec![linear.out_channels])
}

/// Shape of what an elementwise operator makes of two operands.
fn of_pair(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let b_elements: usize = b.iter().product();
    let per_channel = b_elements == a.last().copied().unwrap_or(1) && b.last() == a.last();
    if a != b && b_elements != 1 && !per_channel {
        return Err(format!("cannot combine {a:?} with {b:?}"));
    }
    Ok(a.to_vec())
}

fn of_concat(axis: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let mut result = inputs.first().copied().unwrap_or_default().to_vec();
    let rank = result.len();
    if axis >= rank {
        return Err(format!("axis {axis} of a tensor with {rank} axes"));
    }
    for &other in inputs.iter().skip(1) {
        let fits = other.len() == rank && (0..rank).all(|i| i == axis || other[i] == result[i]);
        if !fits {
            return Err(format!(
                "cannot join {other:?} to {result:?} along axis {axis}"
            ));
        }
        result[axis] += other[axis];
    }
    Ok(result)
}
