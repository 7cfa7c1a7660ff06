//! Files out of files: nodes, attributes, tensors, names and shapes change.

use super::corpus::{attribute, constant};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, tensor_shape_proto,
};
use super::vocabulary::{operator, operators};
use crate::bytes::{self, chance, number, pick};
use fastrand::Rng;
use prost::Message as _;

/// Larger files are not made.
const MOST: usize = 1 << 16;

/// A new file.
pub(super) fn mutate(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let (from, other) = (pick(rng, corpus), pick(rng, corpus));
    let Ok(mut model) = ModelProto::decode(&from[..]) else {
        let mut raw = from.clone();
        bytes::mutate(rng, &mut raw, other);
        return raw;
    };
    let donor = ModelProto::decode(&other[..]).unwrap_or_default();
    if !chance(rng, 5) {
        for _ in 0..1 << rng.u32(0..3) {
            change(rng, &mut model, &donor);
        }
    }
    let mut file = model.encode_to_vec();
    if chance(rng, 4) {
        bytes::mutate(rng, &mut file, other);
    }
    file.truncate(MOST);
    file
}

/// A graph of the file: mostly the whole, sometimes one in an attribute.
fn graph<'m>(rng: &mut Rng, model: &'m mut ModelProto) -> Option<&'m mut GraphProto> {
    let mut graph = model.graph.as_mut()?;
    while chance(rng, 30) {
        let inner = |attribute: &AttributeProto| attribute.g.is_some();
        let nodes = graph.node.iter();
        let places: Vec<(usize, usize)> = nodes
            .enumerate()
            .flat_map(|(n, node)| {
                let attributes = node.attribute.iter().enumerate();
                attributes
                    .filter(|(_, a)| inner(a))
                    .map(move |(a, _)| (n, a))
            })
            .collect();
        if places.is_empty() {
            break;
        }
        let (node, attribute) = *pick(rng, &places);
        graph = graph.node[node].attribute[attribute].g.as_mut()?;
    }
    Some(graph)
}

/// The names of all values of a graph.
fn names(graph: &GraphProto) -> Vec<String> {
    let nodes = graph.node.iter().flat_map(|node| &node.output);
    let tensors = graph.initializer.iter().map(|tensor| &tensor.name);
    let inputs = graph.input.iter().map(|input| &input.name);
    nodes.chain(tensors).chain(inputs).cloned().collect()
}

fn change(rng: &mut Rng, model: &mut ModelProto, donor: &ModelProto) {
    match rng.u8(0..40) {
        0 => {
            if let Some(set) = model.opset_import.first_mut() {
                set.version = rng.i64(5..26);
            }
        }
        1 => functions(rng, model, donor),
        _ => {
            let functions = !model.functions.is_empty() && chance(rng, 20);
            if functions {
                let at = rng.usize(0..model.functions.len());
                let nodes = &mut model.functions[at].node;
                if !nodes.is_empty() {
                    let at = rng.usize(0..nodes.len());
                    node(rng, &mut nodes[at], &[], donor);
                }
            } else if let Some(graph) = graph(rng, model) {
                change_graph(rng, graph, donor);
            }
        }
    }
}

fn functions(rng: &mut Rng, model: &mut ModelProto, donor: &ModelProto) {
    if let (Some(function), true) = (donor.functions.first(), chance(rng, 50)) {
        model.functions.push(function.clone());
        return;
    }
    if !model.functions.is_empty() {
        let at = rng.usize(0..model.functions.len());
        let function = &mut model.functions[at];
        match rng.u8(0..4) {
            0 => drop(function.input.pop()),
            1 => drop(function.output.pop()),
            2 => function.name.push('f'),
            // A function that calls itself.
            _ => {
                if let Some(node) = function.node.first_mut() {
                    node.op_type.clone_from(&function.name);
                    node.domain.clone_from(&function.domain);
                }
            }
        }
    }
}

fn change_graph(rng: &mut Rng, graph: &mut GraphProto, donor: &ModelProto) {
    let names = names(graph);
    let nodes = graph.node.len();
    match rng.u8(0..20) {
        0..9 if nodes > 0 => {
            let at = rng.usize(0..nodes);
            node(rng, &mut graph.node[at], &names, donor);
        }
        9 if nodes > 0 => {
            let at = rng.usize(0..nodes);
            let again = graph.node[at].clone();
            match rng.u8(0..3) {
                0 => drop(graph.node.remove(at)),
                1 => graph.node.insert(at, again),
                _ => graph.node.swap(at, rng.usize(0..nodes)),
            }
        }
        10..12 => insert(rng, graph, donor),
        12 => {
            let name = format!("k{}", rng.u8(..));
            graph.initializer.push(constant(rng, &name));
        }
        13..16 if !graph.initializer.is_empty() => {
            let at = rng.usize(0..graph.initializer.len());
            tensor(rng, &mut graph.initializer[at]);
        }
        16 | 17 if !graph.input.is_empty() => {
            let at = rng.usize(0..graph.input.len());
            let again = graph.input[at].clone();
            match rng.u8(0..6) {
                0 => graph.input.push(again),
                1 if !names.is_empty() => graph.input[at].name.clone_from(pick(rng, &names)),
                _ => shape(rng, &mut graph.input[at]),
            }
        }
        18 if !graph.output.is_empty() && !names.is_empty() => {
            let at = rng.usize(0..graph.output.len());
            graph.output[at].name.clone_from(pick(rng, &names));
        }
        _ if !graph.initializer.is_empty() => {
            let at = rng.usize(0..graph.initializer.len());
            let name = graph.initializer[at].name.clone();
            graph.initializer[at] = constant(rng, &name);
        }
        _ => {}
    }
}

/// Changes the shape that an input is declared with.
fn shape(rng: &mut Rng, input: &mut super::proto::ValueInfoProto) {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let Some(tensor) = input.r#type.as_mut().and_then(|t| t.tensor_type.as_mut()) else {
        return;
    };
    let Some(shape) = &mut tensor.shape else {
        return;
    };
    match rng.u8(0..6) {
        0 => drop(shape.dim.pop()),
        1 => shape.dim.push(Dimension {
            value: Some(Value::DimValue(rng.i64(0..5))),
        }),
        2 => tensor.elem_type = rng.i32(0..18),
        _ if !shape.dim.is_empty() => {
            let at = rng.usize(0..shape.dim.len());
            shape.dim[at].value = Some(match (&shape.dim[at].value, rng.u8(0..3)) {
                (Some(Value::DimValue(old)), 0) => Value::DimValue(number(rng, *old as u64) as i64),
                (_, 1) => Value::DimValue(rng.i64(1..9)),
                _ => Value::DimParam("N".to_owned()),
            });
        }
        _ => {}
    }
}

/// Puts a node of another file, or one of any operator, between a value and one of its readers.
fn insert(rng: &mut Rng, graph: &mut GraphProto, donor: &ModelProto) {
    let names = names(graph);
    if names.is_empty() || graph.node.is_empty() {
        return;
    }
    let theirs = donor.graph.as_ref().map_or(&[][..], |graph| &graph.node);
    let mut new = if !theirs.is_empty() && chance(rng, 60) {
        pick(rng, theirs).clone()
    } else {
        let operator = pick(rng, operators());
        NodeProto {
            op_type: operator.name.to_owned(),
            input: vec![String::new(); operator.operands.clamp(1, 5)],
            output: vec![String::new()],
            ..NodeProto::default()
        }
    };
    let at = rng.usize(0..=graph.node.len());
    let from = graph.node.get(at).and_then(|node| node.input.first());
    let from = from.cloned().unwrap_or_else(|| pick(rng, &names).clone());
    let name = format!("i{}", rng.u16(..));
    for (index, input) in new.input.iter_mut().enumerate() {
        let mine = donor.graph.as_ref().and_then(|graph| {
            graph
                .initializer
                .iter()
                .find(|tensor| tensor.name == *input)
        });
        *input = match (index, mine) {
            (0, _) => from.clone(),
            (_, Some(tensor)) => {
                let mut tensor = tensor.clone();
                tensor.name = format!("{name}_{index}");
                let name = tensor.name.clone();
                graph.initializer.push(tensor);
                name
            }
            _ if chance(rng, 50) => pick(rng, &names).clone(),
            _ => {
                let name = format!("{name}_{index}");
                graph.initializer.push(constant(rng, &name));
                name
            }
        };
    }
    new.name.clone_from(&name);
    new.output.truncate(1);
    new.output.fill(name.clone());
    match graph
        .node
        .get_mut(at)
        .and_then(|node| node.input.first_mut())
    {
        Some(reader) => *reader = name,
        None => {
            if let Some(output) = graph.output.first_mut() {
                output.name = name;
            }
        }
    }
    graph.node.insert(at, new);
}

fn node(rng: &mut Rng, node: &mut NodeProto, names: &[String], donor: &ModelProto) {
    let attributes = node.attribute.len();
    match rng.u8(0..12) {
        0 => pick(rng, operators()).name.clone_into(&mut node.op_type),
        1..5 if attributes > 0 => {
            let at = rng.usize(0..attributes);
            change_attribute(rng, &mut node.attribute[at]);
        }
        5 | 6 => {
            // One that the operator has, or one of any.
            let of = match operator(&node.op_type) {
                Some(operator) if chance(rng, 85) => operator,
                _ => pick(rng, operators()),
            };
            if !of.attributes.is_empty() {
                let (name, kind) = *pick(rng, &of.attributes);
                node.attribute.push(attribute(rng, name, kind));
            }
        }
        7 if attributes > 0 => drop(node.attribute.remove(rng.usize(0..attributes))),
        8 if !node.input.is_empty() => {
            let at = rng.usize(0..node.input.len());
            match rng.u8(0..4) {
                0 => drop(node.input.remove(at)),
                1 => node.input[at].clear(),
                _ if !names.is_empty() => node.input[at].clone_from(pick(rng, names)),
                _ => {}
            }
        }
        9 if !names.is_empty() => node.input.push(pick(rng, names).clone()),
        10 => match rng.u8(0..4) {
            0 => drop(node.output.pop()),
            1 => node.output.push(format!("o{}", rng.u8(..))),
            2 => "com.microsoft".clone_into(&mut node.domain),
            _ => {
                if let (Some(output), false) = (node.output.first_mut(), names.is_empty()) {
                    output.clone_from(pick(rng, names));
                }
            }
        },
        _ => {
            let theirs = donor.graph.iter().flat_map(|graph| &graph.node);
            let theirs: Vec<_> = theirs.flat_map(|node| &node.attribute).collect();
            if !theirs.is_empty() {
                node.attribute.push((*pick(rng, &theirs)).clone());
            }
        }
    }
}

fn change_attribute(rng: &mut Rng, attribute: &mut AttributeProto) {
    let whole = |rng: &mut Rng, value: &mut i64| {
        *value = if chance(rng, 60) {
            rng.i64(-2..9)
        } else {
            number(rng, *value as u64) as i64
        };
    };
    match rng.u8(0..10) {
        0 => attribute.r#type = rng.i32(0..13),
        1 => attribute.f = *pick(rng, &[0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30, 3e38]),
        2 => bytes::mutate(rng, &mut attribute.s, b"SAME_LOWER"),
        3 if attribute.t.is_some() => {
            if let Some(inner) = &mut attribute.t {
                tensor(rng, inner);
            }
        }
        4 => drop(attribute.ints.pop()),
        5 => attribute.ints.push(rng.i64(-2..6)),
        6 | 7 if !attribute.ints.is_empty() => {
            let at = rng.usize(0..attribute.ints.len());
            whole(rng, &mut attribute.ints[at]);
        }
        _ => whole(rng, &mut attribute.i),
    }
}

fn tensor(rng: &mut Rng, tensor: &mut TensorProto) {
    match rng.u8(0..12) {
        0 => drop(tensor.dims.pop()),
        1 => tensor.dims.push(rng.i64(0..4)),
        2 | 3 if !tensor.dims.is_empty() => {
            let at = rng.usize(0..tensor.dims.len());
            tensor.dims[at] = number(rng, tensor.dims[at] as u64) as i64;
        }
        4 if tensor.dims.len() > 1 => {
            let (a, b) = (
                rng.usize(0..tensor.dims.len()),
                rng.usize(0..tensor.dims.len()),
            );
            tensor.dims.swap(a, b);
        }
        5 => tensor.data_type = rng.i32(0..24),
        6 => drop(tensor.float_data.pop()),
        7 => drop(tensor.int64_data.pop()),
        8 if !tensor.int64_data.is_empty() => {
            let at = rng.usize(0..tensor.int64_data.len());
            tensor.int64_data[at] = number(rng, tensor.int64_data[at] as u64) as i64;
        }
        9 if !tensor.float_data.is_empty() => {
            let at = rng.usize(0..tensor.float_data.len());
            tensor.float_data[at] = *pick(rng, &[0.0, 1.0, -1e30, f32::NAN, f32::NEG_INFINITY]);
        }
        10 => tensor.data_location = rng.i32(0..3),
        _ => bytes::mutate(rng, &mut tensor.raw_data, &[]),
    }
}

/// Files with one node, tensor, attribute or function less.
pub(super) fn simpler(file: &[u8]) -> Vec<Vec<u8>> {
    let Ok(model) = ModelProto::decode(file) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut ModelProto, &mut GraphProto)| {
        let mut model = model.clone();
        let mut graph = model.graph.take().unwrap_or_default();
        change(&mut model, &mut graph);
        model.graph = Some(graph);
        all.push(model.encode_to_vec());
    };
    let whole = model.graph.clone().unwrap_or_default();
    for at in (0..model.functions.len()).rev() {
        add(&|model, _| drop(model.functions.remove(at)));
    }
    for (at, node) in whole.node.iter().enumerate().rev() {
        // Its readers read what it does.
        add(&|_, graph| {
            let node = graph.node.remove(at);
            let from = node.input.first().cloned().unwrap_or_default();
            let places = graph.node.iter_mut().flat_map(|node| &mut node.input);
            let outputs = graph.output.iter_mut().map(|output| &mut output.name);
            for name in places
                .chain(outputs)
                .filter(|name| node.output.contains(name))
            {
                name.clone_from(&from);
            }
        });
        add(&|_, graph| drop(graph.node.remove(at)));
        for attribute in 0..node.attribute.len() {
            add(&|_, graph| drop(graph.node[at].attribute.remove(attribute)));
        }
    }
    for at in (0..whole.initializer.len()).rev() {
        add(&|_, graph| drop(graph.initializer.remove(at)));
    }
    for at in (0..whole.output.len()).rev() {
        add(&|_, graph| graph.output[at].r#type = None);
        add(&|_, graph| drop(graph.output.remove(at)));
    }
    all.retain(|smaller| smaller != file);
    all
}
