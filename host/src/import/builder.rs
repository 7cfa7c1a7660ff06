//! The graph under construction: names, limits, and one call to add a node.

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, Node, NodeId, Op, TensorId};
use crate::import::error::{ImportErrorKind, OpResult, invalid};

/// Most elements of one activation tensor: far above any microcontroller's memory, far below the host's.
pub(super) const MAX_ELEMENTS: usize = 1 << 24;

/// Most axes of a value.
pub(super) const MAX_RANK: usize = 8;

/// Most elements of all parameters made at import that are not read from the file.
const MAX_MADE: usize = 1 << 25;

/// A graph that grows node by node.
pub(super) struct Builder {
    pub(super) graph: Graph,
    /// Names of tensors that must not be invented: every name in the file and all invented ones.
    tensor_names: Names,
    node_names: Names,
    /// The node that writes each tensor.
    pub(super) writers: HashMap<TensorId, NodeId>,
    /// For a tensor that is a reshape of another one, that other one; never a reshape itself.
    pub(super) reshape_of: HashMap<TensorId, TensorId>,
    /// Reshapes by source and shape, so that none is made twice.
    pub(super) reshapes: HashMap<(TensorId, Vec<usize>), TensorId>,
    /// Transposes by source and permutation.
    pub(super) transposes: HashMap<(TensorId, Vec<usize>), TensorId>,
    /// Size of the batch where the file fixes it.
    pub(super) fixed_batch: Option<usize>,
    made: usize,
}

impl Builder {
    /// An empty graph. `value_names` are the names of the values in the file.
    pub(super) fn new(name: &str, value_names: HashSet<String>) -> Self {
        Builder {
            graph: Graph::new(name),
            tensor_names: Names::new(value_names),
            node_names: Names::default(),
            writers: HashMap::new(),
            reshape_of: HashMap::new(),
            reshapes: HashMap::new(),
            transposes: HashMap::new(),
            fixed_batch: None,
            made: 0,
        }
    }

    pub(super) fn stored(&self, tensor: TensorId) -> &[usize] {
        &self.graph.tensors[tensor].shape
    }

    /// Accounts for `elements` parameters that are about to be made and are not in the file.
    pub(super) fn spend(&mut self, elements: usize) -> OpResult<()> {
        self.made = self.made.saturating_add(elements);
        if self.made > MAX_MADE {
            return Err(ImportErrorKind::TooLarge {
                what: "the sum of the parameters that this network expands".to_owned(),
                limit: MAX_MADE,
            });
        }
        Ok(())
    }

    /// Adds a tensor of the file under its own name.
    pub(super) fn add_tensor(&mut self, name: &str, shape: Vec<usize>) -> OpResult<TensorId> {
        check_shape(name, &shape)?;
        Ok(self.graph.add_tensor(name, shape))
    }

    /// A tensor name made from `base` that nothing else has.
    pub(super) fn invent_name(&mut self, base: &str) -> String {
        self.tensor_names.take(base)
    }

    /// Adds a node that writes a new tensor called `output`; the shape follows from the operator.
    ///
    /// `shape` must be given for operators whose shape does not: reshapes and constants.
    pub(super) fn add_node(
        &mut self,
        name: &str,
        output: &str,
        op: Op,
        inputs: &[TensorId],
        shape: Option<Vec<usize>>,
    ) -> OpResult<TensorId> {
        let id = self
            .graph
            .add_tensor(output, shape.clone().unwrap_or_default());
        let node_name = self.node_names.take(name);
        let node = Node {
            name: node_name,
            op,
            inputs: inputs.to_vec(),
            output: id,
            activation: None,
        };
        let inferred = self
            .graph
            .output_shape(&node)
            .map_err(|error| invalid(error.problem))?;
        check_shape(output, &inferred)?;
        self.graph.tensors[id].shape = inferred;
        let writer = self.graph.nodes.push(node);
        self.writers.insert(id, writer);
        Ok(id)
    }
}

/// Names in use.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// The last number that was put behind each base.
    numbers: HashMap<String, u64>,
}

impl Names {
    pub(super) fn new(taken: HashSet<String>) -> Self {
        Names {
            taken,
            ..Names::default()
        }
    }

    /// `base`, or `base` with the next free number behind it.
    pub(super) fn take(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        while self.taken.contains(&name) {
            let number = self.numbers.entry(base.to_owned()).or_default();
            *number += 1;
            name = format!("{base}_{number}");
        }
        self.taken.insert(name.clone());
        name
    }
}

/// Number of elements of a shape; `None` where it does not fit into memory, or would not but for an axis of size 0.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    let product = shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim.max(1)))?;
    if shape.contains(&0) {
        (product <= 1 << 20).then_some(0)
    } else {
        (product <= isize::MAX as usize / 8).then_some(product)
    }
}

/// Refuses activation tensors that are empty or absurdly large.
pub(super) fn check_shape(name: &str, shape: &[usize]) -> OpResult<()> {
    match element_count(shape) {
        Some(0) => Err(invalid(format!("tensor `{name}` has the shape {shape:?}"))),
        Some(elements) if elements <= MAX_ELEMENTS => Ok(()),
        _ => Err(ImportErrorKind::TooLarge {
            what: format!("tensor `{name}` of shape {shape:?}"),
            limit: MAX_ELEMENTS,
        }),
    }
}
