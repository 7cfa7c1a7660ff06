//! Clean-up of the graph once all operators are in it.

use crate::graph::{Activation, Graph, NodeId, Op, TensorId, TensorMap};

/// Drops nodes whose results nobody needs, and tensors that nothing refers to.
pub(super) fn drop_unused(graph: &mut Graph) {
    let mut needed = graph.tensors.map(|_| false);
    for &output in &graph.outputs {
        needed[output] = true;
    }
    let mut keep = graph.nodes.map(|_| true);
    for (index, node) in graph.nodes.enumerate().rev() {
        keep[index] = needed[node.output];
        if keep[index] {
            node.inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    let mut keep = keep.into_iter();
    graph.nodes.retain(|_| keep.next().unwrap_or(true));
    graph.compact();
}

/// Replaces `x * hard_sigmoid(x)` and `x * clip(x + 3, 0, 6) / 6` (the division before or after the product) by a HardSwish.
pub(super) fn fuse_hard_swish(graph: &mut Graph) {
    let mut writer = graph.tensors.map(|_| None);
    let mut readers = graph.tensors.map(|_| 0usize);
    for (index, node) in graph.nodes.enumerate() {
        writer[node.output] = Some(index);
        node.inputs.iter().for_each(|&input| readers[input] += 1);
    }
    for &output in &graph.outputs {
        readers[output] += 1;
    }
    let chains = Chains {
        graph,
        writer: &writer,
        readers: &readers,
    };
    let mut found = Vec::new();
    for (index, node) in graph.nodes.enumerate() {
        let Some((x, scale)) = chains.gated_product(index) else {
            continue;
        };
        if is_near(scale, 1.0) {
            found.push((index, x));
        } else if is_near(scale, 1.0 / 6.0) && readers[node.output] == 1 {
            // The division comes behind.
            let division = graph
                .nodes
                .position(|reader| reader.inputs.contains(&node.output));
            if let Some(division) = division
                && let Some((factor, shift)) = chains.uniform_affine(division)
                && is_near(factor, 1.0 / 6.0)
                && shift == 0.0
            {
                found.push((division, x));
            }
        }
    }
    for (index, x) in found {
        let node = &mut graph.nodes[index];
        node.op = Op::Activation(Activation::HardSwish);
        node.inputs = vec![x];
    }
}

/// Within what exporters' rounding of constants like 1/6 changes.
fn is_near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

/// A graph with the writer and the number of readers of each tensor.
struct Chains<'a> {
    graph: &'a Graph,
    writer: &'a TensorMap<Option<NodeId>>,
    readers: &'a TensorMap<usize>,
}

impl Chains<'_> {
    /// If the node computes `x * clip(x + 3, 0, 6) * f`: `x` and `6 f`, or `1 / 6` where the factor is still missing.
    fn gated_product(&self, index: NodeId) -> Option<(TensorId, f32)> {
        let node = &self.graph.nodes[index];
        let (Op::Mul, &[a, b]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        [(a, b), (b, a)]
            .into_iter()
            .find_map(|(x, gate)| Some((x, self.gate(x, gate)?)))
    }

    /// For `gate = clip(x + 3, 0, 6) * f`: 1 if `f` is 1/6, and 1/6 if it is 1.
    fn gate(&self, x: TensorId, gate: TensorId) -> Option<f32> {
        if self.readers[gate] != 1 {
            return None;
        }
        let index = self.writer[gate]?;
        let node = &self.graph.nodes[index];
        match &node.op {
            Op::Activation(Activation::HardSigmoid { alpha, beta })
                if is_near(*alpha, 1.0 / 6.0) && is_near(*beta, 0.5) && node.inputs == [x] =>
            {
                Some(1.0)
            }
            Op::Activation(Activation::Clip { min, max }) if *min == 0.0 && *max == 6.0 => {
                let shifted = self.writer[node.inputs[0]]?;
                let is_plus_three = self.uniform_affine(shifted) == Some((1.0, 3.0));
                let inner = &self.graph.nodes[shifted];
                (is_plus_three && inner.inputs == [x] && self.readers[inner.output] == 1)
                    .then_some(1.0 / 6.0)
            }
            Op::BatchNorm(_) => {
                let (factor, shift) = self.uniform_affine(index)?;
                let inner = self.gate(x, node.inputs[0])?;
                (is_near(factor, 1.0 / 6.0) && shift == 0.0 && is_near(inner, 1.0 / 6.0))
                    .then_some(1.0)
            }
            _ => None,
        }
    }

    /// Scale and shift of a node that computes the same affine function on all channels.
    fn uniform_affine(&self, index: NodeId) -> Option<(f32, f32)> {
        let Op::BatchNorm(norm) = &self.graph.nodes[index].op else {
            return None;
        };
        let is_affine = norm.epsilon == 0.0
            && norm.mean.iter().all(|&mean| mean == 0.0)
            && norm.variance.iter().all(|&variance| variance == 1.0);
        let (&scale, &shift) = (norm.gamma.first()?, norm.beta.first()?);
        let is_uniform = norm.gamma.iter().all(|&value| value == scale)
            && norm.beta.iter().all(|&value| value == shift);
        (is_affine && is_uniform).then_some((scale, shift))
    }
}
