//! One encoding for every tensor, shared where the device only moves bytes.
//!
//! Max pools, reshapes, transposes, pads and concats hand their input's bytes on, so that their inputs and outputs must mean the same
//! numbers: such tensors form a group with the union of their ranges.
//! Average pools requantize anyway and so keep an encoding of their own, which is worth about a bit where a mean is much narrower than
//! its input. A softmax's output has the encoding [`Encoding::softmax`].
//! Maxima and minima of two tensors requantize their operands; where operands and output have almost the same range, they share an encoding too, and
//! the operator chooses bytes without a rounding of its own.

use super::Encoding;
use super::error::{NetworkError, QuantizeError};
use crate::disjoint::DisjointSets;
use crate::graph::{Graph, Node, Op, TensorId, TensorMap};
use crate::range::{Range, Ranges};
use fewbit_runtime::limits::MAX_SOFTMAX_STEPS;

/// The encoding of every tensor of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Encodings {
    encodings: TensorMap<Encoding>,
}

impl Encodings {
    /// Chooses encodings that cover `ranges`.
    ///
    /// # Errors
    /// A softmax whose output would have to share the encoding of something with another range.
    pub fn choose(graph: &Graph, ranges: &Ranges) -> Result<Encodings, QuantizeError> {
        let mut groups = Groups::of(graph);
        let softmaxes: Vec<TensorId> = (graph.nodes.iter())
            .filter(|node| matches!(node.op, Op::Softmax))
            .map(|node| groups.root(node.output))
            .collect();
        // Holds nothing but values of a softmax, whatever room its own range leaves at either end.
        let is_moved = |tensor: TensorId| {
            let moved = graph.producer(tensor).map(|node| &graph.nodes[node]);
            moved.is_some_and(moves_bytes) && softmaxes.contains(&groups.root(tensor))
        };
        let mut covered: TensorMap<_> = (graph.tensors.ids())
            .map(|tensor| ranges.of(tensor))
            .collect();
        for tensor in (graph.tensors.ids()).filter(|&tensor| !is_moved(tensor)) {
            let root = groups.root(tensor);
            covered[root] = covered[root].union(covered[tensor]);
        }
        for node in &graph.nodes {
            if let Op::Pad { value, .. } = node.op {
                let root = groups.root(node.output);
                covered[root].min = covered[root].min.min(value);
                covered[root].max = covered[root].max.max(value);
            }
        }
        // Of each group, so that a chain of joins widens none of its ranges by more than one of them may.
        let mut narrowest: TensorMap<f32> = covered.map(|&range| width(range));
        for node in (graph.nodes.iter()).filter(|node| matches!(node.op, Op::Max | Op::Min)) {
            let tensors = [node.inputs[0], node.inputs[1], node.output];
            let roots = tensors.map(|tensor| groups.root(tensor));
            let union =
                (roots.iter()).fold(covered[roots[2]], |all, &root| all.union(covered[root]));
            let alike = |&root: &TensorId| {
                !softmaxes.contains(&root) && width(union) <= ALIKE * narrowest[root]
            };
            if roots.iter().all(alike) {
                let least = roots.map(|root| narrowest[root]);
                let least = least.into_iter().fold(f32::INFINITY, f32::min);
                groups.join(tensors[0], tensors[2]);
                groups.join(tensors[1], tensors[2]);
                let root = groups.root(tensors[2]);
                (covered[root], narrowest[root]) = (union, least);
            }
        }
        let mut of_root = covered.map(|&range| Encoding::asymmetric(range));
        for node in graph
            .nodes
            .iter()
            .filter(|node| matches!(node.op, Op::Softmax))
        {
            let root = groups.root(node.output);
            if covered[root].max > 1.0 || covered[root].min < 0.0 {
                return Err(QuantizeError {
                    node: node.name.clone(),
                    problem: format!(
                        "its output shares an encoding with tensors outside 0..1 (a concat, pad or pool behind it); \
                         let the network end with it: --output-tensor {}",
                        graph.tensors[node.output].name
                    ),
                });
            }
            of_root[root] = Encoding::softmax(covered[root].max);
        }
        // In topological order, so that a scale that was raised is known to those behind it.
        for node in (graph.nodes.iter()).filter(|node| !matches!(node.op, Op::Softmax)) {
            let scales = (node.inputs.iter()).map(|&input| of_root[groups.root(input)].scale);
            let least = least_scale(&node.op, &scales.collect::<Vec<_>>());
            let root = groups.root(node.output);
            if f64::from(of_root[root].scale) < least {
                of_root[root] = Encoding::asymmetric_from(covered[root], least as f32);
            }
        }
        let encodings = graph
            .tensors
            .ids()
            .map(|tensor| of_root[groups.root(tensor)])
            .collect();
        Ok(Encodings { encodings })
    }

    /// The given encodings: `encoding` has that of every tensor.
    ///
    /// # Errors
    /// A tensor that has none, whose zero point is outside its integers, or whose scale is not a positive number; a node that moves bytes between tensors
    /// of different encodings; and a softmax whose output does not have one that [`Encoding::softmax`] makes.
    pub fn given(
        graph: &Graph,
        encoding: impl FnMut(TensorId) -> Option<Encoding>,
    ) -> Result<Encodings, NetworkError> {
        let all: TensorMap<Option<Encoding>> = graph.tensors.ids().map(encoding).collect();
        let missing = all.position(Option::is_none);
        if let Some(tensor) = missing {
            let problem = "no encoding is given";
            return Err(NetworkError::of_tensor(graph, tensor, problem));
        }
        let given = Encodings {
            encodings: all.into_iter().flatten().collect(),
        };
        given.check(graph)?;
        Ok(given)
    }

    /// Checks that these are encodings of `graph` and that its operators can be computed with them.
    pub(super) fn check(&self, graph: &Graph) -> Result<(), NetworkError> {
        for tensor in graph.tensors.ids() {
            let problem = match self.encodings.get(tensor) {
                Some(encoding) => encoding.problem(),
                None => Some("no encoding is given".to_owned()),
            };
            if let Some(problem) = problem {
                return Err(NetworkError::of_tensor(graph, tensor, problem));
            }
        }
        for (id, node) in graph.nodes.enumerate() {
            let error = |problem: String| NetworkError::of_node(graph, id, problem);
            let name = |tensor: TensorId| &graph.tensors[tensor].name;
            let output = self.of(node.output);
            let differs = |&&input: &&TensorId| self.of(input) != output;
            if let Some(&input) = node
                .inputs
                .iter()
                .filter(|_| moves_bytes(node))
                .find(differs)
            {
                return Err(error(format!(
                    "it moves bytes from `{}` to `{}`, which have different encodings",
                    name(input),
                    name(node.output)
                )));
            }
            if matches!(node.op, Op::Softmax) && !output.suits_softmax() {
                return Err(error(format!(
                    "the encoding of its output `{}` has to have the zero point {} and a scale of 1/256, or of 1/257 to 1/{}",
                    name(node.output),
                    Encoding::SOFTMAX.zero_point,
                    MAX_SOFTMAX_STEPS
                )));
            }
        }
        Ok(())
    }

    /// Rounds the values of a tensor to its encoding.
    pub fn fake_quantize(&self, tensor: TensorId, values: &mut [f32]) {
        let encoding = self.of(tensor);
        values
            .iter_mut()
            .for_each(|value| *value = encoding.fake_quantize(*value));
    }

    /// The encoding of a tensor.
    pub fn of(&self, tensor: TensorId) -> Encoding {
        self.encodings[tensor]
    }
}

/// So many times the range of each of its tensors may be what the three of a maximum or minimum share. Where each has an encoding of its own, an element is
/// rounded twice, to its operand's steps and to the output's; one rounding to steps of less than `sqrt(2)` times the size leaves less noise.
const ALIKE: f32 = 1.25;

/// Range that an encoding must cover, 0 included.
fn width(range: Range) -> f32 {
    range.max.max(0.0) - range.min.min(0.0)
}

/// Factors of layers stay below this: [`Multipliers`](super::Multipliers) take up to 2^29.
const LARGEST_FACTOR: f64 = (1 << 28) as f64;

/// Ratios of scales at sums, products and means stay below this: [`AddMultipliers`](super::AddMultipliers) take up to 2^14, as do products.
const LARGEST_RATIO: f64 = (1 << 13) as f64;

/// The least scale of an operator's output that its multipliers can express, given those of its inputs: a narrower range is what rounding
/// left where values cancel out.
fn least_scale(op: &Op, inputs: &[f32]) -> f64 {
    let mut inputs = inputs.iter().copied().map(f64::from);
    match op {
        Op::Conv2d(_) | Op::FullyConnected(_) => {
            let weights = op.linear().map_or(&[][..], |linear| &linear.weights);
            // The scale of weights is less than the largest of them.
            let largest = weights
                .iter()
                .fold(0.0_f32, |max, weight| max.max(weight.abs()));
            inputs.next().unwrap_or(0.0) * f64::from(largest) / LARGEST_FACTOR
        }
        Op::Add | Op::Sub | Op::Max | Op::Min | Op::AveragePool { .. } => {
            inputs.fold(0.0, f64::max) / LARGEST_RATIO
        }
        Op::Mul => inputs.product::<f64>() / LARGEST_RATIO,
        Op::BatchNorm(_)
        | Op::Activation(_)
        | Op::MaxPool(_)
        | Op::Softmax
        | Op::Reshape
        | Op::Transpose { .. }
        | Op::Concat { .. }
        | Op::Pad { .. }
        | Op::Constant(_) => 0.0,
    }
}

/// For every tensor the one that stands for all that share its encoding, whatever the ranges: without those that [`Encodings::choose`] lets
/// share one at a maximum or minimum of alike ranges.
pub(crate) fn encoding_groups(graph: &Graph) -> TensorMap<TensorId> {
    let groups = Groups::of(graph);
    graph
        .tensors
        .ids()
        .map(|tensor| groups.root(tensor))
        .collect()
}

/// Whether `node` hands its inputs' bytes on unchanged.
pub(crate) fn moves_bytes(node: &Node) -> bool {
    matches!(
        node.op,
        Op::MaxPool(_) | Op::Reshape | Op::Transpose { .. } | Op::Concat { .. } | Op::Pad { .. }
    )
}

/// Sets of tensors that share an encoding.
struct Groups(DisjointSets);

impl Groups {
    fn of(graph: &Graph) -> Groups {
        let mut sets = DisjointSets::new(graph.tensors.len());
        for node in graph.nodes.iter().filter(|node| moves_bytes(node)) {
            for input in &node.inputs {
                sets.join(input.index(), node.output.index());
            }
        }
        Groups(sets)
    }

    /// Lets both tensors, and all that share an encoding with one of them, share one.
    fn join(&mut self, a: TensorId, b: TensorId) {
        self.0.join(a.index(), b.index());
    }

    /// The tensor that stands for all that share the encoding of `tensor`.
    fn root(&self, tensor: TensorId) -> TensorId {
        TensorId::new(self.0.root(tensor.index()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, NodeId};
    use crate::pipeline::{Calibration, quantize};
    use crate::progress::Silent;
    use crate::recipe::Recipe;
    use crate::testing::{graph_of, push};
    use std::error::Error as _;

    /// The larger of two tensors; of a softmax too, whose encoding nothing may widen.
    #[test]
    fn a_maximum_shares_an_encoding_of_almost_its_ranges() {
        let of = |ranges: [[f32; 2]; 3]| {
            let mut graph = graph_of(&[&[4], &[4]]);
            push(
                &mut graph,
                Op::Max,
                &[TensorId::new(0), TensorId::new(1)],
                &[],
            );
            let given = ranges.map(|[min, max]| Range { min, max });
            let given = Ranges::new(given.to_vec().into());
            let chosen = Encodings::choose(&graph, &given).expect("chosen");
            [0, 1, 2].map(|tensor| chosen.of(TensorId::new(tensor)))
        };
        let [a, b, y] = of([[-1.0, 1.0], [-0.9, 1.2], [-0.8, 1.2]]);
        assert_eq!((a, b), (y, y));
        assert_eq!(y.scale, 2.2 / 255.0);
        let [a, b, y] = of([[-1.0, 1.0], [-0.1, 0.1], [-0.1, 1.0]]);
        assert!(a.scale > y.scale && y.scale > b.scale);
    }

    /// Maxima one after the other, each output a fifth wider than the last: no tensor takes a range of more than a quarter beyond its own.
    #[test]
    fn a_chain_of_maxima_widens_no_range_twice() {
        let mut graph = graph_of(&[&[4], &[4], &[4], &[4], &[4]]);
        let mut last = TensorId::new(0);
        for operand in 1..5 {
            last = push(&mut graph, Op::Max, &[last, TensorId::new(operand)], &[]);
        }
        let own = |tensor: usize| match tensor {
            0 => 1.0,
            1..5 => 1.2_f32.powi(i32::try_from(tensor).expect("small")),
            tensor => 1.2_f32.powi(i32::try_from(tensor - 4).expect("small")),
        };
        let ranges: Vec<Range> = (graph.tensors.ids())
            .map(|tensor| Range {
                min: -own(tensor.index()),
                max: own(tensor.index()),
            })
            .collect();
        let chosen = Encodings::choose(&graph, &Ranges::new(ranges.into())).expect("chosen");
        for tensor in graph.tensors.ids() {
            let widened = chosen.of(tensor).scale / (2.0 * own(tensor.index()) / 255.0);
            assert!(widened <= 1.26, "{tensor}: {widened}");
        }
    }

    /// A softmax, of the input or of something else, joined with what it reads.
    #[test]
    fn a_softmax_that_cannot_keep_its_encoding_is_an_output_still() {
        let range = crate::range::Range {
            min: -3.0,
            max: 3.0,
        };
        for first in [true, false] {
            let mut graph = graph_of(&[&[6]]);
            let read = match first {
                true => graph.inputs[0].tensor,
                false => {
                    let input = graph.inputs[0].tensor;
                    push(&mut graph, Op::Activation(Activation::Tanh), &[input], &[])
                }
            };
            let softmax = push(&mut graph, Op::Softmax, &[read], &[]);
            push(&mut graph, Op::Concat { axis: 0 }, &[softmax, read], &[]);
            let calibration = Calibration::Statistics(std::slice::from_ref(&range));
            let result = quantize(&graph, calibration, &Recipe::default(), &mut Silent);
            let error = result.expect_err("refused");
            let error = error.source().expect("a cause").to_string();
            let advice = format!("--output-tensor {}", graph.tensors[softmax].name);
            assert!(error.ends_with(&advice), "{error}");
            // What it says, done.
            graph.nodes.truncate(NodeId::new(graph.nodes.len() - 1));
            graph.outputs = vec![softmax];
            quantize(&graph, calibration, &Recipe::default(), &mut Silent).expect("taken");
        }
    }
}
