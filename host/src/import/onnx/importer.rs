//! The walk over the file's nodes, from the input to the chosen output.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::Path;

use super::call::Call;
use super::constant::Data;
use super::context::{Context, Located, Value, anywhere, at};
use super::flatten::{File, is_if, refuse_sparse, sparse_name};
use super::input::add_input;
use super::layout::View;
use super::ops;
use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::graph::Graph;
use crate::import::builder::Builder;
use crate::import::cleanup;
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

/// Result of a walk over the file.
pub(super) enum Outcome {
    /// The network.
    Graph(Box<Graph>),
    /// Conditions that have become known, by the index of the `If`: its branches have to be taken first.
    Conditions(HashMap<usize, bool>),
}

/// Makes the graph that computes the value `output` of the file, or as much of it as can be known before branches are taken.
pub(super) fn import(file: &File, directory: Option<&Path>, output: &str) -> Located<Outcome> {
    let graph = &file.graph;
    let mut initializers = HashMap::new();
    for tensor in &graph.initializer {
        if initializers.insert(tensor.name.as_str(), tensor).is_some() {
            return Err(anywhere(ImportErrorKind::Malformed(format!(
                "initializer `{}` is there twice",
                tensor.name
            ))));
        }
    }
    let inputs: HashMap<&str, _> = graph
        .input
        .iter()
        .filter(|input| !initializers.contains_key(input.name.as_str()))
        .map(|input| (input.name.as_str(), input))
        .collect();
    let is_given = |name: &str| initializers.contains_key(name) || inputs.contains_key(name);
    let order = needed_nodes(graph, output, is_given)?;
    // An operator that is not supported matters more than anything else that is wrong.
    for &index in &order {
        ops::require_known(&graph.node[index]).map_err(at(&graph.node[index]))?;
    }

    let mut uses: HashMap<&str, usize> = HashMap::new();
    *uses.entry(output).or_default() += 1;
    for &index in &order {
        for name in &graph.node[index].input {
            *uses.entry(name).or_default() += 1;
        }
    }
    let has_branches = order.iter().any(|&index| is_if(&graph.node[index]));
    let input = needed_input(graph, &inputs, &uses, output, has_branches)?;

    let value_names: HashSet<String> = graph
        .node
        .iter()
        .flat_map(|node| &node.output)
        .chain(graph.input.iter().map(|input| &input.name))
        .cloned()
        .collect();
    let mut context = Context {
        builder: Builder::new(&graph.name, value_names),
        directory,
        opset: 0,
        uses,
        initializers,
        values: HashMap::new(),
    };
    let nodes: Vec<&NodeProto> = order.iter().map(|&index| &graph.node[index]).collect();
    if let Some(input) = input {
        let view = add_input(&mut context.builder, input, &nodes).map_err(anywhere)?;
        context.values.insert(&input.name, Value::View(view));
    }
    let mut conditions = HashMap::new();
    // Values behind branches that are still to be taken.
    let mut waiting: HashSet<&str> = HashSet::new();
    for (&index, node) in order.iter().zip(nodes) {
        let is_waiting = node
            .input
            .iter()
            .any(|name| waiting.contains(name.as_str()));
        context.opset = file.opsets[index];
        if !is_waiting && !is_if(node) {
            let value = context.node(node).map_err(at(node))?;
            if let Some(name) = node.output.first() {
                context.values.insert(name, value);
            }
            continue;
        }
        if !is_waiting {
            let condition = context.condition(node).map_err(at(node))?;
            conditions.insert(index, condition);
        }
        let outputs = node.output.iter().map(String::as_str);
        waiting.extend(outputs.filter(|name| !name.is_empty()));
    }
    if !conditions.is_empty() {
        return Ok(Outcome::Conditions(conditions));
    }
    let graph = context.finish(output).map_err(anywhere)?;
    Ok(Outcome::Graph(Box::new(graph)))
}

/// The one input that is read; `None` only where it may be that branches read it.
fn needed_input<'a>(
    graph: &'a GraphProto,
    inputs: &HashMap<&str, &'a ValueInfoProto>,
    uses: &HashMap<&str, usize>,
    output: &str,
    has_branches: bool,
) -> Located<Option<&'a ValueInfoProto>> {
    let needed: Vec<_> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| inputs.contains_key(name) && uses.contains_key(name))
        .collect();
    match needed[..] {
        [name] => Ok(inputs.get(name).copied()),
        [] if has_branches => Ok(None),
        [] => Err(anywhere(ImportErrorKind::Interface(format!(
            "the output `{output}` does not depend on any input of the network; choose another with --output-tensor"
        )))),
        [..] => Err(anywhere(ImportErrorKind::Interface(format!(
            "the network has the inputs {}, supported is one; store the others as initializers, or choose an output that needs only one with --output-tensor",
            needed.join(", ")
        )))),
    }
}

/// The nodes that `output` depends on, in an order in which each comes after those it reads; otherwise in the file's order.
fn needed_nodes(
    file: &GraphProto,
    output: &str,
    is_given: impl Fn(&str) -> bool,
) -> Located<Vec<usize>> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in file.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if producers.insert(name, index).is_some() || is_given(name) {
                let problem = format!("`{name}` is written more than once");
                return Err(at(node)(ImportErrorKind::Malformed(problem)));
            }
        }
    }
    if !producers.contains_key(output) {
        return Err(anywhere(ImportErrorKind::Interface(format!(
            "no node writes the output `{output}`; choose the name of a node's output with --output-tensor"
        ))));
    }
    // Backwards from the output: which nodes are needed, and who reads them.
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut open: HashMap<usize, usize> = HashMap::new();
    let mut stack = vec![producers[output]];
    while let Some(index) = stack.pop() {
        if open.contains_key(&index) {
            continue;
        }
        let mut waits_for = 0;
        for name in read_by(&file.node[index]) {
            if let Some(&producer) = producers.get(name) {
                readers.entry(producer).or_default().push(index);
                waits_for += 1;
                stack.push(producer);
            } else if file
                .sparse_initializer
                .iter()
                .any(|t| sparse_name(t) == name)
            {
                return Err(at(&file.node[index])(refuse_sparse(name)));
            } else if !is_given(name) {
                let problem = format!("nothing defines its operand `{name}`");
                return Err(at(&file.node[index])(ImportErrorKind::Malformed(problem)));
            }
        }
        open.insert(index, waits_for);
    }
    // Forwards: a node is ready when all it reads is there.
    let mut ready: BinaryHeap<Reverse<usize>> = open
        .iter()
        .filter(|&(_, &waits_for)| waits_for == 0)
        .map(|(&index, _)| Reverse(index))
        .collect();
    let mut order = Vec::new();
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for reader in readers.get(&index).into_iter().flatten() {
            if let Some(waits_for) = open.get_mut(reader) {
                *waits_for -= 1;
                if *waits_for == 0 {
                    ready.push(Reverse(*reader));
                }
            }
        }
    }
    match open.iter().filter(|&(_, &n)| n > 0).map(|(&i, _)| i).min() {
        None => Ok(order),
        Some(index) => Err(at(&file.node[index])(ImportErrorKind::Malformed(
            "the node depends on its own result".to_owned(),
        ))),
    }
}

/// The values that a node reads. What the branches of an `If` read counts only once one is taken.
fn read_by(node: &NodeProto) -> impl Iterator<Item = &str> {
    let count = if is_if(node) { 1 } else { node.input.len() };
    let names = node.input.iter().take(count).map(String::as_str);
    names.filter(|name| !name.is_empty())
}

impl<'a> Context<'a> {
    /// Whether the condition of an `If` holds.
    fn condition(&mut self, node: &'a NodeProto) -> OpResult<bool> {
        let call = Call::new(self, node)?;
        call.attributes.graph("then_branch")?;
        call.attributes.graph("else_branch")?;
        call.attributes.finish()?;
        let name = &node.input[0];
        match self.value(name)? {
            Value::View(_) => Err(unsupported(
                format!("its condition `{name}` depends on the network's input"),
                "supported is a constant condition; use a network without control flow, or choose an output before it",
            )),
            Value::Constant(constant) => match &constant.data {
                Data::Int(values) if values.len() == 1 => Ok(values[0] != 0),
                _ => Err(invalid(format!(
                    "its condition `{name}` is not a single boolean"
                ))),
            },
        }
    }

    fn node(&mut self, node: &'a NodeProto) -> OpResult<Value> {
        let is_view =
            |name: &String| matches!(self.values.get(name.as_str()), Some(Value::View(_)));
        if node.input.iter().any(is_view) {
            ops::require_taking_values(node)?;
        }
        let others = node.output.iter().skip(1);
        if let Some(name) = others
            .filter(|name| !name.is_empty())
            .find(|name| self.uses.contains_key(name.as_str()))
        {
            return Err(invalid(format!(
                "its further output `{name}` is used, supported is only the first one"
            )));
        }
        let mut call = Call::new(self, node)?;
        let value = ops::import(&mut call)?;
        call.attributes.finish()?;
        Ok(value)
    }

    /// Makes the value `output` the graph's output and drops what it does not need.
    fn finish(mut self, output: &str) -> OpResult<Graph> {
        let Value::View(view) = self.value(output)? else {
            return Err(ImportErrorKind::Interface(format!(
                "the output `{output}` is constant; choose another with --output-tensor"
            )));
        };
        let view = self.output_view(&view)?;
        let layout = self.builder.output_layout(&view);
        let tensor = view.tensor;
        let mut graph = self.builder.graph;
        if graph.inputs.iter().any(|input| input.tensor == tensor) {
            return Err(ImportErrorKind::Interface(format!(
                "the output `{output}` is the input itself; choose another with --output-tensor"
            )));
        }
        graph.outputs.push(tensor);
        graph.output_layouts.push(layout);
        cleanup::fuse_hard_swish(&mut graph);
        cleanup::drop_unused(&mut graph);
        // A value that only passes through (Identity, Dropout, views) has no tensor of its own, the output keeps its name though.
        if graph.tensor_by_name(output).is_none()
            && let Some(&tensor) = graph.outputs.first()
        {
            graph.tensors[tensor].name = output.to_owned();
        }
        graph.validate()?;
        Ok(graph)
    }

    /// The value as it leaves the network: channels-last stays, everything else is in ONNX's order.
    fn output_view(&mut self, view: &View) -> OpResult<View> {
        let rank = view.rank();
        if view.batch == Some(0) && (rank == 3 || rank == 4) {
            let last = self.builder.channels_last(view)?;
            if last.tensor == view.tensor {
                return Ok(last);
            }
        }
        if view.is_in_onnx_order() {
            return Ok(view.clone());
        }
        self.builder.onnx_order(view)
    }
}
