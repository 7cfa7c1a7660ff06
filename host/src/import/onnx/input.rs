//! The network's input and the layout in which it is stored.

use std::collections::HashMap;

use super::attributes::Attributes;
use super::constant::data_type;
use super::layout::View;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::{NodeProto, ValueInfoProto};
use crate::graph::Input;
use crate::import::builder::{Builder, MAX_RANK};
use crate::import::error::{ImportErrorKind, OpResult};

/// Operators that leave every axis where it is.
const TRANSPARENT: &[&str] = &[
    "Add",
    "Cast",
    "Clip",
    "Div",
    "Dropout",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Max",
    "Min",
    "Mul",
    "Pad",
    "Relu",
    "Sigmoid",
    "Sub",
    "Tanh",
];

/// Operators that want channels-last.
const CHANNELWISE: &[&str] = &[
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
];

/// Adds the network's input, stored as its first reader that minds wants it.
pub(super) fn add_input(
    builder: &mut Builder,
    input: &ValueInfoProto,
    nodes: &[&NodeProto],
) -> OpResult<View> {
    let name = &input.name;
    let refuse = |problem: String| {
        Err(ImportErrorKind::Interface(format!(
            "the input `{name}` {problem}"
        )))
    };
    let Some(tensor) = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return refuse("has no tensor type; export the model with one".to_owned());
    };
    if ![
        data_type::FLOAT,
        data_type::FLOAT16,
        data_type::BFLOAT16,
        data_type::DOUBLE,
    ]
    .contains(&tensor.elem_type)
    {
        return refuse(format!(
            "has the element type {}, expected float (1); export the float model with a float input",
            tensor.elem_type
        ));
    }
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let [batch, dims @ ..] = dims else {
        return refuse("has no shape; export the model with one".to_owned());
    };
    if dims.is_empty() {
        return refuse(
            "has a single axis, which would be the batch; add a batch axis in front".to_owned(),
        );
    }
    if dims.len() >= MAX_RANK {
        return refuse(format!(
            "has {} axes, supported are at most {MAX_RANK}; use vectors, sequences or images",
            dims.len() + 1
        ));
    }
    if let Some(Dim::DimValue(size)) = batch.value {
        builder.fixed_batch = usize::try_from(size).ok().filter(|&size| size > 0);
    }
    let mut shape = vec![1];
    for (index, dim) in dims.iter().enumerate() {
        match dim.value {
            Some(Dim::DimValue(size)) if size > 0 => shape.push(size as usize),
            _ => {
                return refuse(format!(
                    "has no fixed size at axis {}; export the model with fixed sizes (only the batch, axis 0, may vary)",
                    index + 1
                ));
            }
        }
    }
    let rank = shape.len();
    let order = wanted_order(name, rank, nodes)?;
    let stored = order
        .iter()
        .map(|axis| axis.map_or(1, |axis| shape[axis]))
        .collect();
    let id = builder.add_tensor(name, stored)?;
    let (source_shape, source_axes) = source(&shape, &order);
    builder.graph.inputs.push(Input {
        tensor: id,
        source_shape,
        source_axes,
    });
    Ok(builder.view(id, rank, &order))
}

/// Shape of the file's data and the place of each stored axis in it; a height of 1 that the file does not have comes before its last axis.
fn source(shape: &[usize], order: &[Option<usize>]) -> (Vec<usize>, Vec<usize>) {
    let mut source = shape[1..].to_vec();
    if !order.contains(&None) {
        let axes = order.iter().flatten().map(|axis| axis - 1).collect();
        return (source, axes);
    }
    let unit = source.len() - 1;
    source.insert(unit, 1);
    let axes = order
        .iter()
        .map(|axis| match *axis {
            None => unit,
            Some(axis) if axis - 1 < unit => axis - 1,
            Some(axis) => axis,
        })
        .collect();
    (source, axes)
}

/// For each stored axis the ONNX axis of the input that it is.
fn wanted_order(input: &str, rank: usize, nodes: &[&NodeProto]) -> OpResult<Vec<Option<usize>>> {
    let in_order = || (1..rank).map(Some).collect::<Vec<_>>();
    // Values with the input's elements: axis `i` of the value is axis `axes[i]` of the input.
    let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
    known.insert(input, (0..rank).collect());
    for node in nodes {
        let Some(axes) = node.input.iter().find_map(|name| known.get(name.as_str())) else {
            continue;
        };
        let axes = axes.clone();
        let op = node.op_type.as_str();
        let output = node.output.first().map_or("", String::as_str);
        if TRANSPARENT.contains(&op) {
            known.insert(output, axes);
        } else if op == "Transpose" {
            // A damaged permutation is reported where the node itself is imported.
            let perm = Attributes::new(node)?.ints("perm")?.unwrap_or_default();
            let moved = perm
                .iter()
                .map(|&axis| axes.get(usize::try_from(axis).ok()?).copied());
            match moved.collect::<Option<Vec<_>>>() {
                Some(moved) if is_sample_permutation(&moved, rank) => {
                    known.insert(output, moved);
                }
                _ => return Ok(in_order()),
            }
        } else if CHANNELWISE.contains(&op) && rank == 4 {
            return Ok(vec![Some(axes[2]), Some(axes[3]), Some(axes[1])]);
        } else if CHANNELWISE.contains(&op) && rank == 3 {
            return Ok(vec![None, Some(axes[2]), Some(axes[1])]);
        } else if axes.is_sorted() {
            break;
        } else {
            return Ok(axes[1..].iter().copied().map(Some).collect());
        }
    }
    Ok(match rank {
        4 => vec![Some(2), Some(3), Some(1)],
        _ => in_order(),
    })
}

/// Whether `axes` are all axes in any order with the batch in front.
fn is_sample_permutation(axes: &[usize], rank: usize) -> bool {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    axes.first() == Some(&0) && sorted.iter().copied().eq(0..rank)
}
