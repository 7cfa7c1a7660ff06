//! Which kernel runs when, and in which buffer every tensor lies.
//!
//! A buffer is free again after the last reader of its tensor. Elementwise operators write over their input where nobody else reads
//! it. Chains of BatchNorms and activations behind a node lie in one buffer, so a run that is not observed does them in one go.

use crate::graph::{Graph, Node, NodeId, Op, TensorId, TensorMap};

use super::conv::DenseConv;
use super::epilogue::{self, Epilogue};
use super::fully_connected::FullyConnected;
use super::layout::{self, Binary, Broadcast, Concat, Pad, Transpose};
use super::windowed::{Reduction, Windowed};

/// Computation of a step, before its epilogue.
#[derive(Clone, Debug)]
pub(super) enum Kernel<'g> {
    DenseConv(DenseConv),
    Windowed(Windowed),
    FullyConnected(FullyConnected<'g>),
    Binary(Binary),
    /// The input's elements; all the work is in the epilogue.
    Copy,
    Softmax,
    Transpose(Transpose),
    Concat(Concat),
    Pad(Pad),
    Constant(&'g [f32]),
}

/// One node, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Step<'g> {
    pub(super) kernel: Kernel<'g>,
    pub(super) inputs: Vec<TensorId>,
    pub(super) output: TensorId,
    /// The output lies where the first input lay.
    pub(super) in_place: bool,
    /// Operations after the kernel within this node.
    pub(super) own: Epilogue,
    /// The same, with what the nodes fused into this one do.
    pub(super) fused: Epilogue,
    /// Fused into an earlier step: nothing to do unless the run is observed.
    pub(super) absorbed: bool,
}

/// All steps, and where tensors lie.
#[derive(Clone, Debug)]
pub(super) struct Plan<'g> {
    pub(super) steps: Vec<Step<'g>>,
    /// Buffer of each tensor.
    pub(super) slot: TensorMap<usize>,
    /// Elements of one sample that each buffer must hold.
    pub(super) slot_elements: Vec<usize>,
}

impl<'g> Plan<'g> {
    /// For a graph that passed the checks.
    pub(super) fn new(graph: &'g Graph) -> Self {
        let mut steps: Vec<_> = graph.nodes.iter().map(|node| step(graph, node)).collect();
        let readers = readers(graph);
        fuse(graph, &mut steps, &readers);
        let (slot, slot_elements) = place(graph, &mut steps, &readers);
        Plan {
            steps,
            slot,
            slot_elements,
        }
    }
}

/// The steps that read each tensor; network outputs have one more reader, after the last step.
fn readers(graph: &Graph) -> TensorMap<Vec<usize>> {
    let mut readers = graph.tensors.map(|_| Vec::new());
    for (step, node) in graph.nodes.iter().enumerate() {
        for &input in &node.inputs {
            readers[input].push(step);
        }
    }
    for &output in &graph.outputs {
        readers[output].push(graph.nodes.len());
    }
    readers
}

fn step<'g>(graph: &'g Graph, node: &'g Node) -> Step<'g> {
    let shape = |id: TensorId| graph.tensors[id].shape.as_slice();
    let input = node.inputs.first().map_or(&[][..], |&id| shape(id));
    let output = shape(node.output);
    let size = |shape: &[usize]| match *shape {
        [h, w, ..] => [h, w],
        _ => [1, 1],
    };
    let channels = input.last().copied().unwrap_or(1);
    let mut own = Epilogue::default();
    // Convolutions in front of a BatchNorm usually have no bias.
    if let Some(linear) = node.op.linear()
        && linear.bias.iter().any(|&bias| bias != 0.0)
    {
        own.steps.push(epilogue::Step::Bias(linear.bias.clone()));
    }
    let pool = |window, reduction| {
        let pool = Windowed::pool(window, size(input), size(output), channels, reduction);
        Kernel::Windowed(pool)
    };
    let kernel = match &node.op {
        Op::Conv2d(conv) if conv.is_depthwise() => {
            Kernel::Windowed(Windowed::depthwise(conv, size(input), size(output)))
        }
        Op::Conv2d(conv) => Kernel::DenseConv(DenseConv::new(conv, size(input), size(output))),
        Op::FullyConnected(linear) => Kernel::FullyConnected(FullyConnected::new(linear)),
        Op::BatchNorm(norm) => {
            own.steps.push(epilogue::Step::batch_norm(norm));
            Kernel::Copy
        }
        Op::Activation(activation) => {
            own.steps
                .push(epilogue::Step::Activation(activation.clone()));
            Kernel::Copy
        }
        Op::Add | Op::Sub | Op::Mul | Op::Max | Op::Min => {
            match Binary::new(&node.op, input, shape(node.inputs[1])) {
                Some(binary) => Kernel::Binary(binary),
                None => Kernel::Copy,
            }
        }
        Op::MaxPool(window) => pool(*window, Reduction::Max),
        Op::AveragePool {
            window,
            count_include_pad,
        } => pool(
            *window,
            Reduction::Average {
                count_include_pad: *count_include_pad,
            },
        ),
        Op::Softmax => Kernel::Softmax,
        Op::Reshape => Kernel::Copy,
        Op::Transpose { perm } => Kernel::Transpose(Transpose::new(input, perm)),
        Op::Concat { axis } => {
            let shapes = node.inputs.iter().map(|&id| shape(id));
            Kernel::Concat(Concat::new(shapes, *axis))
        }
        Op::Pad { before, value, .. } => Kernel::Pad(Pad::new(input, before, output, *value)),
        Op::Constant(values) => Kernel::Constant(values),
    };
    own.steps
        .extend(node.activation.clone().map(epilogue::Step::Activation));
    Step {
        kernel,
        inputs: node.inputs.clone(),
        output: node.output,
        in_place: false,
        fused: own.clone(),
        own,
        absorbed: false,
    }
}

/// Lets each step do the BatchNorms and activations that are the only readers of what it, or the step before them, writes.
fn fuse(graph: &Graph, steps: &mut [Step], readers: &TensorMap<Vec<usize>>) {
    for head in 0..steps.len() {
        if steps[head].absorbed {
            continue;
        }
        let mut tensor = steps[head].output;
        while let [reader] = readers[tensor][..]
            && let Some(node) = graph.nodes.get(NodeId::new(reader))
            && matches!(node.op, Op::BatchNorm(_) | Op::Activation(_))
        {
            steps[reader].absorbed = true;
            let tail = steps[reader].own.steps.clone();
            steps[head].fused.steps.extend(tail);
            tensor = node.output;
        }
    }
}

/// Gives every tensor a buffer: the smallest free one that is large enough, else the largest free one, grown, else a new one.
fn place(
    graph: &Graph,
    steps: &mut [Step],
    readers: &TensorMap<Vec<usize>>,
) -> (TensorMap<usize>, Vec<usize>) {
    let elements = |id: TensorId| graph.tensors[id].elements();
    let mut slot = graph.tensors.map(|_| usize::MAX);
    let mut sizes: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut take = |free: &mut Vec<usize>, wanted: usize| {
        let fits = |&&index: &&usize| sizes[index] >= wanted;
        let best = free
            .iter()
            .filter(fits)
            .min_by_key(|&&index| sizes[index])
            .or_else(|| free.iter().max_by_key(|&&index| sizes[index]))
            .copied();
        match best {
            Some(index) => {
                free.retain(|&other| other != index);
                sizes[index] = sizes[index].max(wanted);
                index
            }
            None => {
                sizes.push(wanted);
                sizes.len() - 1
            }
        }
    };
    for input in &graph.inputs {
        if slot[input.tensor] == usize::MAX {
            slot[input.tensor] = take(&mut free, elements(input.tensor));
        }
    }
    for (index, step) in steps.iter_mut().enumerate() {
        let dies = |id: TensorId| readers[id].last() == Some(&index);
        if let Kernel::Binary(binary) = &step.kernel
            && binary.is_commutative()
            && binary.broadcast == Broadcast::Same
            && !dies(step.inputs[0])
            && dies(step.inputs[1])
        {
            step.inputs.swap(0, 1);
        }
        let works_in_place = matches!(
            step.kernel,
            Kernel::Copy | Kernel::Softmax | Kernel::Binary(_)
        );
        step.in_place =
            works_in_place && dies(step.inputs[0]) && !step.inputs[1..].contains(&step.inputs[0]);
        slot[step.output] = if step.in_place {
            slot[step.inputs[0]]
        } else {
            take(&mut free, elements(step.output))
        };
        let mut dead: Vec<_> = step.inputs.iter().copied().filter(|&id| dies(id)).collect();
        dead.sort_unstable();
        dead.dedup();
        if step.in_place {
            dead.retain(|&id| id != step.inputs[0]);
        }
        if readers[step.output].is_empty() {
            dead.push(step.output);
        }
        free.extend(dead.into_iter().map(|id| slot[id]));
    }
    (slot, sizes)
}

impl Kernel<'_> {
    /// Computes the output of some samples and applies `epilogue` to it. `output` holds the first input already where the kernel
    /// works in place, and then `inputs[0]` is empty.
    pub(super) fn run(
        &self,
        inputs: &[&[f32]],
        output: &mut [f32],
        channels: usize,
        in_place: bool,
        epilogue: &Epilogue,
    ) {
        if !in_place && matches!(self, Kernel::Copy | Kernel::Softmax | Kernel::Binary(_)) {
            output.copy_from_slice(inputs[0]);
        }
        match self {
            Kernel::DenseConv(conv) => return conv.run(inputs[0], output, epilogue),
            Kernel::Windowed(windowed) => return windowed.run(inputs[0], output, epilogue),
            Kernel::FullyConnected(layer) => return layer.run(inputs[0], output, epilogue),
            Kernel::Binary(binary) => return binary.run(output, inputs[1], epilogue),
            Kernel::Copy => {}
            Kernel::Softmax => layout::softmax(output, channels),
            Kernel::Transpose(transpose) => transpose.run(inputs[0], output),
            Kernel::Concat(concat) => concat.run(inputs, output),
            Kernel::Pad(pad) => pad.run(inputs[0], output),
            Kernel::Constant(values) => output
                .chunks_exact_mut(values.len())
                .for_each(|sample| sample.copy_from_slice(values)),
        }
        epilogue.apply_to_all(output, channels);
    }
}
