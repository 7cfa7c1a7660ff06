//! The one place that knows both ONNX's axis order and the graph's.
//!
//! A value of the file is a [`View`]: a stored tensor, which has no batch dimension, and for each of ONNX's axes the stored axes that make it up.
//! Transposing, squeezing, flattening and splitting axes therefore change the view alone.
//! Only an operator that insists on an order makes data move, by [`Builder::arrange`], and where only axes of size 1 move that is a reshape.

use crate::graph::{Op, OutputLayout, TensorId};
use crate::import::builder::Builder;
use crate::import::error::{ImportErrorKind, OpResult, unsupported};

/// An ONNX value in the layout of a tensor of the graph.
///
/// Every stored axis of a size above 1 belongs to exactly one ONNX axis; axes of size 1 come and go freely on both sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) tensor: TensorId,
    /// For each ONNX axis the stored axes (of a size above 1) that it consists of, the outermost first.
    pub(super) axes: Vec<Vec<usize>>,
    /// The ONNX axis that is the batch; `None` where a batch that the file fixes to 1 went into other axes or away.
    pub(super) batch: Option<usize>,
}

impl View {
    pub(super) fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The same axes over another tensor of the same stored shape.
    pub(super) fn over(&self, tensor: TensorId) -> View {
        View {
            tensor,
            ..self.clone()
        }
    }

    /// All stored axes in ONNX's order.
    fn order(&self) -> Vec<usize> {
        self.axes.iter().flatten().copied().collect()
    }

    /// Whether the elements are in ONNX's order.
    pub(super) fn is_in_onnx_order(&self) -> bool {
        self.order().is_sorted()
    }

    /// ONNX's axes without the batch.
    pub(super) fn sample_axes(&self) -> Vec<usize> {
        (0..self.rank())
            .filter(|&axis| Some(axis) != self.batch)
            .collect()
    }

    /// The value with two ONNX axes in each other's place.
    pub(super) fn swapped(mut self, a: usize, b: usize) -> View {
        self.axes.swap(a, b);
        self.batch = self.batch.map(|batch| match batch {
            batch if batch == a => b,
            batch if batch == b => a,
            batch => batch,
        });
        self
    }

    /// Takes an ONNX axis of size 1 away.
    pub(super) fn remove_axis(&mut self, axis: usize) {
        self.axes.remove(axis);
        self.batch = self
            .batch
            .filter(|&batch| batch != axis)
            .map(|batch| batch - usize::from(axis < batch));
    }

    /// Puts a new ONNX axis of size 1 in.
    pub(super) fn insert_axis(&mut self, axis: usize) {
        self.axes.insert(axis, Vec::new());
        self.batch = self.batch.map(|batch| batch + usize::from(axis <= batch));
    }
}

impl Builder {
    /// A view of a tensor whose stored axis `i` is the ONNX axis `order[i]`, or none if it has size 1 and no counterpart.
    pub(super) fn view(&self, tensor: TensorId, rank: usize, order: &[Option<usize>]) -> View {
        let stored = self.stored(tensor);
        let mut axes = vec![Vec::new(); rank];
        for (index, axis) in order.iter().enumerate() {
            if let Some(axis) = *axis
                && stored[index] != 1
            {
                axes[axis].push(index);
            }
        }
        View {
            tensor,
            axes,
            batch: Some(0),
        }
    }

    /// Layout in the file of a value that leaves the network.
    pub(super) fn output_layout(&self, view: &View) -> OutputLayout {
        OutputLayout {
            shape: (view.sample_axes().into_iter())
                .map(|axis| self.dim(view, axis))
                .collect(),
            order: view.order(),
            batch: view.batch,
        }
    }

    /// Whether the file fixes the batch to 1, which makes it an axis like any other.
    pub(super) fn is_single(&self) -> bool {
        self.fixed_batch == Some(1)
    }

    /// ONNX's shape of a value with the batch that the file fixes, else of 1.
    pub(super) fn file_shape(&self, view: &View) -> Vec<usize> {
        let mut shape = self.shape(view);
        if let (Some(batch), Some(size)) = (view.batch, self.fixed_batch) {
            shape[batch] = size;
        }
        shape
    }

    /// ONNX's shape of a value, with a batch of 1.
    pub(super) fn shape(&self, view: &View) -> Vec<usize> {
        (0..view.rank()).map(|axis| self.dim(view, axis)).collect()
    }

    /// Size of an ONNX axis.
    pub(super) fn dim(&self, view: &View, axis: usize) -> usize {
        let stored = self.stored(view.tensor);
        view.axes[axis].iter().map(|&index| stored[index]).product()
    }

    /// The same value in a tensor whose stored axis `i` is the ONNX axis `order[i]`, or a new one of size 1.
    ///
    /// `order` must name every ONNX axis but the batch once. Adds a transpose or a reshape if, and only if, it is needed.
    pub(super) fn arrange(&mut self, view: &View, order: &[Option<usize>]) -> OpResult<View> {
        let shape: Vec<usize> = order
            .iter()
            .map(|axis| axis.map_or(1, |axis| self.dim(view, axis)))
            .collect();
        let moved: Vec<usize> = order
            .iter()
            .flatten()
            .flat_map(|&axis| &view.axes[axis])
            .copied()
            .collect();
        let mut tensor = view.tensor;
        if !moved.is_sorted() {
            // Stored axes of size 1 fill the places where the wanted shape has one; the others go to the front.
            let mut units = (0..self.stored(tensor).len()).filter(|index| !moved.contains(index));
            let mut perm = Vec::new();
            for axis in order {
                match axis.map(|axis| &view.axes[axis]) {
                    Some(atoms) if !atoms.is_empty() => perm.extend(atoms),
                    _ => perm.extend(units.next()),
                }
            }
            let mut all: Vec<usize> = units.collect();
            all.append(&mut perm);
            tensor = self.transpose(tensor, all)?;
        }
        let tensor = self.reshape_stored(tensor, &shape)?;
        Ok(View {
            batch: view.batch,
            ..self.view(tensor, view.rank(), order)
        })
    }

    fn transpose(&mut self, tensor: TensorId, perm: Vec<usize>) -> OpResult<TensorId> {
        if let Some(&done) = self.transposes.get(&(tensor, perm.clone())) {
            return Ok(done);
        }
        let base = format!("{}_transposed", self.graph.tensors[tensor].name);
        let name = self.invent_name(&base);
        let op = Op::Transpose { perm: perm.clone() };
        let id = self.add_node(&name, &name, op, &[tensor], None)?;
        self.transposes.insert((tensor, perm), id);
        Ok(id)
    }

    /// The tensor's elements in the same order under another shape.
    pub(super) fn reshape_stored(
        &mut self,
        tensor: TensorId,
        shape: &[usize],
    ) -> OpResult<TensorId> {
        let base = format!("{}_reshaped", self.graph.tensors[tensor].name);
        self.reshape_stored_as(tensor, shape, None, &base)
    }

    /// As [`Builder::reshape_stored`]; a new tensor is called `output` if given, else by a name made from `base`.
    fn reshape_stored_as(
        &mut self,
        tensor: TensorId,
        shape: &[usize],
        output: Option<&str>,
        base: &str,
    ) -> OpResult<TensorId> {
        if self.stored(tensor) == shape {
            return Ok(tensor);
        }
        // A reshape of a reshape is one of the original, so the one between may become superfluous.
        let source = *self.reshape_of.get(&tensor).unwrap_or(&tensor);
        if self.stored(source) == shape {
            return Ok(source);
        }
        let key = (source, shape.to_vec());
        if let Some(&done) = self.reshapes.get(&key) {
            return Ok(done);
        }
        let name = match output {
            Some(name) => name.to_owned(),
            None => self.invent_name(base),
        };
        let id = self.add_node(
            if output.is_some() { base } else { &name },
            &name,
            Op::Reshape,
            &[source],
            Some(shape.to_vec()),
        )?;
        self.reshape_of.insert(id, source);
        self.reshapes.insert(key, id);
        Ok(id)
    }

    /// Channels-last: `[h, w, c]` for an image `[n, c, h, w]`, `[1, l, c]` for a sequence `[n, c, l]`, `[c]` for a vector.
    pub(super) fn channels_last(&mut self, view: &View) -> OpResult<View> {
        let view = &self.batch_first(view)?;
        match view.rank() {
            2 => self.arrange(view, &[Some(1)]),
            3 => self.arrange(view, &[None, Some(2), Some(1)]),
            4 => self.arrange(view, &[Some(2), Some(3), Some(1)]),
            rank => Err(unsupported(
                format!("the operand has {rank} axes, supported are 2 to 4"),
                "use a network of vectors, sequences [n, c, l] or images [n, c, h, w]",
            )),
        }
    }

    /// ONNX's own order without the batch.
    pub(super) fn onnx_order(&mut self, view: &View) -> OpResult<View> {
        let order: Vec<_> = view.sample_axes().into_iter().map(Some).collect();
        self.arrange(view, &order)
    }

    /// An order that suits most operators: channels-last where that is defined, ONNX's otherwise.
    pub(super) fn usual_order(&mut self, view: &View) -> OpResult<View> {
        if view.batch == Some(0) && (2..=4).contains(&view.rank()) {
            self.channels_last(view)
        } else {
            self.onnx_order(view)
        }
    }

    /// The value with its batch at axis 0. Where the file fixes the batch to 1, any axis of size 1 can be the batch.
    pub(super) fn batch_first(&self, view: &View) -> OpResult<View> {
        match (view.batch, view.axes.first()) {
            (Some(0), _) => Ok(view.clone()),
            (_, Some(first)) if self.is_single() && first.is_empty() => Ok(View {
                batch: Some(0),
                ..view.clone()
            }),
            (Some(batch), _) if !self.is_single() => Err(ImportErrorKind::MixesBatch(format!(
                "the operand has its batch at axis {batch}, expected axis 0"
            ))),
            _ => Err(unsupported(
                format!(
                    "the operand has the shape {:?}: values of one sample lie along axis 0, which is the batch to this operator",
                    self.shape(view)
                ),
                "bring axis 0 back to size 1 in front of it, with a Reshape or a Transpose",
            )),
        }
    }

    /// The values with their batch at the same axis, which is not `other`; `None` if they cannot be.
    pub(super) fn with_common_batch(
        &self,
        views: &[&View],
        other: Option<usize>,
    ) -> Option<Vec<View>> {
        let (first, rest) = views.split_first()?;
        let rank = first.rank();
        if rest.iter().any(|view| view.rank() != rank) {
            return None;
        }
        let batch = if self.is_single() {
            (0..rank).find(|&axis| {
                Some(axis) != other && views.iter().all(|view| view.axes[axis].is_empty())
            })
        } else if rest.iter().all(|view| view.batch == first.batch) && first.batch != other {
            first.batch
        } else {
            return None;
        };
        let with = |view: &&View| View {
            batch,
            ..(*view).clone()
        };
        Some(views.iter().map(with).collect())
    }

    /// The value with ONNX's shape changed to `shape`, of which axis `batch` is the batch (1 there), as an ONNX Reshape does.
    ///
    /// If the elements are in ONNX's order, this is a reshape node under the file's own names; otherwise it stays a view, if it can.
    pub(super) fn reshape_view(
        &mut self,
        view: &View,
        shape: &[usize],
        batch: Option<usize>,
        node: &str,
        output: &str,
    ) -> OpResult<View> {
        let axes = (0..shape.len()).filter(|&axis| Some(axis) != batch);
        if !view.is_in_onnx_order() {
            if let Some(view) = self.regroup(view, shape, batch)? {
                return Ok(view);
            }
            let ordered = self.onnx_order(view)?;
            return self.reshape_view(&ordered, shape, batch, node, output);
        }
        let mut dims: Vec<usize> = axes.clone().map(|axis| shape[axis]).collect();
        if dims.is_empty() {
            dims.push(1);
        }
        let order: Vec<_> = axes.map(Some).collect();
        let tensor = self.reshape_stored_as(view.tensor, &dims, Some(output), node)?;
        Ok(View {
            batch,
            ..self.view(tensor, shape.len(), &order)
        })
    }

    /// A view with other axes over the same elements; makes a reshape node under the file's names if the elements are in ONNX's order.
    pub(super) fn renamed_axes(&mut self, view: View, node: &str, output: &str) -> OpResult<View> {
        if view.batch.is_some_and(|batch| batch != 0) || !view.is_in_onnx_order() {
            return Ok(view);
        }
        let shape = self.shape(&view);
        self.reshape_view(&view, &shape, view.batch, node, output)
    }

    /// Distributes the stored axes, in ONNX's order, over new axes of the sizes `shape`, splitting stored axes where needed.
    ///
    /// `None` if the sizes do not divide each other.
    fn regroup(
        &mut self,
        view: &View,
        shape: &[usize],
        batch: Option<usize>,
    ) -> OpResult<Option<View>> {
        let stored = self.stored(view.tensor).to_vec();
        let mut rest: Vec<(usize, usize)> = view
            .order()
            .into_iter()
            .rev()
            .map(|index| (index, stored[index]))
            .collect();
        // Sizes into which each stored axis is split, and for each new axis its parts as (stored axis, part).
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); stored.len()];
        let mut groups: Vec<Vec<(usize, usize)>> = Vec::new();
        for &dim in shape {
            let mut wanted = dim;
            let mut group = Vec::new();
            while wanted > 1 {
                let Some((index, size)) = rest.pop() else {
                    return Ok(None);
                };
                let taken = if wanted % size == 0 {
                    size
                } else if size % wanted == 0 {
                    rest.push((index, size / wanted));
                    wanted
                } else {
                    return Ok(None);
                };
                group.push((index, parts[index].len()));
                parts[index].push(taken);
                wanted /= taken;
            }
            groups.push(group);
        }
        if !rest.is_empty() {
            return Ok(None);
        }
        let mut first_part = Vec::new();
        let mut split = Vec::new();
        for (index, parts) in parts.iter().enumerate() {
            first_part.push(split.len());
            match parts[..] {
                [] => split.push(stored[index]),
                _ => split.extend(parts),
            }
        }
        let tensor = self.reshape_stored(view.tensor, &split)?;
        let axes = groups
            .iter()
            .map(|group| {
                group
                    .iter()
                    .map(|&(index, part)| first_part[index] + part)
                    .collect()
            })
            .collect();
        Ok(Some(View {
            tensor,
            axes,
            batch,
        }))
    }

    /// For a value of one axis besides the batch and axes of size 1: the position of each of its elements.
    ///
    /// Element `i` in ONNX's order is the stored element `positions[i]`. Nothing moves.
    pub(super) fn positions(&self, view: &View) -> Vec<usize> {
        let stored = self.stored(view.tensor);
        let strides = strides(stored);
        let order = view.order();
        let sizes: Vec<usize> = order.iter().map(|&index| stored[index]).collect();
        let steps: Vec<usize> = order.iter().map(|&index| strides[index]).collect();
        walk(&sizes, &steps)
    }
}

/// Distance in memory between neighbours along each axis of a dense tensor.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Offsets met when counting through `sizes`, the last axis fastest, where axis `i` advances by `steps[i]`.
pub(super) fn walk(sizes: &[usize], steps: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for (&size, &step) in sizes.iter().zip(steps) {
        offsets = offsets
            .iter()
            .flat_map(|&offset| (0..size).map(move |index| offset + index * step))
            .collect();
    }
    offsets
}
