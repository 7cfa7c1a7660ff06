//! State of an import while it walks over the file.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::constant::Constant;
use super::layout::View;
use super::proto::{NodeProto, TensorProto};
use crate::import::builder::Builder;
use crate::import::error::{ImportErrorKind, OpResult, Place, invalid};

/// Oldest and newest supported operator set.
pub(super) const OPSETS: std::ops::RangeInclusive<i64> = 7..=24;

/// Whether operators of this domain are ONNX's own.
pub(super) fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Known at import.
    Constant(Rc<Constant>),
    /// Depends on the network's input.
    View(View),
}

/// An error and the operator at fault.
pub(super) type Located<T> = Result<T, (Place, ImportErrorKind)>;

/// State of one import.
pub(super) struct Context<'a> {
    pub(super) builder: Builder,
    /// Folder of files with external data.
    pub(super) directory: Option<&'a Path>,
    pub(super) opset: i64,
    /// Number of times that each value of the file is read by nodes that are needed; the output counts as one more.
    pub(super) uses: HashMap<&'a str, usize>,
    pub(super) initializers: HashMap<&'a str, &'a TensorProto>,
    pub(super) values: HashMap<&'a str, Value>,
}

impl Context<'_> {
    /// The value called `name`, which has been imported already.
    pub(super) fn value(&mut self, name: &str) -> OpResult<Value> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let (&name, &tensor) = self
            .initializers
            .get_key_value(name)
            .ok_or_else(|| invalid(format!("nothing defines the operand `{name}`")))?;
        let constant = Rc::new(Constant::from_proto(tensor, self.directory)?);
        let value = Value::Constant(constant);
        self.values.insert(name, value.clone());
        Ok(value)
    }
}

pub(super) fn anywhere(kind: ImportErrorKind) -> (Place, ImportErrorKind) {
    (Place::default(), kind)
}

pub(super) fn at(node: &NodeProto) -> impl FnOnce(ImportErrorKind) -> (Place, ImportErrorKind) {
    let place = Place {
        node: Some(node_name(node).to_owned()),
        op: Some(node.op_type.clone()),
    };
    move |kind| (place, kind)
}

/// The node's own name, or that of its first output.
pub(super) fn node_name(node: &NodeProto) -> &str {
    if node.name.is_empty() {
        first_output(node)
    } else {
        &node.name
    }
}

pub(super) fn first_output(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}
