//! The file's nodes with functions and branches written out.
//!
//! A file may define operators by others, and choose between two branches by an `If`. Each call of a function is replaced by a copy of its nodes before anything else,
//! an `If` by a copy of one branch as soon as its condition is known. Copies get names of their own.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use prost::Message;

use super::context::{Located, OPSETS, at, is_default_domain, node_name};
use super::kind;
use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, SparseTensorProto};
use crate::import::builder::Names;
use crate::import::error::{ImportErrorKind, OpResult, invalid, unsupported};

/// Most nodes that are made by writing out.
const MAX_NODES: usize = 1 << 16;

/// Most bytes of the nodes that are made by writing out, as they would be in a file.
const MAX_BYTES: usize = 1 << 27;

/// Most bytes of the caller's name in the name of a copy.
const MAX_PREFIX: usize = 128;

/// Whether the node chooses between two branches.
pub(super) fn is_if(node: &NodeProto) -> bool {
    node.op_type == "If" && is_default_domain(&node.domain)
}

/// A file whose main graph calls no function of the file.
pub(super) struct File {
    pub(super) graph: GraphProto,
    /// For each node of the graph the version of ONNX's own operators that it is written for.
    pub(super) opsets: Vec<i64>,
    functions: HashMap<[String; 3], FunctionProto>,
    copies: Copies,
}

/// Names, and the limit of the copies' size.
struct Copies {
    /// Every name of the file and every name that was made.
    names: Names,
    /// Names that the main graph defines.
    defined: HashSet<String>,
    budget: Budget,
}

/// Numbers of nodes and bytes made so far.
#[derive(Default)]
struct Budget {
    nodes: Cell<usize>,
    bytes: Cell<usize>,
}

/// Domain, name and overload, by which a call finds its function.
fn key(domain: &str, name: &str, overload: &str) -> [String; 3] {
    let domain = if is_default_domain(domain) {
        ""
    } else {
        domain
    };
    [domain, name, overload].map(str::to_owned)
}

impl File {
    /// The graph with all calls of functions written out.
    pub(super) fn new(
        graph: GraphProto,
        functions: Vec<FunctionProto>,
        opset: i64,
    ) -> Located<Self> {
        let mut names = HashSet::new();
        let mut defined = HashSet::new();
        if !functions.is_empty() || graph.node.iter().any(is_if) {
            collect(&graph, &mut names);
            for node in functions.iter().flat_map(|function| &function.node) {
                collect_node(node, &mut names);
            }
            defined = defined_by(&graph).map(str::to_owned).collect();
        }
        let functions = functions
            .into_iter()
            .map(|function| {
                let key = key(&function.domain, &function.name, &function.overload);
                (key, function)
            })
            .collect();
        let opsets = vec![opset; graph.node.len()];
        let mut file = File {
            graph,
            opsets,
            functions,
            copies: Copies {
                names: Names::new(names),
                defined,
                budget: Budget::default(),
            },
        };
        file.write_out_calls()?;
        Ok(file)
    }

    fn write_out_calls(&mut self) -> Located<()> {
        if self.functions.is_empty() {
            return Ok(());
        }
        let nodes = std::mem::take(&mut self.graph.node);
        let opsets = std::mem::take(&mut self.opsets);
        // What is still to do, last first: a node, its opset, and how many calls it lies in.
        let mut open: Vec<(NodeProto, i64, usize)> = nodes
            .into_iter()
            .zip(opsets)
            .map(|(node, opset)| (node, opset, 0))
            .rev()
            .collect();
        while let Some((node, opset, depth)) = open.pop() {
            let key = key(&node.domain, &node.op_type, &node.overload);
            let Some(function) = self.functions.get(&key) else {
                self.graph.node.push(node);
                self.opsets.push(opset);
                continue;
            };
            if depth >= self.functions.len() {
                let problem = "the functions of this file call each other in a circle";
                return Err(at(&node)(ImportErrorKind::Malformed(problem.to_owned())));
            }
            let own = function
                .opset_import
                .iter()
                .find(|set| is_default_domain(&set.domain));
            let opset = own.map_or(opset, |set| set.version);
            if !OPSETS.contains(&opset) {
                return Err(at(&node)(ImportErrorKind::opset(opset, OPSETS)));
            }
            let body = self.copies.body(&node, function).map_err(at(&node))?;
            open.extend(body.into_iter().rev().map(|node| (node, opset, depth + 1)));
        }
        Ok(())
    }

    /// Puts the branches that are taken in the place of the nodes that chose them.
    pub(super) fn take_branches(&mut self, chosen: &HashMap<usize, bool>) -> Located<()> {
        let nodes = std::mem::take(&mut self.graph.node);
        let opsets = std::mem::take(&mut self.opsets);
        for (index, (node, opset)) in nodes.into_iter().zip(opsets).enumerate() {
            match chosen.get(&index) {
                None => {
                    self.graph.node.push(node);
                    self.opsets.push(opset);
                }
                Some(&condition) => {
                    let copies = &mut self.copies;
                    let branch = copies
                        .branch(&node, condition, &mut self.graph)
                        .map_err(at(&node))?;
                    self.opsets.resize(self.opsets.len() + branch.len(), opset);
                    self.graph.node.extend(branch);
                }
            }
        }
        self.write_out_calls()
    }
}

impl Copies {
    /// The nodes of a function as one call of it has them.
    fn body(&mut self, call: &NodeProto, function: &FunctionProto) -> OpResult<Vec<NodeProto>> {
        let prefix = cut(node_name(call));
        for (formal, given) in [
            (&function.input, &call.input),
            (&function.output, &call.output),
        ] {
            if given.len() > formal.len() {
                return Err(invalid(format!(
                    "the file's function of this name has {} inputs and {} outputs, the call {} and {}",
                    function.input.len(),
                    function.output.len(),
                    call.input.len(),
                    call.output.len()
                )));
            }
        }
        let mut parameters: HashMap<&str, Option<&AttributeProto>> = HashMap::new();
        parameters.extend(function.attribute.iter().map(|name| (name.as_str(), None)));
        parameters.extend(
            function
                .attribute_proto
                .iter()
                .map(|default| (default.name.as_str(), Some(default))),
        );
        for attribute in &call.attribute {
            match parameters.get_mut(attribute.name.as_str()) {
                Some(value) => *value = Some(attribute),
                None => {
                    return Err(invalid(format!(
                        "attribute `{}` is not a parameter of the file's function of this name",
                        attribute.name
                    )));
                }
            }
        }
        let mut scope = Scope::new(&self.budget, Some(parameters));
        for (index, formal) in function.input.iter().enumerate() {
            let given = call.input.get(index).cloned().unwrap_or_default();
            scope.names.insert(formal, given);
        }
        let is_input = |name: &String| function.input.contains(name);
        let own = function.node.iter().flat_map(|node| &node.output);
        let own: Vec<&str> = own.map(String::as_str).filter(|n| !n.is_empty()).collect();
        if let Some(name) = function
            .node
            .iter()
            .flat_map(|node| &node.output)
            .find(|name| !name.is_empty() && is_input(name))
        {
            return Err(ImportErrorKind::Malformed(format!(
                "the function's nodes write its input `{name}`"
            )));
        }
        let results = function.output.iter().zip(&call.output);
        let names = &mut self.names;
        let passed = scope.bind(&own, results, |name| {
            names.take(&format!("{prefix}/{name}"))
        })?;
        scope.copy_nodes(&function.node, passed, &format!("{prefix}/"))
    }

    /// The nodes of one branch of an `If`; its constants go to `graph`.
    fn branch(
        &mut self,
        node: &NodeProto,
        condition: bool,
        graph: &mut GraphProto,
    ) -> OpResult<Vec<NodeProto>> {
        let name = if condition {
            "then_branch"
        } else {
            "else_branch"
        };
        let branch = node
            .attribute
            .iter()
            .find(|attribute| attribute.name == name)
            .and_then(|attribute| attribute.g.as_ref())
            .ok_or_else(|| invalid(format!("attribute `{name}` is not a graph")))?;
        if !branch.input.is_empty() || branch.output.len() != node.output.len() {
            return Err(invalid(format!(
                "attribute `{name}` has {} inputs and {} outputs, expected 0 and {}",
                branch.input.len(),
                branch.output.len(),
                node.output.len()
            )));
        }
        if let Some(tensor) = branch.sparse_initializer.first() {
            return Err(refuse_sparse(sparse_name(tensor)));
        }
        let mut scope = Scope::new(&self.budget, None);
        let (names, defined) = (&mut self.names, &mut self.defined);
        // A name that is free in the main graph stays, since it is what the user knows the value by.
        let mut invent = |name: &str| {
            let name = if defined.contains(name) {
                names.take(name)
            } else {
                name.to_owned()
            };
            defined.insert(name.clone());
            name
        };
        for tensor in &branch.initializer {
            if scope.names.contains_key(tensor.name.as_str()) {
                return Err(ImportErrorKind::Malformed(format!(
                    "initializer `{}` is there twice",
                    tensor.name
                )));
            }
            self.budget.spend(tensor.encoded_len())?;
            let mut copy = tensor.clone();
            copy.name = invent(&tensor.name);
            scope.names.insert(&tensor.name, copy.name.clone());
            graph.initializer.push(copy);
        }
        let own = branch.node.iter().flat_map(|node| &node.output);
        let own: Vec<&str> = own.map(String::as_str).filter(|n| !n.is_empty()).collect();
        let results = branch.output.iter().map(|value| &value.name);
        let passed = scope.bind(&own, results.zip(&node.output), invent)?;
        scope.copy_nodes(&branch.node, passed, "")
    }
}

impl Budget {
    fn spend(&self, bytes: usize) -> OpResult<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        self.check()
    }

    fn check(&self) -> OpResult<()> {
        if self.nodes.get() <= MAX_NODES && self.bytes.get() <= MAX_BYTES {
            return Ok(());
        }
        Err(unsupported(
            format!(
                "functions and branches written out are more than {MAX_NODES} nodes or {} MiB",
                MAX_BYTES >> 20
            ),
            "use a smaller network",
        ))
    }
}

/// Naming of a function's or branch's nodes that are copied to one place.
struct Scope<'a> {
    /// New names of the values that the body defines, and of its inputs.
    names: HashMap<&'a str, String>,
    /// The function's parameters and their values; `None` in a branch.
    parameters: Option<HashMap<&'a str, Option<&'a AttributeProto>>>,
    budget: &'a Budget,
}

impl<'a> Scope<'a> {
    fn new(
        budget: &'a Budget,
        parameters: Option<HashMap<&'a str, Option<&'a AttributeProto>>>,
    ) -> Self {
        Scope {
            names: HashMap::new(),
            parameters,
            budget,
        }
    }

    /// Gives names to the body's `own` values: a result that one of them is gets the name under which it is wanted.
    ///
    /// Returns the results that need a node of their own, as (value, wanted name): inputs, captured values and repetitions.
    fn bind<'b>(
        &mut self,
        own: &[&'a str],
        results: impl Iterator<Item = (&'a String, &'b String)>,
        mut invent: impl FnMut(&str) -> String,
    ) -> OpResult<Vec<(String, String)>> {
        let is_own: HashSet<&str> = own.iter().copied().collect();
        let mut passed = Vec::new();
        for (result, wanted) in results.filter(|(_, wanted)| !wanted.is_empty()) {
            if is_own.contains(result.as_str()) && !self.names.contains_key(result.as_str()) {
                self.names.insert(result, wanted.clone());
            } else {
                passed.push((result, wanted));
            }
        }
        for &name in own {
            if !self.names.contains_key(name) {
                let made = invent(name);
                self.names.insert(name, made);
            }
        }
        if self.parameters.is_some()
            && let Some((name, _)) = passed
                .iter()
                .find(|(name, _)| !self.names.contains_key(name.as_str()))
        {
            let problem = format!("nothing in the function defines its output `{name}`");
            return Err(ImportErrorKind::Malformed(problem));
        }
        passed
            .into_iter()
            .map(|(result, wanted)| Ok((self.name(result, &[])?, wanted.clone())))
            .collect()
    }

    /// Copies of `nodes`, and a node for each value that is only passed on.
    fn copy_nodes(
        &self,
        nodes: &'a [NodeProto],
        passed: Vec<(String, String)>,
        prefix: &str,
    ) -> OpResult<Vec<NodeProto>> {
        let mut copies = Vec::with_capacity(nodes.len().min(MAX_NODES));
        for node in nodes {
            let mut copy = self.copy_node(node, &mut Vec::new())?;
            if !prefix.is_empty() {
                copy.name = format!("{prefix}{}", node_name(node));
                self.budget.spend(copy.name.len())?;
            }
            copies.push(copy);
        }
        for (value, wanted) in passed {
            self.budget.nodes.set(self.budget.nodes.get() + 1);
            self.budget.spend(value.len() + wanted.len())?;
            copies.push(NodeProto {
                name: wanted.clone(),
                op_type: "Identity".to_owned(),
                input: vec![value],
                output: vec![wanted],
                ..NodeProto::default()
            });
        }
        Ok(copies)
    }

    /// New name of a value; `hidden` are the names that inner graphs define again.
    fn name(&self, name: &str, hidden: &[HashSet<&str>]) -> OpResult<String> {
        let is_hidden = hidden.iter().any(|names| names.contains(name));
        let new = match self.names.get(name) {
            Some(new) if !is_hidden => new,
            _ => name,
        };
        self.budget.spend(new.len())?;
        Ok(new.to_owned())
    }

    fn copy_node(
        &self,
        node: &'a NodeProto,
        hidden: &mut Vec<HashSet<&'a str>>,
    ) -> OpResult<NodeProto> {
        self.budget.nodes.set(self.budget.nodes.get() + 1);
        self.budget
            .spend(node.name.len() + node.op_type.len() + node.domain.len())?;
        let rename = |names: &[String], hidden: &[HashSet<&str>]| {
            names
                .iter()
                .map(|name| self.name(name, hidden))
                .collect::<OpResult<Vec<_>>>()
        };
        let mut copy = NodeProto {
            input: rename(&node.input, hidden)?,
            output: rename(&node.output, hidden)?,
            name: node.name.clone(),
            op_type: node.op_type.clone(),
            attribute: Vec::new(),
            domain: node.domain.clone(),
            overload: node.overload.clone(),
        };
        for attribute in &node.attribute {
            copy.attribute
                .extend(self.copy_attribute(attribute, hidden)?);
        }
        Ok(copy)
    }

    /// The attribute with its value; `None` where it takes that of a parameter that has none.
    fn copy_attribute(
        &self,
        attribute: &'a AttributeProto,
        hidden: &mut Vec<HashSet<&'a str>>,
    ) -> OpResult<Option<AttributeProto>> {
        if let Some(parameters) = &self.parameters
            && !attribute.ref_attr_name.is_empty()
        {
            let wanted = &attribute.ref_attr_name;
            let Some(value) = parameters.get(wanted.as_str()) else {
                return Err(ImportErrorKind::Malformed(format!(
                    "a node of the function reads the parameter `{wanted}`, which the function does not have"
                )));
            };
            let Some(value) = value else {
                return Ok(None);
            };
            if attribute.r#type != 0 && value.r#type != 0 && attribute.r#type != value.r#type {
                return Err(invalid(format!(
                    "attribute `{wanted}` has type {}, the function expects {}",
                    value.r#type, attribute.r#type
                )));
            }
            if value.g.is_some() {
                // Graphs could nest without end.
                return Err(unsupported(
                    format!("its parameter `{wanted}` is a graph"),
                    "export the model without functions that take graphs",
                ));
            }
            self.budget.spend(value.encoded_len())?;
            return Ok(Some(AttributeProto {
                name: attribute.name.clone(),
                ..(*value).clone()
            }));
        }
        let Some(graph) = &attribute.g else {
            self.budget.spend(attribute.encoded_len())?;
            return Ok(Some(attribute.clone()));
        };
        Ok(Some(AttributeProto {
            name: attribute.name.clone(),
            r#type: kind::GRAPH,
            g: Some(self.copy_graph(graph, hidden)?),
            ..AttributeProto::default()
        }))
    }

    fn copy_graph(
        &self,
        graph: &'a GraphProto,
        hidden: &mut Vec<HashSet<&'a str>>,
    ) -> OpResult<GraphProto> {
        hidden.push(defined_by(graph).collect());
        let mut copy = GraphProto {
            name: graph.name.clone(),
            input: graph.input.clone(),
            output: graph.output.clone(),
            ..GraphProto::default()
        };
        for value in &mut copy.output {
            value.name = self.name(&value.name, hidden)?;
        }
        for tensor in &graph.initializer {
            self.budget.spend(tensor.encoded_len())?;
            copy.initializer.push(tensor.clone());
        }
        for tensor in &graph.sparse_initializer {
            self.budget.spend(tensor.encoded_len())?;
            copy.sparse_initializer.push(tensor.clone());
        }
        for node in &graph.node {
            copy.node.push(self.copy_node(node, hidden)?);
        }
        hidden.pop();
        Ok(copy)
    }
}

/// At most [`MAX_PREFIX`] bytes of a name.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_PREFIX)]
}

/// Names of the values that a graph itself defines.
fn defined_by(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().map(|value| &value.name);
    let constants = graph.initializer.iter().map(|tensor| &tensor.name);
    let results = graph.node.iter().flat_map(|node| &node.output);
    let names = inputs.chain(constants).chain(results);
    names
        .map(String::as_str)
        .chain(graph.sparse_initializer.iter().map(sparse_name))
}

/// Adds all names in a graph and the graphs inside.
fn collect(graph: &GraphProto, names: &mut HashSet<String>) {
    names.extend(defined_by(graph).map(str::to_owned));
    for node in &graph.node {
        collect_node(node, names);
    }
}

fn collect_node(node: &NodeProto, names: &mut HashSet<String>) {
    names.extend(node.output.iter().cloned());
    for graph in node.attribute.iter().filter_map(|a| a.g.as_ref()) {
        collect(graph, names);
    }
}

/// The name of a tensor given by its elements other than 0.
pub(super) fn sparse_name(tensor: &SparseTensorProto) -> &str {
    tensor.values.as_ref().map_or("", |values| &values.name)
}

/// Refusal of such a tensor.
pub(super) fn refuse_sparse(name: &str) -> ImportErrorKind {
    unsupported(
        format!("its operand `{name}` is a sparse tensor"),
        "store it as a dense tensor",
    )
}
