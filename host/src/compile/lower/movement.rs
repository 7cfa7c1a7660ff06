//! Lowering of operators that move bytes.

use super::{Lowering, error, fit};
use crate::graph::{Node, Op as FloatOp};
use crate::quantize::QuantizeError;
use fewbit_runtime::format::program::{Concat, Constant, MAX_CONCAT, Op, Pad, Transpose, Unary};

impl Lowering<'_> {
    /// A reshape costs nothing: if the device's shape stays the same, or no operator depends on it, there is not even an operator.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<(), QuantizeError> {
        let input = node.inputs[0];
        let readers = self.graph.consumers(node.output);
        let only_flat = !self.graph.outputs.contains(&node.output)
            && readers
                .iter()
                .all(|&reader| matches!(self.graph.nodes[reader].op, FloatOp::FullyConnected(_)));
        if only_flat || self.shape(input) == self.shape(node.output) {
            self.index_of[node.output] = self.index_of[input];
            return Ok(());
        }
        let op = Unary {
            input: self.index(input),
            output: self.output(node)?,
        };
        self.push(node, Op::Reshape(op));
        Ok(())
    }

    pub(super) fn transpose(&mut self, node: &Node, perm: &[usize]) -> Result<(), QuantizeError> {
        let (dims, perm) = collapse(&self.graph.tensors[node.inputs[0]].shape, perm);
        if dims.len() <= 1 {
            return self.reshape(node);
        }
        if dims.len() > 4 {
            return Err(error(
                node,
                format!(
                    "permutes {} axes at once; the device's limit is 4",
                    dims.len()
                ),
            ));
        }
        let mut op = Transpose {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            dims: [1; 4],
            perm: [0, 1, 2, 3],
        };
        // Missing axes stand in front, with one element each.
        let missing = 4 - dims.len();
        for (axis, (&dim, &from)) in dims.iter().zip(&perm).enumerate() {
            op.dims[missing + axis] = fit(node, dim, "a permuted axis")?;
            op.perm[missing + axis] = fit(node, missing + from, "an axis")?;
        }
        self.push(node, Op::Transpose(op));
        Ok(())
    }

    /// Concatenates in steps of [`MAX_CONCAT`] if there are more inputs.
    pub(super) fn concat(&mut self, node: &Node, axis: usize) -> Result<(), QuantizeError> {
        let rank = self.graph.tensors[node.output].shape.len();
        let axis = match (axis + 3).checked_sub(rank) {
            Some(axis) if rank <= 3 || axis > 0 => axis,
            // The outermost of several merged axes.
            _ if axis == 0 => 0,
            _ => {
                return Err(error(
                    node,
                    format!(
                        "joins along axis {axis} of {rank}; the device joins along the first or the last two"
                    ),
                ));
            }
        };
        let mut pending: Vec<_> = node.inputs.iter().map(|&input| self.index(input)).collect();
        while pending.len() > MAX_CONCAT {
            let part: heapless::Vec<_, MAX_CONCAT> = pending.drain(..MAX_CONCAT).collect();
            let mut shape = self.shape(node.output);
            let extent = |index: u16| {
                let tensor = &self.lowered.tensors[usize::from(index)].tensor;
                usize::from([tensor.h, tensor.w, tensor.c][axis])
            };
            shape[axis] = part.iter().map(|&index| extent(index)).sum();
            let output = self.push_tensor(node.output, shape, &node.name)?;
            self.push_concat(node, part, output, axis)?;
            pending.insert(0, output);
        }
        let output = self.output(node)?;
        self.push_concat(node, pending.into_iter().collect(), output, axis)
    }

    fn push_concat(
        &mut self,
        node: &Node,
        inputs: heapless::Vec<u16, MAX_CONCAT>,
        output: u16,
        axis: usize,
    ) -> Result<(), QuantizeError> {
        let op = Concat {
            inputs,
            output,
            axis: fit(node, axis, "the axis")?,
        };
        self.push(node, Op::Concat(op));
        Ok(())
    }

    pub(super) fn pad(
        &mut self,
        node: &Node,
        before: &[usize],
        after: &[usize],
        value: f32,
    ) -> Result<(), QuantizeError> {
        if before.len() > 3 {
            return Err(error(
                node,
                format!(
                    "pads a tensor with {} axes; the device's limit is 3",
                    before.len()
                ),
            ));
        }
        let mut op = Pad {
            input: self.index(node.inputs[0]),
            output: self.output(node)?,
            before: [0; 3],
            after: [0; 3],
            value: self.encoding(node.output).quantize(value),
        };
        let missing = 3 - before.len();
        for axis in 0..before.len() {
            op.before[missing + axis] = fit(node, before[axis], "the padding")?;
            op.after[missing + axis] = fit(node, after[axis], "the padding")?;
        }
        self.push(node, Op::Pad(op));
        Ok(())
    }

    pub(super) fn constant(&mut self, node: &Node, values: &[f32]) -> Result<(), QuantizeError> {
        let encoding = self.encoding(node.output);
        let bytes: Vec<i8> = values
            .iter()
            .map(|&value| encoding.quantize(value))
            .collect();
        let op = Constant {
            output: self.output(node)?,
            data: self.lowered.sections.append_weights(&bytes),
        };
        self.push(node, Op::Constant(op));
        Ok(())
    }
}

/// The same permutation over as few axes as possible: axes of one element go, axes that stay neighbours merge.
fn collapse(shape: &[usize], perm: &[usize]) -> (Vec<usize>, Vec<usize>) {
    // Runs of input axes, in the order of the output.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let next_real = |axis: usize| {
        (axis..shape.len())
            .find(|&axis| shape[axis] != 1)
            .unwrap_or(shape.len())
    };
    for &axis in perm.iter().filter(|&&axis| shape[axis] != 1) {
        match runs.last_mut() {
            Some((_, end)) if next_real(*end) == axis => *end = axis + 1,
            _ => runs.push((axis, axis + 1)),
        }
    }
    let mut in_order: Vec<_> = runs.clone();
    in_order.sort_unstable();
    let dims = in_order
        .iter()
        .map(|&(start, end)| shape[start..end].iter().product())
        .collect();
    let place = |run: &(usize, usize)| in_order.iter().position(|other| other == run).unwrap_or(0);
    (dims, runs.iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::collapse;

    #[test]
    fn axes_of_one_element_go_and_neighbours_merge() {
        assert_eq!(collapse(&[4, 5, 6], &[2, 0, 1]), (vec![20, 6], vec![1, 0]));
        assert_eq!(collapse(&[1, 5, 6], &[2, 0, 1]), (vec![5, 6], vec![1, 0]));
        assert_eq!(collapse(&[4, 1, 6], &[0, 2, 1]), (vec![24], vec![0]));
        assert_eq!(
            collapse(&[2, 3, 4, 5], &[0, 2, 1, 3]),
            (vec![2, 3, 4, 5], vec![0, 2, 1, 3])
        );
        assert_eq!(collapse(&[1, 1], &[1, 0]), (vec![], vec![]));
        assert_eq!(collapse(&[7, 2, 3], &[0, 1, 2]), (vec![42], vec![0]));
    }
}
