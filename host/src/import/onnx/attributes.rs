//! Attributes of a node, read with their types checked.

use std::cell::RefCell;
use std::collections::HashMap;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use super::{kind, schema};
use crate::import::error::{OpResult, invalid};

/// The attributes of one node.
///
/// An attribute that no code reads would be silently ignored, so [`Attributes::finish`] refuses it.
pub(super) struct Attributes<'a> {
    by_name: HashMap<&'a str, &'a AttributeProto>,
    unread: RefCell<Vec<&'a str>>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto) -> OpResult<Self> {
        let mut by_name = HashMap::new();
        for attribute in &node.attribute {
            if !attribute.ref_attr_name.is_empty() {
                return Err(invalid(format!(
                    "attribute `{}` takes its value from a parameter, but the node is in no function",
                    attribute.name
                )));
            }
            if by_name.insert(attribute.name.as_str(), attribute).is_some() {
                return Err(invalid(format!(
                    "attribute `{}` is given twice",
                    attribute.name
                )));
            }
        }
        let matters = |name: &&str| !schema::has_no_effect(&node.op_type, name);
        let unread = RefCell::new(by_name.keys().copied().filter(matters).collect());
        Ok(Attributes { by_name, unread })
    }

    fn get(&self, name: &str, kind: i32, expected: &str) -> OpResult<Option<&'a AttributeProto>> {
        self.unread.borrow_mut().retain(|unread| *unread != name);
        match self.by_name.get(name) {
            Some(attribute) if attribute.r#type != kind => Err(invalid(format!(
                "attribute `{name}` has type {}, expected {expected}",
                attribute.r#type
            ))),
            found => Ok(found.copied()),
        }
    }

    pub(super) fn int(&self, name: &str) -> OpResult<Option<i64>> {
        Ok(self.get(name, kind::INT, "an integer")?.map(|a| a.i))
    }

    pub(super) fn int_or(&self, name: &str, default: i64) -> OpResult<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer that means yes or no.
    pub(super) fn flag(&self, name: &str, default: bool) -> OpResult<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(invalid(format!(
                "attribute `{name}` is {other}, expected 0 or 1"
            ))),
        }
    }

    /// A finite number.
    pub(super) fn float(&self, name: &str) -> OpResult<Option<f32>> {
        match self.get(name, kind::FLOAT, "a float")?.map(|a| a.f) {
            Some(value) if value.is_nan() => {
                Err(invalid(format!("attribute `{name}` is not a number")))
            }
            value => Ok(value),
        }
    }

    pub(super) fn float_or(&self, name: &str, default: f32) -> OpResult<f32> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    pub(super) fn ints(&self, name: &str) -> OpResult<Option<&'a [i64]>> {
        Ok(self
            .get(name, kind::INTS, "a list of integers")?
            .map(|a| a.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &str) -> OpResult<Option<&'a [f32]>> {
        Ok(self
            .get(name, kind::FLOATS, "a list of floats")?
            .map(|a| a.floats.as_slice()))
    }

    pub(super) fn tensor(&self, name: &str) -> OpResult<Option<&'a TensorProto>> {
        match self.get(name, kind::TENSOR, "a tensor")? {
            None => Ok(None),
            Some(attribute) => match &attribute.t {
                Some(tensor) => Ok(Some(tensor)),
                None => Err(invalid(format!("attribute `{name}` has no value"))),
            },
        }
    }

    /// A graph, which must be there.
    pub(super) fn graph(&self, name: &str) -> OpResult<&'a GraphProto> {
        self.get(name, kind::GRAPH, "a graph")?
            .and_then(|attribute| attribute.g.as_ref())
            .ok_or_else(|| invalid(format!("attribute `{name}` is not a graph")))
    }

    pub(super) fn string(&self, name: &str) -> OpResult<Option<&'a str>> {
        match self.get(name, kind::STRING, "a string")? {
            None => Ok(None),
            Some(attribute) => std::str::from_utf8(&attribute.s)
                .map(Some)
                .map_err(|_| invalid(format!("attribute `{name}` is not text"))),
        }
    }

    /// Refuses attributes that no code has read.
    pub(super) fn finish(&self) -> OpResult<()> {
        match self.unread.borrow().iter().min() {
            None => Ok(()),
            Some(name) => Err(invalid(format!(
                "attribute `{name}` means nothing beside the others that are given"
            ))),
        }
    }
}
