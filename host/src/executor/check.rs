//! Conditions of a graph beyond `Graph::validate`.
//!
//! Kernels cannot fail on a graph that passes.

use crate::graph::{Graph, GraphError, Node, Op, TensorId, Window};

/// Checks everything that kernels rely on.
///
/// # Errors
/// The first node that is wrong.
pub(super) fn check(graph: &Graph) -> Result<(), GraphError> {
    let outside = |id: TensorId| graph.tensors.get(id).is_none();
    if let Some(&id) = graph
        .inputs
        .iter()
        .map(|input| &input.tensor)
        .chain(&graph.outputs)
        .find(|&&id| outside(id))
    {
        return Err(GraphError {
            node: graph.name.clone(),
            op: "graph".to_owned(),
            problem: format!("an input or output is tensor {id}, which does not exist"),
        });
    }
    for node in &graph.nodes {
        if let Some(&id) = node
            .inputs
            .iter()
            .chain([&node.output])
            .find(|&&id| outside(id))
        {
            return Err(error(
                node,
                format!("refers to tensor {id}, which does not exist"),
            ));
        }
        check_parameters(node).map_err(|problem| error(node, problem))?;
    }
    for tensor in &graph.tensors {
        let elements = tensor
            .shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements.is_none_or(|elements| elements == 0 || elements > MAX_ELEMENTS) {
            return Err(GraphError {
                node: tensor.name.clone(),
                op: "tensor".to_owned(),
                problem: format!(
                    "shape {:?}: expected 1 to {MAX_ELEMENTS} elements",
                    tensor.shape
                ),
            });
        }
    }
    graph.validate()?;
    for node in &graph.nodes {
        let empty = match &node.op {
            Op::MaxPool(window) => has_empty_window(graph, node, window),
            Op::AveragePool {
                window,
                count_include_pad: false,
            } => has_empty_window(graph, node, window),
            _ => false,
        };
        if empty {
            let problem = "a window lies wholly in the padding; use less padding";
            return Err(error(node, problem.to_owned()));
        }
    }
    Ok(())
}

/// Largest tensor of one sample; far beyond any network that fits a microcontroller, and far from overflow.
const MAX_ELEMENTS: usize = 1 << 30;

fn error(node: &Node, problem: String) -> GraphError {
    GraphError {
        node: node.name.clone(),
        op: node.op.kind().to_owned(),
        problem,
    }
}

fn check_parameters(node: &Node) -> Result<(), String> {
    match &node.op {
        Op::MaxPool(window) | Op::AveragePool { window, .. } => check_window(window)?,
        Op::Conv2d(conv) => {
            check_window(&conv.window)?;
            if conv.groups == 0 || conv.in_channels == 0 {
                return Err("has no channels or no groups".to_owned());
            }
        }
        Op::BatchNorm(norm) => {
            let channels = norm.channels();
            if [&norm.beta, &norm.mean, &norm.variance]
                .iter()
                .any(|values| values.len() != channels)
            {
                return Err("gamma, beta, mean and variance differ in length".to_owned());
            }
        }
        _ => {}
    }
    if let Some(linear) = node.op.linear()
        && (linear.out_channels == 0
            || linear.weights.is_empty()
            || linear.weights.len() % linear.out_channels != 0)
    {
        return Err(format!(
            "{} weights cannot be shared out to {} output channels",
            linear.weights.len(),
            linear.out_channels
        ));
    }
    Ok(())
}

fn check_window(window: &Window) -> Result<(), String> {
    // Bounds that keep sums and products of these small numbers from overflowing.
    let small = 1..=1 << 16;
    for axis in 0..2 {
        if ![window.kernel, window.stride, window.dilation]
            .iter()
            .all(|pair| small.contains(&pair[axis]))
            || window.pad_before[axis].max(window.pad_after[axis]) > 1 << 16
        {
            return Err(format!(
                "window {window:?}: kernel, stride and dilation must be 1 to 65536, pads at most 65536"
            ));
        }
    }
    Ok(())
}

fn has_empty_window(graph: &Graph, node: &Node, window: &Window) -> bool {
    let input = &graph.tensors[node.inputs[0]].shape;
    (0..2).any(|axis| window.misses_input(axis, input[axis]))
}
