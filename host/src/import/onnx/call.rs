//! One operator of the file while it is imported.
//!
//! Gives the operator's import its attributes and operands, and takes the nodes that it makes.

use std::path::Path;
use std::rc::Rc;

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::{Context, Value, first_output, node_name};
use super::layout::View;
use super::proto::{NodeProto, TensorProto};
use super::schema;
use crate::graph::{Op, TensorId};
use crate::import::builder::Builder;
use crate::import::error::{OpResult, invalid, unsupported};

/// Access to the import for an operator.
pub(super) struct Call<'a, 'b> {
    pub(super) node: &'a NodeProto,
    pub(super) attributes: Attributes<'a>,
    /// Name of the node.
    pub(super) name: &'a str,
    /// Name of its first output.
    pub(super) output: &'a str,
    /// Whether the next node is not yet the operator's result, so that it gets a name of its own.
    pub(super) is_partial: bool,
    context: &'b mut Context<'a>,
}

impl<'a, 'b> Call<'a, 'b> {
    pub(super) fn new(context: &'b mut Context<'a>, node: &'a NodeProto) -> OpResult<Self> {
        schema::check(node, context.opset)?;
        Ok(Call {
            node,
            attributes: Attributes::new(node)?,
            name: node_name(node),
            output: first_output(node),
            is_partial: false,
            context,
        })
    }

    pub(super) fn builder(&mut self) -> &mut Builder {
        &mut self.context.builder
    }

    pub(super) fn opset(&self) -> i64 {
        self.context.opset
    }

    /// Reads a tensor of the file, such as a tensor attribute.
    pub(super) fn read_tensor(&self, tensor: &TensorProto) -> OpResult<Constant> {
        let directory: Option<&Path> = self.context.directory;
        Constant::from_proto(tensor, directory)
    }

    /// Whether the file's value `name` is read exactly once, and is not the network's output.
    pub(super) fn is_read_once(&self, name: &str) -> bool {
        self.context.uses.get(name) == Some(&1)
    }

    /// Operand `index`, if there is one.
    pub(super) fn optional(&mut self, index: usize) -> OpResult<Option<Value>> {
        match self.node.input.get(index).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(name) => self.context.value(name).map(Some),
        }
    }

    /// Operand `index`.
    pub(super) fn operand(&mut self, index: usize) -> OpResult<Value> {
        self.optional(index)?
            .ok_or_else(|| invalid(format!("operand {index} is missing")))
    }

    /// Operand `index`, which must depend on the network's input.
    pub(super) fn view(&mut self, index: usize) -> OpResult<View> {
        match self.operand(index)? {
            Value::View(view) => Ok(view),
            Value::Constant(_) => Err(unsupported(
                format!("operand {index} is constant and cannot be folded here"),
                "fold constants first, for instance with onnxsim",
            )),
        }
    }

    /// Operand `index`, if there is one, which must be constant.
    pub(super) fn constant(&mut self, index: usize) -> OpResult<Option<Rc<Constant>>> {
        match self.optional(index)? {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::View(_)) => Err(unsupported(
                format!("operand {index} depends on the network's input"),
                "it must be constant: store it as an initializer, or fold constants with onnxsim",
            )),
        }
    }

    /// Operand `index`, which must be there and constant.
    pub(super) fn required_constant(&mut self, index: usize) -> OpResult<Rc<Constant>> {
        self.constant(index)?
            .ok_or_else(|| invalid(format!("operand {index} is missing")))
    }

    /// Floats of operand `index`: a list of `length`.
    pub(super) fn vector(&mut self, index: usize, length: usize) -> OpResult<Vec<f32>> {
        let constant = self.required_constant(index)?;
        if constant.shape != [length] {
            return Err(invalid(format!(
                "operand {index} has the shape {:?}, expected [{length}]",
                constant.shape
            )));
        }
        Ok(constant.as_floats()?.to_vec())
    }

    /// A list of integers that older opsets give as attribute `name` and newer ones as operand `index`.
    pub(super) fn ints(&mut self, name: &str, index: usize) -> OpResult<Option<Vec<i64>>> {
        if let Some(values) = self.attributes.ints(name)? {
            return Ok(Some(values.to_vec()));
        }
        match self.constant(index)? {
            None => Ok(None),
            Some(constant) => Ok(Some(constant.as_ints()?.to_vec())),
        }
    }

    /// As [`Call::ints`], for axes of a tensor with `rank` axes; negative ones count from the back. Sorted, without repetition.
    pub(super) fn axes(
        &mut self,
        name: &str,
        index: usize,
        rank: usize,
    ) -> OpResult<Option<Vec<usize>>> {
        let Some(values) = self.ints(name, index)? else {
            return Ok(None);
        };
        let mut axes = values
            .iter()
            .map(|&value| axis(value, rank))
            .collect::<OpResult<Vec<_>>>()?;
        axes.sort_unstable();
        let given = axes.len();
        axes.dedup();
        if axes.len() != given {
            return Err(invalid(format!("the axes {values:?} name one axis twice")));
        }
        Ok(Some(axes))
    }

    /// Adds the node that stands for this operator, under the file's names.
    pub(super) fn emit(&mut self, op: Op, inputs: &[TensorId]) -> OpResult<TensorId> {
        if self.is_partial {
            return self.emit_helper("partial", op, inputs, None);
        }
        let (name, output) = (self.name, self.output);
        self.builder().add_node(name, output, op, inputs, None)
    }

    /// Adds a helper node with names of its own.
    pub(super) fn emit_helper(
        &mut self,
        suffix: &str,
        op: Op,
        inputs: &[TensorId],
        shape: Option<Vec<usize>>,
    ) -> OpResult<TensorId> {
        let base = format!("{}_{suffix}", self.output);
        let name = self.builder().invent_name(&base);
        self.builder().add_node(&name, &name, op, inputs, shape)
    }
}

/// An axis of a tensor with `rank` axes; negative ones count from the back.
pub(super) fn axis(value: i64, rank: usize) -> OpResult<usize> {
    let from_front = if value < 0 {
        value.checked_add_unsigned(rank as u64)
    } else {
        Some(value)
    };
    from_front
        .and_then(|value| usize::try_from(value).ok())
        .filter(|&value| value < rank)
        .ok_or_else(|| invalid(format!("axis {value} of a tensor with {rank} axes")))
}

/// The attribute `perm`, by default the reversal.
pub(super) fn read_permutation(call: &Call<'_, '_>, rank: usize) -> OpResult<Vec<usize>> {
    let Some(values) = call.attributes.ints("perm")? else {
        return Ok((0..rank).rev().collect());
    };
    let perm: Vec<usize> = values
        .iter()
        .map(|&value| usize::try_from(value).unwrap_or(usize::MAX))
        .collect();
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(invalid(format!(
            "perm is {values:?}, no permutation of {rank} axes"
        )));
    }
    Ok(perm)
}

/// The shape that a Reshape of `shape` to `target` gives: 0 copies (unless `allow_zero`), -1 takes what is left.
pub(super) fn resolve_reshape(
    shape: &[usize],
    target: &[i64],
    allow_zero: bool,
) -> OpResult<Vec<usize>> {
    let misfit = || invalid(format!("cannot turn the shape {shape:?} into {target:?}"));
    let elements: usize = shape.iter().product();
    let mut known = 1usize;
    let mut open = None;
    let mut result = Vec::new();
    for (axis, &dim) in target.iter().enumerate() {
        let size = match dim {
            -1 if open.is_some() => return Err(misfit()),
            -1 => {
                open = Some(axis);
                1
            }
            0 if !allow_zero => *shape.get(axis).ok_or_else(misfit)?,
            _ => usize::try_from(dim).map_err(|_| misfit())?,
        };
        known = known.checked_mul(size).ok_or_else(misfit)?;
        result.push(size);
    }
    if let Some(axis) = open {
        if known == 0 || !elements.is_multiple_of(known) {
            return Err(misfit());
        }
        result[axis] = elements / known;
        known *= result[axis];
    }
    if known == elements {
        Ok(result)
    } else {
        Err(misfit())
    }
}
